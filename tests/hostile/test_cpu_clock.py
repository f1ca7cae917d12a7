"""The clock of the bill: collections of garbage are on nobody's."""

from __future__ import annotations

import gc
import signal
import sys
from time import thread_time_ns
from types import FrameType

import pytest
import trio

from runtime import wire
from runtime.sandbox.cpu_clock import _on_collection, billed_ns, leave_out_collections
from tests.hostile.conftest import Opened
from tests.hostile.guests import Script


def test_the_clock_goes_on_but_for_collections() -> None:
    leave_out_collections()
    kept = [[number] for number in range(200_000)]
    began, billed = thread_time_ns(), billed_ns()
    gc.collect()
    collected, told = thread_time_ns() - began, billed_ns() - billed
    assert len(kept) == 200_000
    assert 0 <= told < collected // 2
    billed = billed_ns()
    sum(range(200_000))
    assert billed_ns() > billed


def test_ctrl_c_is_not_lost_in_a_collection() -> None:
    """Python tells nobody of what is raised there: trio has to keep it until something can be interrupted."""

    async def collect() -> None:
        leave_out_collections()
        sys.setprofile(_strike)
        gc.collect()
        with trio.move_on_after(20):  # what is lost does not come
            await trio.sleep_forever()

    with pytest.raises(KeyboardInterrupt):
        trio.run(collect)


def _strike(frame: FrameType, event: str, arg: object) -> None:
    if event == "call" and frame.f_code is _on_collection.__code__:
        sys.setprofile(None)
        signal.raise_signal(signal.SIGINT)


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
