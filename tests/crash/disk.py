"""A disk that remembers: every write, cut, sync and removal SQLite makes, in order, with what was acknowledged between.

From one recording any moment can be laid down again as files: as the process left it (all writes), or as a power cut
leaves it (all that was synced, and of the rest what chance decides, sector by sector).
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw

from host_api.store import state_directory

SECTOR = 512


@dataclass(frozen=True, slots=True)
class Step:
    """What happened to a file. `what`: write, truncate, sync, delete, or ack (`offset` then says of what)."""

    file: str
    what: str
    offset: int = 0
    data: bytes = b""


class _File(apsw.VFSFile):
    def __init__(self, steps: list[Step], name: Any, flags: list[int]) -> None:
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        self.steps = steps
        self.name = Path(path).name if path else ""
        super().__init__("unix", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:
        super().xWrite(data, offset)
        self._record("write", offset, bytes(data))

    def xTruncate(self, size: int) -> None:
        super().xTruncate(size)
        self._record("truncate", size)

    def xSync(self, flags: int) -> None:
        super().xSync(flags)
        self._record("sync")

    def xLock(self, level: int) -> None:
        try:
            super().xLock(level)
        except apsw.IOError:  # the reader's file cannot be locked for writing; SQLite itself lets that pass in silence
            raise apsw.BusyError from None

    def _record(self, what: str, offset: int = 0, data: bytes = b"") -> None:
        if self.name:
            self.steps.append(Step(self.name, what, offset, data))


class Recorder(apsw.VFS):
    """The default file system of SQLite while `recorded` lasts."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        super().__init__("recorded", "unix", makedefault=True)

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:
        return _File(self.steps, name, flags)

    def xDelete(self, path: str, sync: bool) -> None:
        super().xDelete(path, sync)
        self.steps.append(Step(Path(path).name, "delete"))

    def acknowledge(self, number: int) -> None:
        self.steps.append(Step("", "ack", number))


@contextmanager
def recorded() -> Iterator[Recorder]:
    disk = Recorder()
    try:
        yield disk
    finally:
        disk.unregister()


def acknowledged(steps: Sequence[Step]) -> int:
    """The highest number that was acknowledged; 0 for none."""
    return max((step.offset for step in steps if step.what == "ack"), default=0)


def as_left(steps: Sequence[Step]) -> dict[str, bytes]:
    """The files as a process leaves them that is killed after these steps: the kernel has all its writes."""
    files: dict[str, bytearray] = {}
    for step in steps:
        _apply(files, step)
    return {name: bytes(content) for name, content in files.items()}


def after_power_cut(steps: Sequence[Step], chance: random.Random) -> dict[str, bytes]:
    """The files after a power cut: what was synced is there, and any part of what was not."""
    files: dict[str, bytearray] = {}
    waiting: dict[str, list[Step]] = {}
    for step in steps:
        if step.what == "sync":
            for late in waiting.pop(step.file, ()):
                _apply(files, late)
        elif step.what == "delete":
            waiting.pop(step.file, None)
            _apply(files, step)
        elif step.what != "ack":
            files.setdefault(step.file, bytearray())
            waiting.setdefault(step.file, []).append(step)
    for late in (step for steps_of_file in waiting.values() for step in steps_of_file):
        for part in _sectors(late) if late.what == "write" and chance.random() < 0.3 else (late,):
            if chance.random() < 0.6:
                _apply(files, part)
    return {name: bytes(content) for name, content in files.items()}


def _sectors(step: Step) -> Iterator[Step]:
    """A write torn at the borders of sectors."""
    at = 0
    while at < len(step.data):
        size = SECTOR - (step.offset + at) % SECTOR
        yield Step(step.file, "write", step.offset + at, step.data[at : at + size])
        at += size


def _apply(files: dict[str, bytearray], step: Step) -> None:
    match step.what:
        case "write":
            content = files.setdefault(step.file, bytearray())
            content.extend(bytes(max(0, step.offset - len(content))))
            content[step.offset : step.offset + len(step.data)] = step.data
        case "truncate":
            content = files.setdefault(step.file, bytearray())
            del content[step.offset :]
            content.extend(bytes(step.offset - len(content)))
        case "delete":
            files.pop(step.file, None)


def lay_down(files: dict[str, bytes], directory: Path) -> Path:
    """A state directory with these files in it."""
    directory.mkdir(mode=0o700, parents=True)
    for name, content in files.items():
        state_directory.private_file(directory / name)
        (directory / name).write_bytes(content)
    return directory
