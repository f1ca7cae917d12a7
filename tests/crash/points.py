"""Every point at which something can go wrong: before and after each statement that a store runs, commits included."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import apsw
import pytest

from host_api.store import sqlite

_NOT_TO_FAIL = ("PRAGMA query_only = ON", "PRAGMA query_only = OFF", "ROLLBACK")
"""What the store runs to get back to a known state."""


class Fault(Exception):
    """A bug of the host's own, at a point."""


def bug() -> None:
    raise Fault("at a point")


def disk() -> None:
    raise apsw.IOError("at a point")


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Points:
    """Counts the points that are passed while it is armed, and acts at one of them."""

    def __init__(self) -> None:
        self.passed: list[str] = []
        self._at = 0
        self._act: Callable[[], None] = bug
        self._armed = False

    def passing(self, point: str) -> None:
        if self._armed and point.partition(" ")[2] not in _NOT_TO_FAIL:
            self.passed.append(point)
            if len(self.passed) == self._at:
                self._act()

    @contextmanager
    def armed(self, at: int = 0, act: Callable[[], None] = bug) -> Iterator[None]:
        """`act` is done at the point `at`, from 1; 0: they are only counted."""
        self.passed = []
        self._at, self._act, self._armed = at, act, True
        try:
            yield
        finally:
            self._armed = False


class _Cursor(apsw.Cursor):
    def __init__(self, connection: apsw.Connection, points: Points) -> None:
        super().__init__(connection)
        self._points = points

    def execute(self, statements: str, *arguments: Any, **options: Any) -> Any:
        first = " ".join(statements.split())[:60]
        self._points.passing(f"before {first}")
        found = super().execute(statements, *arguments, **options)
        try:
            self._points.passing(f"after {first}")
        except BaseException:
            self.fetchall()  # a statement that failed is over
            raise
        return found


def watched(patch: pytest.MonkeyPatch) -> Points:
    """From now on, every connection that a store opens passes these points."""
    points = Points()
    connect = sqlite.connect

    def watching(*arguments: Any, **options: Any) -> apsw.Connection:
        connection = connect(*arguments, **options)
        connection.cursor_factory = lambda of: _Cursor(of, points)
        return connection

    patch.setattr(sqlite, "connect", watching)
    return points
