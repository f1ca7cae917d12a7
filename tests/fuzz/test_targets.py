"""Every target over its corpus and some thousand changes of it; `python tests/fuzz TARGET` goes on for longer.

The examples are those of one seed, so that the suite finds the same today and tomorrow; HOSTEL_LONG=1 draws one, and
takes fifty times as many. HOSTEL_SEED says which.
"""

from __future__ import annotations

import os
import random
import traceback
from typing import Final

import pytest

from tests.crash.scale import LONG
from tests.fuzz.search import CORPUS, Target, kept, search, simply, told
from tests.fuzz.targets import TARGETS

SEED: Final = int(os.environ.get("HOSTEL_SEED") or (random.SystemRandom().randrange(1 << 31) if LONG else 1))
CORPUS_BYTES_MOST: Final = 200_000


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_any_bytes_give_a_value_or_the_documented_error(name: str) -> None:
    target = TARGETS[name]
    done = search(target, seed=SEED, examples=target.ci_examples * (50 if LONG else 1))
    print(f"\n{name}, seed {SEED}: {done.examples} examples, {done.lines} lines reached")
    if done.error is not None:
        pytest.fail("".join(traceback.format_exception(done.error)) + told(name, done), pytrace=False)


def test_the_corpus_is_small_and_of_targets_there_are() -> None:
    files = [path for path in CORPUS.rglob("*") if path.is_file()]
    assert {path.parent.name for path in files} <= {*TARGETS, "modules", "bundles"}
    assert sum(path.stat().st_size for path in files) < CORPUS_BYTES_MOST
    assert kept("compiled")


def _depth(data: bytes) -> None:
    """Fails four steps in, each of which is a line of its own."""
    for step, wanted in enumerate(b"fuzz"):
        if len(data) <= step or data[step] != wanted:
            return
    raise RuntimeError("found")


def test_a_fault_is_found_and_found_again() -> None:
    """The bytes of a finding, and the same ones for the same seed: else a replay would replay nothing."""
    target = Target(name="depth", about="", opened=simply(_depth), seeds=lambda: [b"fuzy", b"....", b"fu.."])
    first, again = (search(target, seed=3, examples=200_000) for _ in range(2))
    assert first.finding is not None and first.finding[:4] == b"fuzz"
    assert (first.finding, first.examples) == (again.finding, again.examples)
