"""A store that says when something was committed: for what is to follow a commit, such as the push of an event."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import trio

from host_api.store.protocol import Store, T, Transaction


def _nobody() -> None:
    """Nothing follows a commit yet."""


class WatchedStore:
    """A `Store`: another one, watched. Closing it closes that one.

    `committed` is called in the caller's thread after each write, one whose outcome is unknown too; it must be short
    and raise nothing. It is set by whoever wants to know.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.now_us = store.now_us
        self._next: trio.Event | None = None
        self.committed: Callable[[], None] = _nobody

    @property
    def commits(self) -> int:
        return self._store.commits

    @property
    def writes(self) -> int:
        return self._store.writes

    async def write(self, job: Callable[[Transaction], T]) -> T:
        try:
            return await self._store.write(job)
        finally:
            self.committed()
            if self._next is not None:
                self._next.set()
                self._next = None

    async def next_commit(self) -> None:
        """Waits until something is committed after this call. What was read before it, without waiting, is all there
        was until then."""
        if self._next is None:
            self._next = trio.Event()
        await self._next.wait()

    def read(self, job: Callable[[Transaction], T]) -> T:
        return self._store.read(job)

    async def survey(self, job: Callable[[Transaction], T]) -> T:
        return await self._store.survey(job)

    async def scrub(self) -> None:
        await self._store.scrub()

    async def backup(self, path: Path, look: Callable[[Transaction], T]) -> T:
        return await self._store.backup(path, look)

    async def aclose(self) -> None:
        await self._store.aclose()
