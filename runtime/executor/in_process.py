"""The executor in this process: pool, ticker, and one guest call at a time per sandbox. For the library, the CLI and
tests.

It takes a loaded module, message bytes and limits, and gives an Outcome; it knows no app, no user and no grant.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import trio

from runtime.errors import Ending
from runtime.executor.job import ExecutorStatus, Job, Outcome, Start
from runtime.executor.kept import KeptSandboxes
from runtime.log import logger
from runtime.receipt import Usage
from runtime.sandbox import wasi
from runtime.sandbox.checks import ModuleFacts
from runtime.sandbox.fiber import Fiber, Over
from runtime.sandbox.host_side import HostSide
from runtime.sandbox.loop import Loop
from runtime.sandbox.over_limits import over_deadline
from runtime.sandbox.pool import Module, Pool
from runtime.sandbox.proof import prove
from runtime.sandbox.sandbox import QUANTUM_NS, THREAD_QUANTUM_NS, Sandbox
from runtime.sandbox.script import scripted
from runtime.sandbox.ticker import Ticker, open_ticker
from runtime.sandbox.turns import Turns
from runtime.settings import HostSettings

THREADS = 2
"""Guests that run long, at once, off the trio thread; programs take turns."""

_log = logger("executor")


class InProcessExecutor:
    """Opened and closed in the thread that runs trio; closed when no call is in flight."""

    start: Start | None = None
    """A guest is polled in the task that waits for it."""

    def __init__(
        self, *, settings: HostSettings, now_us: Callable[[], int], new_id: Callable[[], str], threads: int = THREADS
    ) -> None:
        """`threads`: those for guests that run long; 0: the trio thread polls them too, a slice at a time.

        Raises StartupError if a spinning guest cannot be stopped.
        """
        self._settings = settings
        self.pool, self.ticker = self._open(metered=False)
        self._metered: tuple[Pool, Ticker] | None = None
        """Where fuel is counted, made with the first module that is to run there."""
        self._waiting, self._promised = trio.lowlevel.ParkingLot(), 0
        self._kept = KeptSandboxes(settings.slots, self._close)
        self._turns = Turns(places=1, quantum_ns=QUANTUM_NS)
        self._threads = Turns(places=threads, quantum_ns=THREAD_QUANTUM_NS) if threads else None
        self._loop = Loop()
        self._now_us, self._new_id = now_us, new_id
        trio.lowlevel.add_instrument(self._turns)

    def _open(self, *, metered: bool) -> tuple[Pool, Ticker]:
        """Slots on an engine of their own, with its tick, which is proved."""
        settings = self._settings
        pool = Pool(slots=settings.slots, keep_resident_bytes=settings.keep_resident_bytes, metered=metered)
        ticker = open_ticker(pool.engine, settings.ticker)
        try:
            prove(pool, ticker)
        except BaseException:
            ticker.close()
            raise
        trio.lowlevel.add_instrument(ticker)
        return pool, ticker

    def load(self, artifact: bytes, facts: ModuleFacts) -> Module:
        """An authenticated artifact becomes a module that can run. 0.1–0.2 ms for a small one."""
        if not facts.metered:
            return self.pool.load(artifact, facts)
        if self._metered is None:
            self._metered = self._open(metered=True)
        return self._metered[0].load(artifact, facts)

    def _ticker_of(self, module: Module) -> Ticker:
        return self._metered[1] if module.metered and self._metered is not None else self.ticker

    def scripted(self, module: Module, image: bytes) -> Module:
        """See `Executor.scripted`."""
        return scripted(module, image)

    @trio.lowlevel.enable_ki_protection
    async def run(self, job: Job, host: HostSide, usage: Usage) -> Outcome:
        """One message, in a fresh sandbox or in the resident one. Cancelled at any point, the guest is dropped and its
        slot given back."""
        limits = job.limits
        fiber = kept = self._kept.take(job.program, job.resident)
        if fiber is None:
            if self._is_full and not self._kept.drop_oldest() and not await self._wait_for_slot(host):
                return self._over(over_deadline(limits))
            fiber = self.pool.take_place(job.place)
        share, is_well = self._turns.of(job.program), False
        ticker = self._ticker_of(job.module)
        sandbox = Sandbox(
            fiber, job.module, limits, host, usage, ticker, share, self._threads, self._now_us, self._loop
        )
        if job.seed:
            sandbox.random = wasi.seeded(job.seed)
        try:
            if job.trial:
                response = await sandbox.try_script()
            else:
                response = await sandbox.handle(job.message, notification=job.notification, kept=kept is not None)
            is_well = True
            return Outcome(ending=Ending.COMPLETED, response=response)
        except Over as over:
            return self._over(over)
        except Exception as error:  # a bug of ours: the call is over, the host is not
            return self._fault(exc_info=error)
        finally:
            sandbox.close()
            if is_well and job.resident is not None and not self._waiting:
                self._kept.keep(job.program, job.resident, fiber)
            else:
                self._close(fiber)

    def forget(self, program: str, user: str) -> None:
        """See `Executor.forget`."""
        self._kept.forget(program, user)

    def _close(self, fiber: Fiber) -> None:
        fiber.close()
        self.pool.give_place(fiber)
        if self._waiting:
            self._promised += 1
            self._waiting.unpark()

    @property
    def _is_full(self) -> bool:
        return self.pool.places + self._promised >= self.pool.slots

    @property
    def is_able(self) -> bool:
        return True

    def has_room(self, group: str = "") -> bool:
        """A slot would be had without waiting. All groups share this process."""
        return not self._is_full or len(self._kept) > 0

    def give_up(self, started: Any) -> None:
        """Nothing is started here without a task."""

    def abandon(self) -> None:
        """See `Executor.abandon`. A guest in this process is dropped where it stands: none is left to be waited for."""

    def status(self) -> ExecutorStatus:
        return ExecutorStatus(
            placement="in_process", sandbox_level="none", ticker=self.ticker.kind, slots=self.pool.slots,
            sandboxes=self.pool.places,
        )  # fmt: skip

    async def _wait_for_slot(self, host: HostSide) -> bool:
        """All slots are taken: first come, first served, at most to the call's deadline. True: one is promised."""
        with host.deadline.scope():
            await self._waiting.park()
            self._promised -= 1
            return True
        return False

    def _over(self, over: Over) -> Outcome:
        if over.ending is not Ending.INTERNAL:
            return Outcome(ending=over.ending, detail=over.detail, details=over.details)
        return self._fault(detail=over.detail)

    def _fault(self, **told: Any) -> Outcome:
        incident = self._new_id()
        _log.error("sandbox failed", incident=incident, **told)
        return Outcome(
            ending=Ending.INTERNAL, detail=f"a fault of the host; incident {incident}", details={"incident": incident}
        )

    def close(self) -> None:
        trio.lowlevel.remove_instrument(self._turns)
        self._kept.clear()
        for pool, ticker in filter(None, ((self.pool, self.ticker), self._metered)):
            trio.lowlevel.remove_instrument(ticker)
            ticker.close()
            pool.close()
