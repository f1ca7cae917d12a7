"""A request that waits for its answer: in a task of its own, stopped by its client, its deadline, or the end.

`Begin` is the seam for `call`: whatever can run one without a task takes the place of `Running`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import trio

from host_api.acting import acting
from runtime.control import calling
from runtime.control.method import ControlParams, Result, Role
from runtime.daemon.control.answers import Answer
from runtime.errors import ControlError, HostClosed, HostelError

if TYPE_CHECKING:
    from runtime.daemon.control.peer import Peer

_OF_OPERATORS: Final = (Role.OPERATOR, Role.AUDITOR)
_OF_PROGRAMS: Final = (calling.CALL.name, calling.NOTIFY.name)
Done: TypeAlias = Callable[[Result | Exception], None]
"""To be called once, from the trio thread, when it is over."""
Begin: TypeAlias = Callable[[Any, Done], Callable[[], None] | None]
"""(params, done) → how it is stopped; None, with nothing done, where only a task can run it. `done` is called from a
later turn of the loop. May raise what a request is refused with; `done` is not called then."""


class Running:
    """One request under way. Its outcome goes to `done`, whatever ends it."""

    __slots__ = ("_answer", "_done", "_ended", "_msgid", "_over", "_params", "_peer", "_scope", "_wanted")

    def __init__(self, answer: Answer, params: ControlParams, peer: Peer, msgid: int, done: Done) -> None:
        self._answer, self._params, self._peer, self._msgid, self._done = answer, params, peer, msgid, done
        self._wanted, self._over, self._ended = True, False, False
        self._scope = trio.CancelScope()
        if params.deadline_ms is not None:
            self._scope.deadline = trio.current_time() + params.deadline_ms / 1_000

    def stop(self) -> None:
        """Its client does not want it any more."""
        self._wanted = False
        self._scope.cancel()

    def end(self) -> None:
        """The host drains, and this would go on for ever."""
        self._ended = True
        self._scope.cancel()

    async def run(self) -> None:
        outcome: Result | Exception = HostClosed("the host closed before the request was done")
        try:
            with self._scope:
                outcome = await self._outcome()
            if self._scope.cancelled_caught:
                outcome = self._given_up()
        except Exception as error:
            outcome = error
        finally:
            self._over = True
            self._peer.endless.discard(self)
            self._done(outcome)

    async def _outcome(self) -> Result:
        more: list[Any] = [self] if self._answer.stream else []
        if self._answer.told_who:
            more.append(self._peer.who)
        with acting(self._peer.who) if self._is_named() else nullcontext():
            result: Result = await self._answer.run(self._params, *more)
        return result

    def _is_named(self) -> bool:
        """Whether the audit says who asked: wherever an operator did, also where callers may, since an operator who
        answers a user's prompt is not the user. What callers do they do for a user, what a program does is its own."""
        method = self._answer.method
        by_operator = self._peer.connection.role is Role.OPERATOR and method.name not in _OF_PROGRAMS
        return by_operator or method.role in _OF_OPERATORS

    # ---- a Stream of answers.py --------------------------------------------------------------------------------------
    async def send(self, item: Result) -> None:
        self._put(item)
        await self._peer.room()

    def offer(self, item: Result) -> bool:
        if self._peer.behind:
            return False
        self._put(item)
        return True

    def goes_on(self) -> None:
        self._peer.endless.add(self)

    def _put(self, item: Result) -> None:
        if not self._over:
            self._peer.connection.item(self._msgid, item)
            self._peer.wake()

    # ------------------------------------------------------------------------------------------------------------------
    def _given_up(self) -> HostelError:
        if self._ended:
            return HostClosed("the host is closing: nothing more comes")
        effect = self._answer.method.effect
        if self._wanted:
            return ControlError(
                "the request's own deadline is over: what it had handed to the store is done", code="request_deadline",
                details=_outcome(effect),
            )  # fmt: skip
        return cancelled(effect)


def cancelled(effect: bool) -> ControlError:
    """What a request is answered that its client gave up."""
    return ControlError(
        "the request was given up: what it had handed to the store is done", code="request_cancelled",
        details=_outcome(effect),
    )  # fmt: skip


def _outcome(effect: bool) -> dict[str, str]:
    return {"outcome": "unknown" if effect else "none"}
