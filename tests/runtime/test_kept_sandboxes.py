"""Sandboxes between their calls: found by who left them last, or not at all."""

from __future__ import annotations

import pytest

from runtime.executor.job import Resident
from runtime.executor.kept import KeptSandboxes
from runtime.sandbox.fiber import Fiber


@pytest.fixture
def fibers() -> list[Fiber]:
    return [Fiber() for _ in range(5)]


@pytest.fixture
def dropped() -> list[Fiber]:
    return []


@pytest.fixture
def kept(dropped: list[Fiber]) -> KeptSandboxes[Fiber]:
    return KeptSandboxes(4, dropped.append)


def test_it_is_found_once_by_the_next_call(kept: KeptSandboxes[Fiber], fibers: list[Fiber]) -> None:
    kept.keep("a", Resident("u", 0, 7), fibers[0])
    assert kept.take("a", None) is None
    assert kept.take("a", Resident("v", 7, 8)) is None
    assert kept.take("a", Resident("u", 7, 8)) is fibers[0]
    assert kept.take("a", Resident("u", 7, 8)) is None


def test_what_another_call_left_behind_is_dropped(
    kept: KeptSandboxes[Fiber], fibers: list[Fiber], dropped: list[Fiber]
) -> None:
    """The user's calls went to another worker meanwhile, or were to find nothing: memory never goes back in time."""
    for before in (0, 6, 8):
        kept.keep("a", Resident("u", 0, 7), fibers[0])
        assert kept.take("a", Resident("u", before, 9)) is None
        assert (dropped.pop(), len(kept)) == (fibers[0], 0)


def test_one_for_each_user_and_three_quarters_of_the_slots(
    kept: KeptSandboxes[Fiber], fibers: list[Fiber], dropped: list[Fiber]
) -> None:
    for number, fiber in enumerate(fibers[:3]):
        kept.keep("a", Resident(str(number), 0, 1), fiber)
    assert dropped == []
    kept.keep("a", Resident("2", 0, 1), fibers[3])
    kept.keep("b", Resident("0", 0, 1), fibers[4])
    assert dropped == [fibers[2], fibers[0]]
    kept.forget("a", "nobody")
    kept.forget("a", "1")
    assert (dropped[2:], len(kept)) == ([fibers[1]], 2)
    kept.clear()
    assert (dropped[3:], kept.drop_oldest()) == ([fibers[3], fibers[4]], False)
