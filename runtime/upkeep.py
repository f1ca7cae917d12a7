"""What keeps a host running, day and night: its settings, its figures, and how it is stopped.

What lives here: what an operator does to the host as a process. Money, users and proofs are operations.py's.
"""

from __future__ import annotations

import resource
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from host_api import audit
from host_api.events.telling import ToldEvent
from host_api.store import Store, Transaction
from runtime.assembly import Parts
from runtime.errors import UsageError
from runtime.event_tail import EventTail
from runtime.housekeeping import SWEEP_ROWS
from runtime.journal.journal import Journal
from runtime.metrics import Metrics, first
from runtime.settings import HostSettings
from runtime.statistics import TOP_BY, HostStatistics, HostStatus, Top

EVENT_TAILS_MOST: Final = 64


class HostUpkeep:
    """Part of `Host`. Used from the trio thread that opened it."""

    def __init__(self, parts: Parts) -> None:
        self.settings = parts.settings
        self._store: Store = parts.store
        self._watched, self._calls, self._pushes = parts.store, parts.calls, parts.pushes
        self._registry, self._executor, self._services = parts.registry, parts.executor, parts.services
        self._desk, self._modules, self._code = parts.desk, parts.modules, parts.code
        self._opened_us = parts.store.now_us()
        self._rehearsed = parts.rehearsed
        self.journal: Journal | None = parts.journal
        self.metrics: Metrics | None = parts.metrics
        """Figures of the host and its programs; None where nothing is counted."""
        self._event_tails = 0
        self.doors_open = True
        """False while a daemon has not opened all the ways in to its host."""

    @property
    def ready(self) -> bool:
        """New work may come: all doors are open, the host does not drain, and there are workers to take it."""
        return self.doors_open and not self._calls.closing and self._executor.is_able

    async def settle(self) -> None:
        """In a rehearsal: does what falls due by now, and comes back when nothing is due any more. What expired is
        written down and told, and programs are woken by their events, one after the other.

        Raises UsageError for a host that was opened without one: it does all this by itself.
        """
        if not self._rehearsed:
            raise UsageError("the host was opened without a rehearsal: it does what falls due by itself")
        for sweep in self._services.sweeps:
            while await self._store.write(lambda tx: sweep(tx, SWEEP_ROWS)) >= SWEEP_ROWS:  # noqa: B023
                pass
        await self._pushes.settle()

    # ---- what there is to see ----------------------------------------------------------------------------------------
    def statistics(self) -> HostStatistics:
        executor = self._executor.status()
        return HostStatistics(
            programs=len(self._registry),
            calls_in_flight=len(self._calls),
            calls_queued=sum(program.admission.queued for program in self._registry),
            sandboxes=executor.sandboxes,
            slots=executor.slots,
            prompts_open=0 if self._calls.closing else self._desk.count(),
            fetches=self._services.http.under_way,
            ticker=executor.ticker,
            sandbox_level=executor.sandbox_level,
        )

    def status(self) -> HostStatus:
        """The host as a process."""
        executor, now_us = self._executor.status(), self._store.now_us()
        return HostStatus(
            version=_version(), now_us=now_us, up_us=now_us - self._opened_us, ready=self.ready,
            draining=self._calls.closing, statistics=self.statistics(), placement=executor.placement,
            workers=executor.workers,
            resident_bytes=_resident_bytes(), calls_ended=0 if self.metrics is None else self.metrics.calls_ended,
            commits=self._store.commits, writes=self._store.writes,
            journal=None if self.journal is None else self.journal.status(),
        )  # fmt: skip

    def denials(self) -> Counter[str]:
        """Requests of guests that were refused since the host was opened, by code."""
        return self._calls.broker.denials

    def compiled(self) -> Counter[str]:
        """Modules that went to the compiler since the host was opened: `ok`, or the code of the refusal."""
        return self._modules.compiled

    def top(self, limit: int = 50, *, by: str = "cpu_us_per_s") -> Top:
        """The host, and the programs that come first by a figure of `ProgramFigures`. Raises UsageError: nothing is
        counted (`HostSettings.metrics`), or there is no such figure."""
        if self.metrics is None:
            raise UsageError("this host counts nothing: open it with HostSettings.metrics", code="nothing_counted")
        if by not in TOP_BY:
            raise UsageError(f"by = {ascii(by)[:40]}: must be one of {', '.join(TOP_BY)}")
        rows = self.metrics.rows(self._calls.in_flight_by_program())
        return Top(
            status=self.status(), calls_per_s=sum(row.calls_per_s for row in rows),
            cpu_us_per_s=sum(row.cpu_us_per_s for row in rows), programs=tuple(first(rows, limit, by)),
        )  # fmt: skip

    @contextmanager
    def event_tail(self, app_id: str = "", before: int = 0) -> Iterator[EventTail]:
        """What programs are told, or one of them, as it happens; with the newest `before` first. Raises UsageError:
        EVENT_TAILS_MOST follow already."""
        if self._event_tails >= EVENT_TAILS_MOST:
            raise UsageError(f"{EVENT_TAILS_MOST} follow the events already", code="too_many_watch")
        self._event_tails += 1
        try:
            yield EventTail(self._watched, app_id, before)
        finally:
            self._event_tails -= 1

    async def follow_events(self, take: Callable[[ToldEvent], None], app_id: str = "", before: int = 0) -> None:
        """As `event_tail`, until it is cancelled; `take` is short."""
        with self.event_tail(app_id, before) as tail:
            async for page in tail:
                for event in page:
                    take(event)

    # ---- the end -----------------------------------------------------------------------------------------------------
    async def drain(self, seconds: float) -> None:
        """No new calls from now on; waits so long for those in flight, then ends them as `cancelled`. Cancelled itself,
        it ends them at once. The host stays open for everything else."""
        self._pushes.close()
        await self._calls.drain(seconds)

    async def record_steering(self, effect: str, *, by: str) -> None:
        """To the audit: who has the host drained or stopped. Before it is. Raises ApiError of the store."""
        await self._store.write(lambda tx: audit.record(tx, effect, by=by))

    # ---- settings ----------------------------------------------------------------------------------------------------
    async def record_settings(self, changes: Mapping[str, tuple[Any, Any]], *, by: str) -> None:
        """To the audit: who changes which settings from what to what. Before they change. Raises ApiError of the
        store."""

        def job(tx: Transaction) -> None:
            for name, (before, after) in changes.items():
                audit.record(tx, "host.setting_changed", setting=name, before=str(before), after=str(after), by=by)

        await self._store.write(job)

    def change_settings(self, settings: HostSettings) -> None:
        """Others from now on: the limits that programs get by default, and how long the journal is kept. Everything
        else in them needs a new host."""
        self.settings = replace(self.settings, limits=settings.limits, journal=settings.journal)
        self._registry.set_default(settings.limits)
        if self.journal is not None and settings.journal is not None:
            self.journal.set_bounds(settings.journal)


def _version() -> str:
    try:
        return metadata.version("hostel")
    except metadata.PackageNotFoundError:
        return "not installed"


def _resident_bytes() -> int:
    """0 where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * resource.getpagesize()
