"""The side of a client for whoever keeps a host running: its figures, its journal, its backups."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from host_api.events.telling import ToldEvent
from runtime.client.link import Link
from runtime.control import upkeep
from runtime.journal.entries import LogLine, PastCall, Query
from runtime.made_backups import MadeBackup
from runtime.statistics import HostStatus, Top


class ClientUpkeep:
    """Part of `Client`."""

    _link: Link

    async def status(self) -> HostStatus:
        """See `Host.status`."""
        return (await self._link.request(upkeep.STATUS, upkeep.STATUS.params())).status

    async def top(self, limit: int = 50, *, by: str = "cpu_us_per_s") -> Top:
        """See `Host.top`."""
        return (await self._link.request(upkeep.TOP, upkeep.TopOf(limit=limit, by=by))).top  # type: ignore[arg-type]

    async def receipts(self, query: Query, limit: int = 100) -> list[PastCall]:
        """See `Host.receipts`."""
        asked = upkeep.Which(
            app=query.app_id, call=query.call_id, trace_id=query.trace_id, since_us=query.since_us, limit=limit
        )
        return list((await self._link.request(upkeep.RECEIPTS, asked)).calls)

    async def logs(self, query: Query, limit: int = 100) -> list[LogLine]:
        """See `Host.logs`."""
        lines: list[LogLine] = []

        def take(told: upkeep.Line) -> None:
            if told.line is not None:
                lines.append(told.line)

        await self._link.request(upkeep.LOGS, _which(query, limit, follow=False), take)
        return lines

    async def follow_logs(self, query: Query, take: Callable[[LogLine | None], None], limit: int = 100) -> None:
        """See `Host.follow_logs`."""
        await self._link.request(upkeep.LOGS, _which(query, limit, follow=True), lambda told: take(told.line))

    async def follow_receipts(self, query: Query, take: Callable[[PastCall | None], None], limit: int = 0) -> None:
        """See `Host.follow_receipts`."""
        asked = upkeep.WhichToCome(
            app=query.app_id, call=query.call_id, trace_id=query.trace_id, since_us=query.since_us, limit=limit
        )
        await self._link.request(upkeep.RECEIPTS_TAIL, asked, lambda told: take(told.call))

    async def follow_events(self, take: Callable[[ToldEvent], None], app_id: str = "", before: int = 0) -> None:
        """See `Host.follow_events`."""
        asked = upkeep.WhichEvents(app=app_id, limit=before)
        await self._link.request(upkeep.EVENTS_TAIL, asked, lambda told: take(told.event))

    async def backup(self, to: Path, *, journal: bool = False) -> upkeep.BackedUp:
        """See `Host.backup`; `to` is a path of the host's machine, a whole one."""
        return await self._link.request(upkeep.BACKUP, upkeep.BackUp(to=str(to), journal=journal))

    async def backups(self) -> list[MadeBackup]:
        """See `Host.backups`."""
        return list((await self._link.request(upkeep.BACKUPS, upkeep.BACKUPS.params())).backups)


def _which(query: Query, limit: int, *, follow: bool) -> upkeep.WhichLines:
    return upkeep.WhichLines(
        app=query.app_id, call=query.call_id, trace_id=query.trace_id, since_us=query.since_us, limit=limit,
        level=query.least_level, follow=follow,  # type: ignore[arg-type]
    )  # fmt: skip
