"""The proof at start-up that a guest can be stopped: without it the host does not start."""

from __future__ import annotations

import threading
import time

import wasmtime

from runtime.errors import StartupError
from runtime.limits import FUEL_MOST
from runtime.sandbox import binding
from runtime.sandbox.fiber import Fiber
from runtime.sandbox.pool import Pool
from runtime.sandbox.ticker import Ticker

PROOF_S = 0.1
"""CPU time within which a spinning guest must have been stopped. Not wall time: a busy machine is no broken ticker."""
PATIENCE_S = 30.0
"""Wall time after which a machine that gives the proof no CPU time is refused too."""

_SPIN = bytes.fromhex("0061736d0100000001040160000003020100070801047370696e00000a0901070003400c000b0b")
"""(module (func (export "spin") (loop (br 0)))): ours, so compiled here, before any guest is served."""


def prove(pool: Pool, ticker: Ticker) -> None:
    """Stops a spinning guest by the tick, or raises StartupError. In a thread, so that a lost tick cannot hang the
    host."""
    module = wasmtime.Module(pool.engine, _SPIN)
    instance = wasmtime.Linker(pool.engine).instantiate_pre(module)
    fiber, stopped, looked = Fiber(), threading.Event(), threading.Event()

    def spin() -> None:
        fiber.open(pool.engine_at, binding.address(instance.ptr()), 0, 0, FUEL_MOST if pool.metered else 0)
        while not fiber.poll_free():
            pass
        fiber.finish()
        fiber.begin(b"spin", results=0)
        if not fiber.poll_free():  # comes back by a tick, with the guest still in its loop
            stopped.set()
        looked.wait()  # a thread that has ended has no clock to look at

    thread = threading.Thread(target=spin, name="hostel-proof", daemon=True)
    ticker.enter()
    try:
        thread.start()
        in_time = _stopped_in_time(thread, stopped)
    finally:
        looked.set()
        ticker.leave()
        ticker.rest()
    while thread.is_alive():
        binding.increment_epoch(pool.engine_at)  # by hand, so that the proof's own guest ends
        thread.join(0.01)
    fiber.close()
    if not in_time:
        raise StartupError(
            f"a spinning guest was not stopped within {PROOF_S * 1e3:.0f} ms of CPU time by the {ticker.kind} ticker:"
            " calls could not be limited, so the host does not start",
            code="ticker_failed",
        )


def _stopped_in_time(thread: threading.Thread, stopped: threading.Event) -> bool:
    """Waits for the guest to be stopped, or for its thread to have used too much CPU time."""
    patient_until = time.monotonic() + PATIENCE_S
    if thread.ident is None:
        raise RuntimeError("the thread has been started")
    clock = time.pthread_getcpuclockid(thread.ident)
    while not stopped.wait(PROOF_S / 10):
        if time.clock_gettime(clock) > PROOF_S or time.monotonic() > patient_until:
            return stopped.is_set()
    return True
