"""Handing notices to a platform's own channel (a push service, a socket) as they come.

What lives here: the tasks that do it. It is a courtesy: a notice is kept whatever becomes of it here, and waits to be
taken.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Final

import trio

from host_api.notify.notices import Notice

_log = logging.getLogger(__name__)

Notifier = Callable[[Notice], Awaitable[None]]
"""Tells the user's device. Cancelled after NOTIFY_S; whatever it raises is logged and ends nothing."""
AT_ONCE: Final = 8
WAITING_MAX: Final = 1_000
"""Notices that wait for their turn; beyond it they are only listed."""
NOTIFY_S: Final = 30.0


class Announcer:
    """`announce` notices, and have `run` in a nursery of the host's hand them to the notifier."""

    def __init__(self, notifier: Notifier | None) -> None:
        self._notifier = notifier
        self._waiting, self._taken = trio.open_memory_channel[Notice](WAITING_MAX if notifier else 0)

    def announce(self, notice: Notice) -> None:
        """Never waits."""
        if self._notifier is None:
            return
        try:
            self._waiting.send_nowait(notice)
        except trio.WouldBlock:
            _log.warning("notice %s is only listed: %d wait for the notifier", notice.id, WAITING_MAX)

    async def run(self) -> None:
        """Until it is cancelled."""
        if self._notifier is None:
            return
        async with trio.open_nursery() as nursery:
            for _ in range(AT_ONCE):
                nursery.start_soon(self._serve, self._notifier)

    async def _serve(self, notifier: Notifier) -> None:
        async for notice in self._taken:
            with trio.move_on_after(NOTIFY_S) as patience:
                try:
                    await notifier(notice)
                except Exception as error:  # its words may hold the notice's
                    _log.error("the notifier failed on notice %s: %s", notice.id, type(error).__name__)
            if patience.cancelled_caught:
                _log.error("the notifier did not take notice %s within %g s", notice.id, NOTIFY_S)
