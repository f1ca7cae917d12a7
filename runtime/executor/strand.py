"""A call's coroutine, taken on by hand: as far as it goes, in the turn of whoever has news for it.

Why: most calls in a worker ask the host something, wait, and are over. As tasks they cost a pass of the event loop at
each step, so the reader takes them on, right when a frame for them comes. Only a call that needs the event loop (to
wait for its turn, to sleep) goes on in a task, until it waits for the host again.

While it waits for the host nothing of the event loop may be open in the coroutine, no cancel scope and no nursery: what
needs one awaits `Loop.enter` first, and has closed it by then. A call that may post requests is a task all the time.
"""

from __future__ import annotations

import types
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Final

import outcome

from runtime.sandbox.loop import PASS_MOST, Loop

_IN_TASK: Final = object()
_NEXT_PASS: Final = object()


@types.coroutine
def _yielded(what: object) -> Generator[object, None, None]:
    yield what


class ByHand(Loop):
    """For the sandbox of a strand."""

    async def enter(self) -> None:
        await _yielded(_IN_TASK)

    async def next_pass(self, of: object, again: bool = False) -> None:
        await _yielded(_NEXT_PASS)


BY_HAND: Final = ByHand()


class Strand:
    """One call. Where its coroutine waits for the host, it yields the strand itself; `go` or `wake` takes it on."""

    __slots__ = ("_coroutine", "_strands")

    def __init__(self, coroutine: Coroutine[Any, Any, None], strands: Strands) -> None:
        self._coroutine, self._strands = coroutine, strands

    def go(self, value: bytes | None = None) -> None:
        """Takes it on, to its next wait or its end."""
        try:
            what = self._coroutine.send(value)
        except StopIteration:
            return
        if what is not self:
            self._strands.sort(self, what)

    def wake(self, answered: outcome.Outcome[bytes | None]) -> None:
        """As `go`, with an answer or an error."""
        try:
            what: object = answered.send(self._coroutine)  # type: ignore[arg-type]
        except StopIteration:
            return
        if what is not self:
            self._strands.sort(self, what)

    @types.coroutine
    def in_task(self) -> Generator[Any, Any, None]:
        """Takes it on in the task that awaits this, until it waits for the host or is over. What else it yields is the
        event loop's."""
        value = None
        while True:
            try:
                what = self._coroutine.send(value)
            except StopIteration:
                return
            if what is self:
                return
            if what is _NEXT_PASS:
                yield from self._strands.loop.next_pass(_NEXT_PASS).__await__()
            value = None if what is _NEXT_PASS or what is _IN_TASK else (yield what)


class Strands:
    """Those that wait for something else than the host."""

    def __init__(self, to_task: Callable[[Strand], None]) -> None:
        """`to_task`: a task is to take it on."""
        self._to_task = to_task
        self.loop = Loop()
        self._line: deque[Strand] = deque()

    def __len__(self) -> int:
        """Those that go on in the next pass."""
        return len(self._line)

    def sort(self, strand: Strand, what: object) -> None:
        if what is _NEXT_PASS:
            self._line.append(strand)
        else:
            self._to_task(strand)

    def next_pass(self) -> None:
        line = self._line
        for _ in range(min(len(line), PASS_MOST)):
            line.popleft().go()
