"""A copy of the store's file while it is in use: one moment of it, whole.

What lives here: how SQLite copies a database page by page, on a connection that holds a snapshot all the while. So
writers go on, what they write meanwhile is not in the copy, and the copy never begins anew. Who may ask, and what
belongs to a backup beside the store, is others' business.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any, Final

import apsw

from host_api.store import state_directory
from host_api.store.connection import run_read
from host_api.store.protocol import Transaction

PAGES_AT_ONCE: Final = 1_024
"""Copied between two looks at whether it is still wanted: 4 MiB."""


class Unwanted(Exception):
    """Whoever asked went away."""


def copy(source: apsw.Connection, path: Path, look: Callable[[Transaction], Any], now_us: int, unwanted: Event) -> Any:
    """The snapshot that `look` reads, to the new file `path` (0600, durable); what `look` gave.

    Raises ApiError BUSY where the disk of the source refuses, OSError and apsw.Error for the other one, Unwanted.
    """

    def job(tx: Transaction) -> Any:
        told = look(tx)
        _copy_pages(source, path, unwanted)
        return told

    state_directory.private_file(path)
    told = run_read(source, job, now_us)
    state_directory.sync(path)
    return told


def _copy_pages(source: apsw.Connection, path: Path, unwanted: Event) -> None:
    target = apsw.Connection(str(path))
    try:
        with target.backup("main", source, "main") as copying:
            while not copying.done:
                if unwanted.is_set():
                    raise Unwanted
                copying.step(PAGES_AT_ONCE)
    finally:
        target.close()
