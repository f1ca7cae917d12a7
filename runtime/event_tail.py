"""The events of a host as they come, for whoever watches: read from the store at the watcher's own pace.

What lives here: when to look. Nothing is queued, so that a slow watcher holds nothing and misses nothing; what it has
not read when it was deleted (a week after its program acknowledged it) it does not get.
"""

from __future__ import annotations

from typing import Final

import trio

from host_api.events import delivery, telling
from host_api.events.telling import ToldEvent
from host_api.store.watched import WatchedStore

PAGE: Final = 256
"""Events looked at in one turn."""
PAUSE_S: Final = 0.05
"""Between a commit and the look at what it brought, so that thousands of them a second are a few looks."""


class EventTail:
    """Events of one program, or of all where `app_id` is '', page by page, for ever: first the newest `before` of what
    there is, then those that come. Used from the trio thread."""

    def __init__(self, store: WatchedStore, app_id: str, before: int) -> None:
        self._store, self._app_id = store, app_id
        self._page = store.read(lambda tx: telling.newest(tx, app_id, before)) if before else []
        self._after = store.read(delivery.last_seq)

    def __aiter__(self) -> EventTail:
        return self

    async def __anext__(self) -> list[ToldEvent]:
        """The next page, never an empty one."""
        page, self._page = self._page, []
        while not page:
            page, seen = self._store.read(lambda tx: telling.told_after(tx, self._app_id, self._after, PAGE))
            if seen == self._after:
                await self._store.next_commit()
                await trio.sleep(PAUSE_S)
            elif not page:
                await trio.lowlevel.checkpoint()
            self._after = seen
        return page
