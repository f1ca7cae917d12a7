"""What SQLite leaves of a row that is gone, and how that goes too: for `Store.scrub`.

What lives here: the parts of SQLite's file format where old bytes survive, and overwriting them. Which rows go is the
caller's business; when this runs is sqlite.py's.

`secure_delete` overwrites a row where it lies and every page that is given back. It does not reach the copies that
moving rows between pages leaves in the unused middle of a page, nor the write-ahead log, nor the backups made before
an upgrade. A VACUUM would reach the first, at the price of writing the whole file anew while every write waits (4 s
for 400 MiB; this takes 0.9 s, in steps between which writes go on).

A page's middle is overwritten in the file itself, beside SQLite. Why that is safe: it is done by the thread of the
only connection that writes, right after a checkpoint that emptied the write-ahead log, so the file is what SQLite would
read; those bytes mean nothing to any reader; no page is grown, moved or reused meanwhile; it goes through SQLite's own
file layer, which keeps the locks of this process whole; and the connection forgets the pages it had in memory, so that
none is written back as it was. A power cut leaves zeros or old bytes, and the scrub is still owed.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import apsw

from host_api.store import state_directory
from host_api.store.connection import StorageFault

_log = logging.getLogger(__name__)

BACKUPS: Final = "before-*"
PAGES_AT_ONCE: Final = 256
"""In one step, unless one b-tree has more: about 2 ms. Most have a page or two, and a step for each of a hundred would
cost an erasure more than the overwriting."""
_LEAF: Final = frozenset({10, 13})
_INTERIOR: Final = frozenset({2, 5})
_HEAD_BYTES: Final = {**dict.fromkeys(_LEAF, 8), **dict.fromkeys(_INTERIOR, 12)}
"""First byte of a b-tree page → the length of its header; the row pointers follow it, two bytes each."""


def owed(connection: apsw.Connection) -> bool:
    """Something was erased (`protocol.owe_scrub`) that no scrub has reached yet."""
    known = connection.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'scrubs'").get
    return bool(known and connection.execute("SELECT asked > done FROM scrubs WHERE id = 1").get)


def steps(connection: apsw.Connection, file: Path) -> Iterator[None]:
    """Scrub; between two steps other transactions may run. `connection` is the one that writes, outside a transaction.

    Raises StorageFault: nothing is lost, and the scrub is still owed.
    """
    asked = connection.execute("SELECT asked FROM scrubs WHERE id = 1").get
    _remove_backups(file.parent)
    trees = [row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE rootpage > 0 ORDER BY name")]
    while trees:
        _clean_some(connection, file, trees)
        yield
    with _opened(file) as opened:  # once for all trees: on a disk each costs more than all the overwriting
        opened.xSync(apsw.SQLITE_SYNC_FULL)
    connection.execute("UPDATE scrubs SET done = max(done, ?) WHERE id = 1", (asked,))


def _remove_backups(directory: Path) -> None:
    """They hold what was there before the upgrade, erased or not."""
    found = sorted(directory.glob(BACKUPS))
    for backup in found:
        backup.unlink(missing_ok=True)
        _log.warning("%s was removed: it held data that has been erased since", backup)
    if found:
        state_directory.sync(directory)


def _clean_some(connection: apsw.Connection, file: Path, trees: list[str]) -> None:
    """Clean as many b-trees as have PAGES_AT_ONCE, one at least; each is taken off the end of `trees`. Afterwards the
    write-ahead log is empty."""
    _empty_log(connection)
    page_bytes: int = connection.execute("PRAGMA page_size").get
    done = 0
    try:
        with _opened(file) as opened:
            while trees and done < PAGES_AT_ONCE:
                done += _clean(connection, opened, trees[-1], page_bytes)
                trees.pop()
    finally:
        connection.execute("PRAGMA shrink_memory").fetchall()


def _clean(connection: apsw.Connection, opened: apsw.VFSFile, tree: str, page_bytes: int) -> int:
    """Overwrite the unused middle of every page of one b-tree; how many pages it has."""
    pages: Any = connection.execute(
        "SELECT pageno FROM dbstat WHERE name = ? AND pagetype <> 'overflow'", (tree,)
    ).fetchall()
    for (number,) in pages:
        start = (number - 1) * page_bytes
        first, last = _unused(opened.xRead(page_bytes, start), number)
        if last > first:
            opened.xWrite(bytes(last - first), start + first)
    return len(pages)


@contextmanager
def _opened(file: Path) -> Iterator[apsw.VFSFile]:
    opened = apsw.VFSFile("", str(file), [apsw.SQLITE_OPEN_MAIN_DB | apsw.SQLITE_OPEN_READWRITE, 0])
    try:
        yield opened
    finally:
        opened.xClose()


def _empty_log(connection: apsw.Connection) -> None:
    (in_the_way, _, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()[0]
    if in_the_way:
        raise StorageFault("a reader is in the way of the write-ahead log's end")


def _unused(page: bytes, number: int) -> tuple[int, int]:
    """Where the page's middle begins and ends; an empty range where it holds only zeros already."""
    head = _HEAD_BYTES.get(page[0])
    first = (head or 0) + 2 * int.from_bytes(page[3:5], "big")
    last = int.from_bytes(page[5:7], "big") or 1 << 16
    if head is None or not first <= last <= len(page):
        raise StorageFault(f"page {number} is not the b-tree page it should be")
    return (first, last) if any(page[first:last]) else (0, 0)
