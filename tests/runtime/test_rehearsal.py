"""A rehearsal: the same seed and scene give the same ids and the same randomness, and nothing happens by itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime import Host, UsageError
from runtime.executor import frames
from runtime.rehearsal import GUEST_BYTES, Rehearsal
from runtime.sandbox.wasi import seeded
from tests.hostile.guests import Script, bundle, scripted

APP = "org.example.guest"
DRAW = Script().step("random_get", 2048, 16)


def test_a_scene_is_the_same_whatever_was_before() -> None:
    first, second = Rehearsal(7), Rehearsal(7)
    first.begin(1)
    drawn = [first.new_id(), first.call_id(), first.guest_seed().hex(), first.new_id()]
    for _ in range(9):
        second.new_id()
    second.begin(1)
    assert [second.new_id(), second.call_id(), second.guest_seed().hex(), second.new_id()] == drawn
    assert len(set(drawn)) == 4 and all(len(each) == 32 for each in drawn)
    second.begin(2)
    assert second.new_id() not in drawn
    assert Rehearsal(8).key("pairwise", 32) != first.key("pairwise", 32) == second.key("pairwise", 32)


@pytest.mark.parametrize("seed", [-1, 1 << 63])
def test_a_seed_has_bounds(seed: int) -> None:
    with pytest.raises(ValueError, match="from 0 to"):
        Rehearsal(seed)


def test_what_a_guest_draws_follows_from_its_seed() -> None:
    assert GUEST_BYTES == frames.SEED_BYTES
    one, same, other = seeded(b"a" * 16), seeded(b"a" * 16), seeded(b"b" * 16)
    drawn = [one(4), one(4), one(40)]
    assert drawn == [same(4), same(4), same(40)] and drawn[0] != drawn[1]
    assert other(4) != drawn[0] and len(drawn[2]) == 40 and one(0) == b""


async def drawn(tmp_path: Path, rehearsal: Rehearsal | None) -> tuple[str, int]:
    """Id and bytes in of one call on a host of its own."""
    async with Host.open(tmp_path, allow_unsigned=True, rehearsal=rehearsal) as host:
        await host.install(bundle(scripted(), APP))
        if rehearsal is not None:
            rehearsal.begin(1)
            await host.settle()
        reply = await host.call(APP, "run", DRAW.params())
        return reply.receipt.call_id, reply.receipt.usage.message_in_bytes


async def test_calls_have_the_ids_of_the_rehearsal(tmp_path: Path) -> None:
    first = await drawn(tmp_path / "a", Rehearsal(3))
    assert first == await drawn(tmp_path / "b", Rehearsal(3))
    assert first[0] != (await drawn(tmp_path / "c", None))[0]


async def test_a_host_of_production_does_what_falls_due_by_itself() -> None:
    async with Host.open() as host:
        with pytest.raises(UsageError, match="without a rehearsal"):
            await host.settle()
