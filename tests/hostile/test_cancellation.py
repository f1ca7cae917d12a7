"""Cancelled, interrupted, in other threads: a call that is stopped at any point leaves nothing behind."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from runtime import Ending, Host, HostSettings, StartupError, wire
from runtime.sandbox.pool import Pool
from runtime.sandbox.proof import prove
from runtime.sandbox.ticker import Ticker
from tests.executor_choice import WORKERS
from tests.hostile.conftest import Opened, Site
from tests.hostile.guests import Script, bundle, module, scripted

PUT = wire.request(1, "storage.put", {"key": "k", "value": 1})
ORDER = {"key": "k", "out_trade_no": "1", "amount": {"amount": 5, "currency": "CNY"}, "subject": "Tea"}


class CancelAt(trio.abc.Instrument):
    """Cancels a scope when a task has made that many steps."""

    def __init__(self, task: trio.lowlevel.Task, scope: trio.CancelScope, at: int) -> None:
        self._task, self._scope, self._left = task, scope, at

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        if task is self._task:
            self._left -= 1
            if not self._left:
                self._scope.cancel()


async def cancelled_after(steps: int, site: Site, app: Any, params: dict[str, bytes]) -> bool:
    with trio.CancelScope() as scope:
        instrument = CancelAt(trio.lowlevel.current_task(), scope, steps)
        trio.lowlevel.add_instrument(instrument)
        try:
            await site.host.call(app, "run", params, user="alice")
        finally:
            trio.lowlevel.remove_instrument(instrument)
    return scope.cancelled_caught


async def test_a_call_cancelled_at_each_of_its_steps(stored: Site) -> None:
    """Host calls at once and waiting, posts, waits, a person asked, a turn in another thread: after each step."""
    app = await stored.install(cpu_us=60_000_000, cpu_burst_us=3_600_000_000)
    stored.cashier.hold()
    order_id = (await stored.ask(wire.request(1, "payment.create", ORDER), app))[3]["order_id"]
    ask = wire.request(5, "payment.request", {"order_id": order_id, "wait_ms": 1})
    script = Script().call(PUT).call(wire.request(1, "session.info", {}))
    script.post(wire.request(2, "session.sleep", {"ms": 1})).post(
        wire.request(3, "storage.put", {"key": "l", "value": 2})
    )
    script.wait().wait().step("spin", 8_000_000).call(ask).post(wire.request(4, "session.sleep", {"ms": 1}))
    params = script.params()
    steps = 1
    while await cancelled_after(steps, stored, app, params):
        stored.nothing_left()
        steps += 1
    assert steps > (2 if WORKERS else 10)
    stored.cashier.release()
    while stored.host.statistics().prompts_open:
        await trio.lowlevel.checkpoint()
    assert (await stored.ask(PUT, app))[2] is None


async def test_a_call_cancelled_in_each_queue(opened: Opened) -> None:
    """Waiting for its program's turn, and for a slot: nobody behind it is forgotten."""
    async with opened(slots=1) as site:
        app = await site.install(calls_in_flight=1)
        other = await site.install(module())
        sleep = Script().call(wire.request(1, "session.sleep", {"ms": 10})).params()
        for calls, waits in ((app, "its program"), (other, "a slot")):
            done: list[str] = []

            async def call(program: Any, params: dict[str, bytes], done: list[str] = done) -> None:
                await site.host.call(program, "run", params)
                done.append("done")

            async with trio.open_nursery() as nursery:
                nursery.start_soon(call, app, sleep)
                while not site.host.statistics().sandboxes:
                    await trio.lowlevel.checkpoint()
                with trio.CancelScope() as scope:
                    async with trio.open_nursery() as impatient:
                        impatient.start_soon(call, calls, {})
                        await trio.testing.wait_all_tasks_blocked(0.0)
                        scope.cancel()
                nursery.start_soon(call, other, {})
            assert done == ["done", "done"], waits


# ---- Ctrl-C ----------------------------------------------------------------------------------------------------------
@pytest.fixture
def interruptible() -> Iterator[None]:
    """A process begun in the background by a shell ignores SIGINT."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("guest", ["waits", "spins"])
@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_during_a_call(artifacts: Path, guest: str) -> None:
    """It comes out of trio.run as ever; the process serves guests afterwards."""
    script = Script().call(wire.request(1, "session.sleep", {"ms": 60_000}))
    if guest == "spins":
        script = Script().step("spin", 0).step("again", 0)

    async def interrupted() -> None:
        async with _host(artifacts) as host:
            app = await host.install(bundle(scripted()), limits={"cpu_us": 600_000_000})
            async with trio.open_nursery() as nursery:
                nursery.start_soon(host.call, app, "run", script.params())
                while not host.statistics().sandboxes:
                    await trio.lowlevel.checkpoint()
                os.kill(os.getpid(), signal.SIGINT)
                await trio.sleep_forever()

    with pytest.raises(BaseException) as caught:
        trio.run(interrupted)
    assert _holds(caught.value, KeyboardInterrupt)
    assert trio.run(_ending_of_a_spin, artifacts, "auto") is Ending.CPU_EXCEEDED


def _holds(error: BaseException, kind: type[BaseException]) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return all(_holds(each, kind) for each in error.exceptions)
    return isinstance(error, kind)


def _host(artifacts: Path, ticker: str = "auto") -> Any:
    settings = HostSettings(slots=4, allow_unsigned=True, cache_dir=artifacts, drain_s=0.0, ticker=ticker)
    return Host.open(settings=settings)


async def _ending_of_a_spin(artifacts: Path, ticker: str) -> Ending:
    async with _host(artifacts, ticker) as host:
        app = await host.install(bundle(scripted()))
        try:
            await host.call(app, "run", Script().step("spin", 0).step("again", 0).params())
        except Exception as error:
            return error.ending  # type: ignore[attr-defined,no-any-return]
    raise AssertionError("it cannot complete")


# ---- threads and hosts -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("ticker", ["signal", "thread"])
def test_hosts_in_other_threads_stop_their_guests(artifacts: Path, ticker: str) -> None:
    """Two at once, neither in the main thread: each has its own tick."""
    endings: list[Ending] = []
    threads = [
        threading.Thread(target=lambda: endings.append(trio.run(_ending_of_a_spin, artifacts, ticker)))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert endings == [Ending.CPU_EXCEEDED] * 2


async def test_two_hosts_in_one_thread(opened: Opened) -> None:
    async with opened() as one, opened() as other:
        async with trio.open_nursery() as nursery:
            for site in (one, other):
                nursery.start_soon(site.end, Script().step("spin", 0).step("again", 0))
        await one.host._calls.drain(0.0)
        assert (await other.host.call(await other.install(module()), "run")).value is None


class DeadTicker(Ticker):
    """One whose tick never comes."""

    kind, needs_gil = "dead", False

    def _arm(self, on: bool) -> None:
        pass

    def close(self) -> None:
        pass


def test_a_tick_that_does_not_come_is_refused_at_start() -> None:
    pool = Pool(slots=1)
    with pytest.raises(StartupError) as caught:
        prove(pool, DeadTicker(pool.engine))
    assert caught.value.code == "ticker_failed"
    assert "dead" in caught.value.message
