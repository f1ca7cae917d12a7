"""What answers the methods for whoever keeps a host running (runtime/control/upkeep.py)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runtime.control import upkeep
from runtime.control.method import Done
from runtime.daemon.control.answers import Answer, Stream, by_name
from runtime.host import Host
from runtime.journal.entries import Query
from runtime.state import StateOperations


class JournalAnswers:
    """For one state, whether a host runs on it or not."""

    def __init__(self, state: StateOperations) -> None:
        self._state = state

    def all(self) -> Mapping[str, Answer]:
        return by_name(
            Answer(upkeep.RECEIPTS, self.receipts),
            Answer(upkeep.RECEIPTS_TAIL, self.receipts_to_come),
            Answer(upkeep.LOGS, self.logs),
            Answer(upkeep.BACKUP, self.backup),
            Answer(upkeep.BACKUPS, self.backups),
        )

    async def receipts(self, asked: upkeep.Which) -> upkeep.CallsTold:
        return upkeep.CallsTold(calls=tuple(await self._state.receipts(_query(asked), asked.limit)))

    async def logs(self, asked: upkeep.WhichLines, stream: Stream) -> Done:
        query, journal = _query(asked, asked.level), self._state.journal
        if journal is None:
            return Done()
        if not asked.follow:
            for line in await self._state.logs(query, asked.limit):
                await stream.send(upkeep.Line(line=line))
            return Done()
        stream.goes_on()
        async with journal.follow("logs", query, asked.limit) as tail:
            async for each in tail:
                await stream.send(upkeep.Line(line=each))
        return Done()

    async def receipts_to_come(self, asked: upkeep.WhichToCome, stream: Stream) -> Done:
        journal = self._state.journal
        if journal is None:
            return Done()
        stream.goes_on()
        async with journal.follow("receipts", _query(asked), asked.limit) as tail:
            async for each in tail:
                await stream.send(upkeep.CallTold(call=each))
        return Done()

    async def backup(self, asked: upkeep.BackUp) -> upkeep.BackedUp:
        manifest = await self._state.backup(Path(asked.to), journal=asked.journal)
        return upkeep.BackedUp(
            to=asked.to, made_us=manifest.made_us, files=len(manifest.files),
            bytes=sum(file.bytes for file in manifest.files), head=manifest.head,
        )  # fmt: skip

    async def backups(self, _: Any) -> upkeep.BackupsTold:
        return upkeep.BackupsTold(backups=tuple(await self._state.backups()))


class UpkeepAnswers:
    """For one host that runs."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def all(self) -> Mapping[str, Answer]:
        return by_name(
            Answer(upkeep.STATUS, self.status),
            Answer(upkeep.TOP, self.top),
            Answer(upkeep.EVENTS_TAIL, self.events_to_come),
        )

    def status(self, _: Any) -> upkeep.StatusTold:
        return upkeep.StatusTold(status=self._host.status())

    def top(self, asked: upkeep.TopOf) -> upkeep.TopTold:
        return upkeep.TopTold(top=self._host.top(asked.limit, by=asked.by))

    async def events_to_come(self, asked: upkeep.WhichEvents, stream: Stream) -> Done:
        stream.goes_on()
        with self._host.event_tail(asked.app, asked.limit) as tail:
            async for page in tail:
                for event in page:
                    await stream.send(upkeep.EventTold(event=event))
        return Done()


def _query(asked: upkeep.Which, level: str = "debug") -> Query:
    return Query(
        app_id=asked.app, call_id=asked.call, trace_id=asked.trace_id, since_us=asked.since_us, least_level=level
    )
