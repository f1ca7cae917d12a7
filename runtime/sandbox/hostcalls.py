"""What the four imports of `hostel_v1` mean: call, post, wait, take (docs/protocol.md §4.4). Bytes in, bytes out.

Order of every one: is it allowed now → are its ranges inside the memory → is it inside the call's limits → only then does
it reach the host side. A bad pointer or a message that is no request ends the call; a limit answers with an error and the
guest lives. The host copies only inside the import that was called, and keeps no guest pointer after it.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import trio

from host_api.errors import limit_exceeded
from runtime.errors import Ending
from runtime.sandbox.fiber import Over
from runtime.wire import HEAD_BYTES, MalformedMessage

if TYPE_CHECKING:
    from runtime.sandbox.sandbox import Sandbox

NOTHING, TIMED_OUT = -1, -2
"""What wait and take answer instead of a length."""
FOREVER = 0x7FFF_FFFF
REFUSED_MOST = 256
"""Error responses kept for requests posted over the limit; a guest that goes on posting does not read them: it is over."""

_CALL = struct.Struct("<" + "8xI20x" * 4).unpack
_TRIPLE = struct.Struct("<" + "8xI20x" * 3).unpack
_PAIR = struct.Struct("<" + "8xI20x" * 2).unpack


class HostCalls:
    """The requests of one call: the one being answered, those posted, the response that did not fit."""

    __slots__ = ("_arrived", "_kept", "_nursery", "_outstanding", "_over", "_responses", "_sandbox")

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._kept: bytes | None = None
        self._responses: deque[bytes] | None = None
        self._outstanding = 0
        self._nursery: trio.Nursery | None = None
        self._arrived: trio.Event | None = None
        self._over: Over | None = None

    async def call(self) -> None:
        """call(req, req_len, res, res_cap) → length of the response."""
        sandbox = self._sandbox
        fiber, usage = sandbox.fiber, sandbox.usage
        pointer, length, into, capacity = _CALL(fiber.arguments)
        self._allowed()
        to = fiber.check(into, capacity)
        self._kept = None
        usage.host_calls += 1
        limits = sandbox.limits
        if length > limits.request_bytes or usage.host_calls > limits.host_calls:
            response = self._refuse(pointer, length)
        else:
            answered = self._ask(pointer, length)
            if isinstance(answered, bytes) or answered is None:
                await trio.lowlevel.checkpoint_if_cancelled()
                sandbox.resumed()
                response = answered
            else:
                response = await sandbox.waiting(answered)
        if response is None:
            raise Over(Ending.PROTOCOL_VIOLATION, "a notification was sent with hostel_v1.call: use post")
        self._deliver(response, to, capacity)

    async def other(self, name: str) -> None:
        """post, wait or take."""
        self._allowed()
        match name:
            case "post":
                await self._post(*_PAIR(self._sandbox.fiber.arguments))
            case "wait":
                await self._wait(*_TRIPLE(self._sandbox.fiber.arguments))
            case _:
                self._take(*_PAIR(self._sandbox.fiber.arguments))

    async def run_with_posts(self, run: Callable[[], Awaitable[None]]) -> None:
        """Runs a guest that may post. Begun requests finish within the deadline after it returned, and end with it if it
        does not return."""
        over: Over | None = None
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            try:
                await run()
            except Over as error:  # not through the nursery: it would come out wrapped in a group
                over = error
                nursery.cancel_scope.cancel()
        if over:
            raise over

    def close(self) -> None:
        """What nobody waited for is counted and let go."""
        usage = self._sandbox.usage
        if self._responses:
            usage.unclaimed += len(self._responses)
            self._sandbox.host.release(sum(map(len, self._responses)))
            self._responses.clear()

    # ---- the three others --------------------------------------------------------------------------------------------
    async def _post(self, pointer: int, length: int) -> None:
        """post(req, req_len) → 0. The response, if there is one, comes with wait."""
        sandbox = self._sandbox
        fiber, usage, limits = sandbox.fiber, sandbox.usage, sandbox.limits
        usage.host_calls += 1
        if length > limits.request_bytes or usage.host_calls > limits.host_calls or self._open() >= limits.posted:
            if (response := self._refuse(pointer, length)) is not None:
                self._keep_refusal(response)
        else:
            answered = self._ask(pointer, length)
            if isinstance(answered, bytes):
                await trio.lowlevel.checkpoint_if_cancelled()
                self._keep(answered)
            elif answered is not None:
                self._outstanding += 1
                if self._nursery is None:
                    raise RuntimeError("a module that posts runs inside run_with_posts")
                self._nursery.start_soon(self._finish, answered)
            sandbox.resumed()
        fiber.answer(0)

    async def _finish(self, awaited: Awaitable[bytes | None]) -> None:
        """A posted request in a task of its own. Over the deadline it leaves no response; the guest's own wait ends then."""
        try:
            with self._sandbox.host.deadline.scope():
                if (response := await awaited) is not None:
                    self._keep(response)
        except Over as over:  # told to the guest's own task: through the nursery it would come out wrapped in a group
            self._over = over
        finally:
            self._outstanding -= 1
            if self._arrived is not None:
                self._arrived.set()

    async def _wait(self, into: int, capacity: int, timeout_ms: int) -> None:
        """wait(res, res_cap, timeout_ms) → length, -1 nothing outstanding, -2 timed out."""
        sandbox = self._sandbox
        to = sandbox.fiber.check(into, capacity)
        self._kept = None
        if not self._responses and self._outstanding and timeout_ms:
            self._arrived = trio.Event()
            await sandbox.waiting(_within(self._arrived, None if timeout_ms > FOREVER else timeout_ms / 1_000))
            self._arrived = None
        if self._over is not None:
            raise self._over
        if self._responses:
            response = self._responses.popleft()
            sandbox.host.release(len(response))
            self._deliver(response, to, capacity)
        else:
            sandbox.fiber.answer(TIMED_OUT if self._outstanding else NOTHING)

    def _take(self, into: int, capacity: int) -> None:
        """take(res, res_cap) → length of the response that did not fit; -1 nothing kept."""
        fiber = self._sandbox.fiber
        to = fiber.check(into, capacity)
        if self._kept is None:
            fiber.answer(NOTHING)
            return
        kept, self._kept = self._kept, None
        self._deliver(kept, to, capacity)

    # ---- shared ------------------------------------------------------------------------------------------------------
    def _allowed(self) -> None:
        if not self._sandbox.handling:
            raise Over(Ending.PROTOCOL_VIOLATION, "hostel_v1 was used before hostel_handle")

    def _ask(self, pointer: int, length: int) -> bytes | None | Awaitable[bytes | None]:
        sandbox = self._sandbox
        sandbox.usage.request_bytes += length
        try:
            return sandbox.host.answer(sandbox.fiber.read(pointer, length))
        except MalformedMessage as error:
            raise _no_request(error) from None

    def _open(self) -> int:
        return self._outstanding + len(self._responses or ())

    def _deliver(self, response: bytes, to: int, capacity: int) -> None:
        """Copies what fits; what does not is kept whole until take gets it or the next call or wait drops it."""
        fiber = self._sandbox.fiber
        if len(response) <= capacity:
            fiber.copy_to(to, response)
        else:
            self._kept = response
        self._sandbox.usage.response_bytes += len(response)
        fiber.answer(len(response))

    def _refuse(self, pointer: int, length: int) -> bytes | None:
        """The error response for a request over one of the call's limits; the guest lives."""
        sandbox = self._sandbox
        usage, limits = sandbox.usage, sandbox.limits
        if length > limits.request_bytes:
            error = limit_exceeded("request_bytes", limits.request_bytes, length, "bytes", "the request")
        elif usage.host_calls > limits.host_calls:
            error = limit_exceeded("host_calls", limits.host_calls, usage.host_calls, "calls", "host calls of this call")
        else:
            error = limit_exceeded("posted", limits.posted, self._open() + 1, "requests", "posted and not yet waited for")
        usage.denials += 1
        fiber = sandbox.fiber
        fiber.check(pointer, length)
        try:
            return sandbox.host.refuse(fiber.read(pointer, min(length, HEAD_BYTES)), error)
        except MalformedMessage as malformed:
            raise _no_request(malformed) from None

    def _keep(self, response: bytes) -> None:
        """A response waits for the guest, on its program's account of held memory."""
        sandbox = self._sandbox
        if self._responses is None:
            self._responses = deque()
        if not sandbox.host.hold(len(response)):
            raise Over(
                Ending.PROTOCOL_VIOLATION,
                f"responses not taken are over the program's held_bytes = {sandbox.limits.held_bytes}",
                limit="held_bytes", value=sandbox.limits.held_bytes, unit="bytes",
            )  # fmt: skip
        self._responses.append(response)

    def _keep_refusal(self, response: bytes) -> None:
        if self._open() >= self._sandbox.limits.posted + REFUSED_MOST:
            raise Over(
                Ending.PROTOCOL_VIOLATION,
                f"{REFUSED_MOST} requests posted over the limit without waiting for their responses",
                limit="posted", value=self._sandbox.limits.posted, unit="requests",
            )  # fmt: skip
        self._keep(response)


async def _within(event: trio.Event, seconds: float | None) -> None:
    if seconds is None:
        await event.wait()
    else:
        with trio.move_on_after(seconds):
            await event.wait()


def _no_request(error: MalformedMessage) -> Over:
    return Over(Ending.PROTOCOL_VIOLATION, f"the guest sent no valid request: {error}")


