"""Which lines of the host a run of a target reached that no run before it had reached.

By `sys.settrace`, as Python 3.11 has nothing cheaper: functions all of whose lines were seen are not traced any more,
so that the cost falls as the search goes on.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[2]
WATCHED: Final = (str(ROOT / "runtime"), str(ROOT / "host_api"))


class LineCoverage:
    """Lines seen since it was made. In the thread that uses it."""

    def __init__(self) -> None:
        self._left: dict[CodeType, set[int]] = {}
        self.lines = 0

    @contextmanager
    def watching(self) -> Iterator[None]:
        before = sys.gettrace()
        sys.settrace(self._called)
        try:
            yield
        finally:
            sys.settrace(before)

    def _called(self, frame: FrameType, event: str, arg: Any) -> Callable[..., Any] | None:
        code = frame.f_code
        left = self._left.get(code)
        if left is None:
            watched = code.co_filename.startswith(WATCHED)
            left = self._left[code] = {line for *_, line in code.co_lines() if line} if watched else set()
        left.discard(frame.f_lineno)  # of the `def`: it is no line event
        if not left:
            return None

        def on_line(inner: FrameType, what: str, more: Any) -> Any:
            if inner.f_lineno in left:
                left.discard(inner.f_lineno)
                self.lines += 1
            return on_line

        return on_line
