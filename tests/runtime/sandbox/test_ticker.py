"""The tick: it counts while a guest runs, stands still otherwise, and a host without one does not start."""

from __future__ import annotations

import signal
import threading

import pytest
import trio
import wasmtime

from runtime.errors import StartupError
from runtime.sandbox import proof, ticker
from runtime.sandbox.engine import engine_config
from runtime.sandbox.pool import Pool
from runtime.sandbox.ticker import SignalTicker, ThreadTicker, Ticker, open_ticker

KINDS = ("signal", "thread")


@pytest.fixture
def pool() -> Pool:
    return Pool(slots=2)


@pytest.mark.parametrize("kind", KINDS)
def test_a_spinning_guest_is_stopped_and_the_ticker_stands_still_afterwards(pool: Pool, kind: str) -> None:
    tick = open_ticker(pool.engine, kind)
    try:
        proof.prove(pool, tick)
        assert tick.resting and tick.running == 0
    finally:
        tick.close()


class DeadTicker(Ticker):
    """Never ticks."""

    kind, needs_gil = "dead", True

    def _arm(self, on: bool) -> None:
        pass

    def close(self) -> None:
        pass


def test_a_ticker_that_does_not_tick_is_refused(pool: Pool) -> None:
    with pytest.raises(StartupError) as refused:
        proof.prove(pool, DeadTicker(pool.engine))
    assert refused.value.code == "ticker_failed" and "dead" in str(refused.value)


def test_the_process_handler_serves_every_engine() -> None:
    """The timer carries its engine: two engines with signal tickers at once, each stopped by its own."""
    pools = [Pool(slots=1), Pool(slots=1)]
    ticks = [SignalTicker(pool.engine) for pool in pools]
    try:
        for pool, tick in zip(pools, ticks, strict=True):
            proof.prove(pool, tick)
    finally:
        for tick in ticks:
            tick.close()


async def test_the_first_tick_of_a_loop_that_sleeps_disarms_it(pool: Pool) -> None:
    tick = SignalTicker(pool.engine)
    trio.lowlevel.add_instrument(tick)
    try:
        tick.enter()
        await trio.sleep(0.001)
        assert tick.armed and not tick.resting, "a guest runs: it ticks on while others sleep"
        tick.leave()
        assert not tick.resting, "another call may come in the same pass"
        with trio.fail_after(5):
            while tick.armed:  # noqa: ASYNC110 - the tick is machine code, and sets no event
                await trio.sleep(0.001)
        assert tick.resting
        tick.enter()
        assert tick.armed, "the next guest arms it again"
    finally:
        trio.lowlevel.remove_instrument(tick)
        tick.close()


def test_a_thread_that_blocks_every_signal_is_ticked_too(pool: Pool) -> None:
    """Masks are inherited, and trio gives out worker threads that somebody else used before."""
    blocked: list[set[int]] = []

    def look(tick: SignalTicker) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        with tick.here():
            blocked.append({int(signo) for signo in signal.pthread_sigmask(signal.SIG_BLOCK, ())})

    def serve() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        tick = SignalTicker(pool.engine)
        proof.prove(pool, tick)
        worker = threading.Thread(target=look, args=(tick,))
        worker.start()
        worker.join()
        tick.close()

    thread = threading.Thread(target=serve)
    thread.start()
    thread.join()
    assert len(blocked) == 1
    assert SignalTicker._signo not in blocked[0]


def test_a_signal_ticker_is_closed_by_its_own_thread(pool: Pool) -> None:
    tick = SignalTicker(pool.engine)
    raised: list[BaseException] = []

    def close() -> None:
        try:
            tick.close()
        except RuntimeError as error:
            raised.append(error)

    thread = threading.Thread(target=close)
    thread.start()
    thread.join()
    assert len(raised) == 1
    tick.close()


def test_without_machine_code_for_the_processor_a_thread_ticks(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ticker, "_stub", lambda _: None)
    monkeypatch.setattr(SignalTicker, "_page", None)
    tick = open_ticker(pool.engine)
    try:
        assert isinstance(tick, ThreadTicker) and tick.needs_gil
    finally:
        tick.close()
    with pytest.raises(StartupError, match="signal ticker"):
        open_ticker(pool.engine, "signal")


def test_compile_and_pooled_engines_agree() -> None:
    """An artifact of the compile child's engine loads into a pooled one."""
    artifact = wasmtime.Module(wasmtime.Engine(engine_config()), "(module (memory 1))").serialize()
    wasmtime.Module.deserialize(Pool(slots=1).engine, artifact)
