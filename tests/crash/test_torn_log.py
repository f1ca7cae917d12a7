"""A write-ahead log that is cut, garbled or half on the disk: recovered to a prefix in order, or refused."""

from __future__ import annotations

import random
from functools import partial
from pathlib import Path

import pytest
import trio

from host_api.audit import Head
from host_api.store.sqlite import FILE_NAME
from tests.crash.disk import Step, acknowledged, after_power_cut, as_left, lay_down, recorded
from tests.crash.marks import marks_in, write_marks
from tests.crash.scale import LONG

LOG = f"{FILE_NAME}-wal"
HEADER_BYTES, FRAME_HEAD_BYTES, PAGE_BYTES = 32, 24, 4096
FRAME_BYTES = FRAME_HEAD_BYTES + PAGE_BYTES
Recording = tuple[list[Step], list[Head]]


def record(directory: Path, tasks: int, each: int) -> Recording:
    with recorded() as disk:
        heads = trio.run(write_marks, disk, directory, tasks, each)
        return list(disk.steps), heads


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """A few commits, all of them still in the log when the host dies."""
    return record(tmp_path_factory.mktemp("short") / "state", tasks=1, each=5)


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """Commits of several marks, and a log that was checkpointed and begun again."""
    steps, heads = record(tmp_path_factory.mktemp("long") / "state", tasks=4, each=200)
    assert sum(step.file == LOG and step.what == "write" and step.offset == 0 for step in steps) > 1
    return steps, heads


def before_closing(recording: Recording) -> list[Step]:
    """Up to the last acknowledgement: closing folds the log into the database."""
    steps, _ = recording
    return steps[: max(n for n, step in enumerate(steps) if step.what == "ack") + 1]


def marks_by_length(steps: list[Step]) -> dict[int, int]:
    """Length of the log → the marks acknowledged with it."""
    found, size = {0: 0}, 0
    for step in steps:
        if step.file == LOG and step.what == "write":
            size = max(size, step.offset + len(step.data))
        elif step.what == "ack":
            found[size] = step.offset
    return found


def reopened(directory: Path, files: dict[str, bytes], heads: list[Head], least: int = 0) -> int | None:
    return trio.run(marks_in, lay_down(files, directory), heads, least)


def test_a_log_cut_at_any_frame_gives_the_commits_before_the_cut(short: Recording, tmp_path: Path) -> None:
    steps, heads = before_closing(short), short[1]
    files = as_left(steps)
    by_length = marks_by_length(steps)
    assert by_length[len(files[LOG])] == heads[-1].n == 5
    for cut in _cuts(len(files[LOG]), min(length for length, number in by_length.items() if number)):
        whole = max(number for length, number in by_length.items() if length <= cut)
        found = reopened(tmp_path / str(cut), {**files, LOG: files[LOG][:cut]}, heads)
        assert found == whole, f"cut at {cut}"


def _cuts(size: int, first: int) -> list[int]:
    """Each border of a frame and of its head, a byte to either side; before the `first` mark a few of them."""
    cuts = [0, 1]
    for frame in range(HEADER_BYTES, size + 1, FRAME_BYTES):
        cuts += (frame - 1, frame, frame + 1, frame + FRAME_HEAD_BYTES, frame + FRAME_BYTES // 2)
    return [cut for n, cut in enumerate(cuts) if cut <= size and (LONG or cut >= first or n % 41 == 0)]


@pytest.mark.parametrize("seed", range(400 if LONG else 60))
def test_a_garbled_log_gives_a_prefix_or_is_refused(short: Recording, tmp_path: Path, seed: int) -> None:
    steps, heads = before_closing(short), short[1]
    files = as_left(steps)
    chance = random.Random(seed)
    log = bytearray(files[LOG])
    at = chance.randrange(len(log))
    for place in range(at, min(len(log), at + chance.choice((1, 8, 600, FRAME_BYTES)))):
        log[place] ^= chance.randrange(1, 256)
    whole = max(number for length, number in marks_by_length(steps).items() if length <= at)
    reopened(tmp_path / "state", {**files, LOG: bytes(log)}, heads, least=whole)


@pytest.mark.parametrize("seed", range(200 if LONG else 20))
def test_frames_of_another_time_are_not_taken_for_new_ones(long: Recording, tmp_path: Path, seed: int) -> None:
    """A log begun again lies over its older self: whatever of the old frames is behind the new ones stays out."""
    steps, heads = before_closing(long), long[1]
    chance = random.Random(seed)
    begun = [n for n, step in enumerate(steps) if step.file == LOG and step.what == "write" and step.offset == 0]
    upto = chance.randrange(begun[1], len(steps))
    files = as_left(steps[:upto])
    found = reopened(tmp_path / "state", files, heads, least=acknowledged(steps[:upto]))
    assert found is not None


@pytest.mark.parametrize("part", ["creation", "work", "closing"])
def test_a_power_cut_keeps_all_that_was_acknowledged(long: Recording, tmp_path: Path, part: str) -> None:
    steps, heads = long
    first, last = _first_ack(steps), len(before_closing(long))
    points = {"creation": range(first), "work": range(first, last), "closing": range(last, len(steps) + 1)}[part]
    chance = random.Random(part)
    most = len(points) if LONG else 60
    for upto in sorted(chance.sample(points, min(most, len(points)))):
        files = after_power_cut(steps[:upto], chance)
        found = reopened(tmp_path / str(upto), files, heads, least=acknowledged(steps[:upto]))
        assert found is not None, f"cut after step {upto}: {steps[upto - 1 : upto + 1]}"


def _first_ack(steps: list[Step]) -> int:
    return next(n for n, step in enumerate(steps) if step.what == "ack")


def test_a_disk_that_lies_about_syncing_is_noticed(long: Recording, tmp_path: Path) -> None:
    """The tests above can fail: with the syncs taken out of the recording, acknowledged marks are lost."""
    heads = long[1]
    lying = [step for step in before_closing(long) if not (step.file == LOG and step.what == "sync")]
    files = after_power_cut(lying, random.Random(1))
    with pytest.raises(AssertionError, match="were acknowledged"):
        reopened(tmp_path / "state", files, heads, least=acknowledged(lying))


def test_the_log_of_another_state_is_refused_or_ignored(short: Recording, tmp_path: Path) -> None:
    """The database of one history with the log of another: nothing of the other comes in unnoticed."""
    steps, heads = before_closing(short), short[1]
    other = partial(record, tmp_path / "other", tasks=1)
    strange = as_left(before_closing(other(each=4)))
    files = as_left(steps)
    found = reopened(tmp_path / "mixed", {FILE_NAME: files[FILE_NAME], LOG: strange[LOG]}, heads)
    assert found is None or found <= 5
