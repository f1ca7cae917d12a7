"""Pushing events: which program is woken when, and how many at once.

What lives here: the line that programs with due events stand in, and one push. Which event of a program is due, and how
long until the next try, is host_api/events/delivery.py's; how a program is woken is handed in. Nothing polls: the task
sleeps until the next push is due or somebody says that something changed.

Fair to programs: one push at a time each, whoever was pushed goes to the end of the line, and a program that does not
acknowledge stands in it ever more rarely (`patience_s`), however many events it has.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeAlias

import trio

from host_api.events import delivery
from host_api.events.outbox import Event
from host_api.store.protocol import Store, Transaction
from runtime.errors import HostelError
from runtime.log import logger

_log = logger("pushes")

METHOD: Final = "hostel.event"
PUSHES_AT_ONCE: Final = 16
PUSH_S: Final = 30.0
"""How long a program may take over one event, its place in the queue of its calls included; then it is cancelled."""
PATIENCE_MAX_S: Final = 60
NEWS_MAX: Final = 256
"""Published events looked at in one turn."""
AGAIN_MAX: Final = 500
"""Events that begin again in one transaction, when their program was installed."""

Push: TypeAlias = Callable[[str, str, str, Mapping[str, Any]], Awaitable[object]]
"""(app_id, user, method, params): wakes the program with a notification that is never interactive, and waits until it
is handled. Raises HostelError if it was not."""


def patience_s(failures: int) -> int:
    """How long a program waits for its next push that left this many in a row unacknowledged: 1 s, 2 s, 4 s … 1 min."""
    return min(1 << min(failures - 1, 6), PATIENCE_MAX_S) if failures else 0


class Pushes:
    """The pushes of one host. Used from the trio thread only."""

    def __init__(
        self, *, store: Store, push: Push, takes: Callable[[Transaction, str], bool], new_incident: Callable[[], str],
        rehearsed: bool = False,
    ) -> None:  # fmt: skip
        """`takes`: whether a program is installed and takes events; asked before each push, in a job. `rehearsed`:
        nothing is pushed but inside of `settle`, one after the other."""
        self._store, self._push, self._takes, self._new_incident = store, push, takes, new_incident
        self._line: list[tuple[int, int, str]] = []
        """A heap of (when in µs, ticket, program); an entry counts if `_planned` says the same."""
        self._planned: dict[str, int] = {}
        self._tickets = itertools.count()
        self._under_way: set[str] = set()
        self._failures: dict[str, int] = {}
        self._not_before: dict[str, int] = {}
        self._looks: dict[str, None] = {}
        self._fresh: set[str] = set()
        self._seen = -1
        self._changed = trio.Event()
        self._closing = False
        self._at_once = 1 if rehearsed else PUSHES_AT_ONCE
        self._held = rehearsed
        self._idle = trio.Event()

    def wake(self) -> None:
        """Something was committed: events may have been published. Costs next to nothing where none were."""
        self._changed.set()

    def acknowledged(self, app_id: str) -> None:
        """The program acknowledged an event, in whatever call: it is well, and its next event is due."""
        self._trust(app_id)
        self._look_again(app_id)

    def installed(self, app_id: str) -> None:
        """A release was installed: what an earlier one left unacknowledged is pushed, given-up events from the ladder's
        first step on."""
        self._fresh.add(app_id)
        self._look_again(app_id)

    def close(self) -> None:
        """Begin no more pushes; those under way go on."""
        self._closing = True

    async def run(self) -> None:
        """Pushes until it is cancelled. Cancelled pushes were attempts: they are repeated when they are due again."""
        if self._seen < 0:
            self._seen = self._store.read(delivery.last_seq)
            await self._look_at_what_waited()
        async with trio.open_nursery() as nursery:
            while True:
                self._changed = trio.Event()
                self._look()
                pause_s = self._begin(nursery)
                if not (self._held or self._under_way or self._changed.is_set()):
                    self._idle.set()
                with trio.move_on_after(pause_s):
                    await self._changed.wait()

    async def settle(self) -> None:
        """Where it is rehearsed: what is due now is pushed, and what becomes due by that, until nothing is."""
        self._held, self._idle = False, trio.Event()
        self.wake()
        try:
            await self._idle.wait()
        finally:
            self._held = True

    async def _look_at_what_waited(self) -> None:
        """Since before this process: programs that are installed have events that are due."""
        after = ""
        while page := self._store.read(lambda tx: delivery.programs_due(tx, after, NEWS_MAX)):  # noqa: B023
            self._looks.update(dict.fromkeys(page))
            self._look()
            after = page[-1]
            await trio.lowlevel.checkpoint()

    # ---- the line ----------------------------------------------------------------------------------------------------
    def _look(self) -> None:
        """Plan the programs that something happened to."""
        seen, news = self._seen, 0

        def due(tx: Transaction) -> dict[str, int]:
            nonlocal seen, news
            published = delivery.published_after(tx, self._seen, NEWS_MAX)
            if published:
                seen, news = published[-1][0], len(published)
            apps = dict.fromkeys([*self._looks, *(app_id for _, app_id in published)])
            return {app_id: self._due_us(tx, app_id) for app_id in apps if app_id not in self._under_way}

        for app_id, due_us in self._store.read(due).items():
            self._plan(app_id, due_us)
        self._seen = seen
        self._looks.clear()
        if news == NEWS_MAX:
            self._changed.set()

    def _due_us(self, tx: Transaction, app_id: str) -> int:
        if not self._takes(tx, app_id):
            self._fresh.discard(app_id)
            self._trust(app_id)
            return 0
        if app_id in self._fresh and delivery.given_up(tx, app_id):
            return tx.now_us
        self._fresh.discard(app_id)
        return delivery.due_us(tx, app_id)

    def _plan(self, app_id: str, due_us: int) -> None:
        """At the end of the line of those who are due, or for later. Who stands there already keeps the place."""
        if not due_us:
            self._planned.pop(app_id, None)
            return
        when_us = max(due_us, self._store.now_us(), self._not_before.get(app_id, 0))
        if self._planned.get(app_id, when_us + 1) > when_us:
            self._planned[app_id] = when_us
            heapq.heappush(self._line, (when_us, next(self._tickets), app_id))

    def _begin(self, nursery: trio.Nursery) -> float:
        """Begin the pushes that are due and have a place; gives the seconds until another one is due."""
        now_us = self._store.now_us()
        while self._line and not (self._closing or self._held) and len(self._under_way) < self._at_once:
            when_us, _, app_id = self._line[0]
            if self._planned.get(app_id) == when_us:
                if when_us > now_us:
                    return max(0.001, (when_us - now_us) / 1_000_000)
                del self._planned[app_id]
                self._under_way.add(app_id)
                nursery.start_soon(self._push_next, app_id)
            heapq.heappop(self._line)
        return float("inf")

    def _look_again(self, app_id: str) -> None:
        self._looks[app_id] = None
        self._changed.set()

    # ---- one push ----------------------------------------------------------------------------------------------------
    async def _push_next(self, app_id: str) -> None:
        handled = False
        try:
            if self._store.read(lambda tx: self._takes(tx, app_id)):
                await self._begin_again(app_id)
                event = await self._store.write(lambda tx: delivery.take(tx, app_id))
                handled = event is None or await self._handled(app_id, event)
        except Exception as error:
            _log.error("event not pushed", incident=self._new_incident(), app_id=app_id, exc_info=error)
        finally:
            self._under_way.discard(app_id)
            self._remember(app_id, handled)
            self._look_again(app_id)

    async def _begin_again(self, app_id: str) -> None:
        while app_id in self._fresh:
            if await self._store.write(lambda tx: delivery.begin_again(tx, app_id, AGAIN_MAX)) < AGAIN_MAX:
                self._fresh.discard(app_id)

    async def _handled(self, app_id: str, event: Event) -> bool:
        """Whether the program acknowledged it."""
        params = {
            "seq": event.app_seq,
            "topic": event.topic,
            "stream": event.stream,
            "stream_seq": event.stream_seq,
            "payload": dict(event.payload),
        }
        with trio.move_on_after(PUSH_S):
            try:
                await self._push(app_id, event.user, METHOD, params)
            except HostelError as error:
                _log.info("event not handled", app_id=app_id, seq=event.seq, topic=event.topic, code=error.code)
        return self._store.read(lambda tx: delivery.acknowledged(tx, event.seq))

    def _remember(self, app_id: str, handled: bool) -> None:
        if handled:
            self._trust(app_id)
            return
        self._failures[app_id] = failures = self._failures.get(app_id, 0) + 1
        self._not_before[app_id] = self._store.now_us() + patience_s(failures) * 1_000_000

    def _trust(self, app_id: str) -> None:
        self._failures.pop(app_id, None)
        self._not_before.pop(app_id, None)
