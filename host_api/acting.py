"""Who acts: the operator whose request a task carries out, for the audit.

What lives here: the name, from the door that knows it to the record that is written for it. It holds for one task, not
for those it starts: what a program does because of an operator's step is the program's own doing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, TypeVar

import trio

T = TypeVar("T")
NAME_CHARS_MAX: Final = 200
_task: Final[ContextVar[tuple[Any, str] | None]] = ContextVar("acting task", default=None)
_job: Final[ContextVar[str]] = ContextVar("acting job", default="")


@contextmanager
def acting(by: str) -> Iterator[None]:
    """Audit records of what this task writes inside of the block name `by`, such as `uid 1000` or `token ops`; of a
    longer name its first NAME_CHARS_MAX characters."""
    before = _task.set((trio.lowlevel.current_task(), by[:NAME_CHARS_MAX]))
    try:
        yield
    finally:
        _task.reset(before)


def in_name_of(job: Callable[[Any], T]) -> Callable[[Any], T]:
    """A job of `Store.write`, so that its records name who hands it over, whichever thread runs it."""
    found = _task.get()
    if found is None or found[0] is not trio.lowlevel.current_task():
        return job

    def named(tx: Any) -> T:
        before = _job.set(found[1])
        try:
            return job(tx)
        finally:
            _job.reset(before)

    return named


def name() -> str:
    """Of the job that runs here: who it is done for; '' for nobody's doing but a program's or the host's."""
    return _job.get()
