"""The suite, played through the control sockets of daemons with jailed workers: what the library promises counts as
built only when it is met there too.

A short form of every section in CI; HOSTEL_LONG=1 plays every case.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from runtime.target import through_daemon
from tests.conformance.suite import case
from tests.conformance.test_this_host import conformance

HERE = Path(__file__).resolve().parent
CASES = list(case.read_all(HERE / "cases"))
IS_LONG = os.environ.get("HOSTEL_LONG", "") not in ("", "0")
KINDS = {
    "answers and endings": ("a-called-program", "answer-"), "no place": ("a-call-",),
    "who may call whom": ("a-grant", "only-", "gains-", "acts-", "the-called-"),
    "delegation": ("a-delegat", "what-cannot-be-delegated"),
    "on whose account": ("cpu-time-", "host-calls-", "the-deadline-"),
    "what is lent": ("half-", "no-more-", "what-was-lent-"), "narrowed": ("narrow",), "depth": ("depth-",),
}  # fmt: skip
"""Of cases of programs that call programs (section 6.2), which a daemon does by messages between processes: how their
names begin."""
PROGRAM_CALLS = (
    "a-called-program-that-ended-as-cpu", "a-called-program-that-is-taken", "answer-of", "a-call-that-finds-no-place",
    "a-grant", "only", "gains-nothing", "acts-in", "the-called-program-knows",
    "a-delegated-payment", "a-delegation-is-for", "a-delegation-is-gone", "what-cannot",
    "cpu-time", "host-calls", "the-deadline", "half-of-a-burst", "half-of-what", "no-more-than", "what-was-lent",
    "narrow-widens", "narrowed-for", "depth-over", "depth-of",
)  # fmt: skip
AMONG_OTHERS = (
    "4.4/room", "4.5/fresh-sandbox-echo", "4.5/refused-memory-growth", "8.6/cancelled-wait", "9.1/memory-bytes",
    *(f"6.2/{start}" for start in PROGRAM_CALLS),
)  # fmt: skip
"""On one daemon, one after the other: every refusal of a capability, endings, memory, prompts, and of each kind of call
between programs at least one case."""
ALONE = (
    "2.6/a-key-that-is-not-valid-yet", "6.3/name-with-an-inner-address", "8.3/pending-order-expires",
    "8.8/acknowledged-writes-survive", "8.9/program-is-woken", "17.3/gray-share-only-adds",
)  # fmt: skip
"""Each on a daemon of its own: a keyring, names outside, a clock that is moved, a restart, a host that knows nobody,
the ladder."""


def test_each_way_a_daemon_is_asked_has_a_case() -> None:
    """A part that plays nothing proves nothing."""
    for start in (*AMONG_OTHERS, *ALONE):
        assert any(one.id.startswith(start) for one in CASES), start


def test_each_kind_of_call_between_programs_is_played() -> None:
    """A case of a new kind is to be sorted, and played."""
    names = [one.id.removeprefix("6.2/") for one in CASES if one.id.startswith("6.2/")]
    for name in names:
        assert sum(name.startswith(starts) for starts in KINDS.values()) == 1, f"{name} is of no kind, or of two"
    for kind, starts in KINDS.items():
        assert any(name.startswith(starts) and name.startswith(PROGRAM_CALLS) for name in names), kind


@pytest.mark.parametrize(("length", "is_used"), [(52, True), (53, False)])
def test_where_no_socket_could_be_bound_daemons_lie_elsewhere(
    length: int, is_used: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = "/" + "f" * (length - 1)
    monkeypatch.setattr(tempfile, "tempdir", chosen)
    assert through_daemon._parent() == (chosen if is_used else "/tmp")


@pytest.mark.slow
@pytest.mark.parametrize("length", [52, 53, 200])
def test_however_long_the_temporary_folders_name_is_daemons_are_played_on(length: int, tmp_path: Path) -> None:
    """The longest name that a socket can be bound below, and longer ones. A daemon of a case's own has the longest
    path; and one that stands. Nothing is left."""
    with tempfile.TemporaryDirectory(dir="/tmp") as short:
        folder = Path(short + "/" + "f" * (length - len(short) - 1))
        folder.mkdir()
        assert len(bytes(folder)) == length
        run = conformance(tmp_path, "--daemon", "--jobs", "1", ALONE[0], "6.2/depth-over", temporary=folder)
        assert run.code == 0, run.out + run.err
        assert [*run.outcomes().values()] == ["passed", "passed"]
        assert list(folder.iterdir()) == []


@pytest.mark.slow
def test_through_the_socket_of_daemons_a_part_passes(tmp_path: Path) -> None:
    run = conformance(tmp_path, "--daemon", "--jobs", "1", *AMONG_OTHERS, *ALONE)
    assert run.code == 0, run.out + run.err
    assert set(run.outcomes().values()) == {"passed"}, run.out


@pytest.mark.skipif(not IS_LONG, reason="the whole suite on daemons takes minutes: HOSTEL_LONG=1")
def test_through_the_socket_of_daemons_every_case_passes(tmp_path: Path) -> None:
    run = conformance(tmp_path, "--daemon", "--jobs", "2")
    assert run.code == 0, run.out + run.err
    assert run.outcomes() == {one.id: "passed" for one in CASES}
