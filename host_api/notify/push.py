"""Handing notices to a platform's own channel (a push service, a socket) as they come.

What lives here: the tasks that do it, and who has the next turn. It is a courtesy: a notice is kept whatever becomes of
it here, and waits to be taken. Only ids wait here: what is handed over is what the store says then, so that what was
erased, shown or no longer consented to meanwhile goes nowhere.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

import trio

from host_api.notify.notices import Notice, to_announce
from host_api.store.protocol import Store

_log = logging.getLogger(__name__)

Notifier = Callable[[Notice], Awaitable[None]]
"""Tells the user's device. Cancelled after NOTIFY_S; whatever it raises is logged and ends nothing."""
AT_ONCE: Final = 8
WAITING_MAX: Final = 100
"""Notices of one program that wait for their turn; beyond it they are only listed."""
NOTIFY_S: Final = 30.0


class Announcer:
    """`announce` notices, and have `run` in a nursery of the host's hand them to the notifier. Programs take turns."""

    def __init__(self, notifier: Notifier | None, store: Store) -> None:
        self._notifier = notifier
        self._store = store
        self._waiting: dict[str, deque[str]] = {}
        """Program → ids, the program that is next first."""
        self._count = trio.Semaphore(0)

    def announce(self, notice: Notice) -> None:
        """Never waits."""
        if self._notifier is None:
            return
        mine = self._waiting.setdefault(notice.app_id, deque())
        if len(mine) >= WAITING_MAX:
            _log.warning("notice %s is only listed: %d of its program wait for the notifier", notice.id, WAITING_MAX)
            return
        mine.append(notice.id)
        self._count.release()

    async def run(self) -> None:
        """Until it is cancelled."""
        if self._notifier is None:
            return
        async with trio.open_nursery() as nursery:
            for _ in range(AT_ONCE):
                nursery.start_soon(self._serve, self._notifier)

    async def _serve(self, notifier: Notifier) -> None:
        while True:
            await self._count.acquire()
            notice_id = self._next()
            patience = trio.CancelScope(deadline=trio.current_time() + NOTIFY_S)
            try:  # around the scope: what it leaves of a group with Cancelled in it is an error like another
                with patience:
                    notice = self._store.read(partial(to_announce, notice_id=notice_id))
                    if notice is not None:
                        await notifier(notice)
            except Exception as error:  # its words may hold the notice's
                _log.error("the notifier failed on notice %s: %s", notice_id, type(error).__name__)
            if patience.cancelled_caught:
                _log.error("the notifier did not take notice %s within %g s", notice_id, NOTIFY_S)

    def _next(self) -> str:
        """The oldest of the program whose turn it is, which goes to the end of the line."""
        app_id = next(iter(self._waiting))
        mine = self._waiting.pop(app_id)
        notice_id = mine.popleft()
        if mine:
            self._waiting[app_id] = mine
        return notice_id
