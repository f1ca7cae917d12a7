"""The clock of the bill: collections of garbage are on nobody's."""

from __future__ import annotations

import gc
from time import thread_time_ns

from runtime import wire
from runtime.sandbox.cpu_clock import billed_ns
from tests.hostile.conftest import Opened
from tests.hostile.guests import Script


def test_the_clock_goes_on_but_for_collections() -> None:
    kept = [[number] for number in range(200_000)]
    began, billed = thread_time_ns(), billed_ns()
    gc.collect()
    collected, told = thread_time_ns() - began, billed_ns() - billed
    assert len(kept) == 200_000
    assert 0 <= told < collected // 2
    billed = billed_ns()
    sum(range(200_000))
    assert billed_ns() > billed


async def test_a_guest_is_not_ended_by_a_collection(opened: Opened) -> None:
    """A large service's full collection takes longer than the guest's whole budget, in the middle of its call."""
    kept = [[number] for number in range(1_000_000)]
    collected = []

    def collect(*_: object) -> None:
        began = thread_time_ns()
        gc.collect()
        collected.append((thread_time_ns() - began) // 1_000)

    async with opened(log_sink=collect) as site:
        _, reply = await site.reply(Script().print(b"said\n").print(b"said\n"), cpu_us=20_000, wall_ms=60_000)
        assert (len(kept), len(collected)) == (1_000_000, 2)
        assert reply.receipt.usage.cpu_us < collected[0]
        assert (await site.ask(wire.request(1, "session.info", {})))[2] is None
