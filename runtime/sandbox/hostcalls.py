"""What the four imports of `hostel_v1` mean: call, post, wait, take (docs/protocol.md §4.4). Bytes in, bytes out.

Order of every one: is it allowed now → are its ranges inside the memory → is it inside the call's limits → only then
does it reach the host side. A bad pointer or a message that is no request ends the call; a limit answers with an error
and the guest lives. The host copies only inside the import that was called, and keeps no guest pointer after it.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Awaitable, Callable
from math import inf
from typing import TYPE_CHECKING, NamedTuple

import trio

from host_api.errors import ApiError, ErrorCode, limit_exceeded
from runtime.errors import Ending
from runtime.sandbox.fiber import Over
from runtime.sandbox.host_side import Elsewhere
from runtime.wire import HEAD_BYTES, MalformedMessage, encode, msgid_of

if TYPE_CHECKING:
    from runtime.sandbox.sandbox import Sandbox

NOTHING, TIMED_OUT = -1, -2
"""What wait and take answer instead of a length."""
FOREVER = 0x7FFF_FFFF
REFUSED_MOST = 256
"""With so many error responses to requests posted over a limit the guest is over: it does not read them."""
RESPONSE_HEAD = b"\x94\x01"
"""What every response of the host begins with; the msgid follows, in its shortest form."""

SMALL_BYTES = 1_024
"""A response up to this size is kept whatever the program holds already: it may tell of an effect, as `posted` bounds
their number. A larger one is of something read, and can be asked for again."""

_CALL = struct.Struct("<" + "8xI20x" * 4)
_TRIPLE = struct.Struct("<" + "8xI20x" * 3)
_PAIR = struct.Struct("<" + "8xI20x" * 2)


class Kept(NamedTuple):
    """A response that waits for the guest, and what of it is on its program's account of held memory."""

    response: bytes
    held_bytes: int
    is_refusal: bool = False


class HostCalls:
    """The requests of one call: the one being answered, those posted, the response that did not fit."""

    __slots__ = ("_arrived", "_begun", "_expected", "_kept", "_nursery", "_refusals", "_responses", "_sandbox")

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._kept: Kept | None = None
        self._responses: deque[Kept] | None = None
        self._begun = 0  # posted and not over, notifications too
        self._expected = 0  # those of them that will have a response
        self._refusals = 0  # among the responses
        self._nursery: trio.Nursery | None = None
        self._arrived: trio.Event | None = None

    async def call(self) -> None:
        """call(req, req_len, res, res_cap) → length of the response."""
        sandbox = self._sandbox
        fiber, usage = sandbox.fiber, sandbox.usage
        pointer, length, into, capacity = fiber.arguments(_CALL)
        if not sandbox.handling:
            raise _not_now()
        to = fiber.check(into, capacity)
        if self._kept is not None:
            self._forget_kept()
        usage.host_calls = calls = usage.host_calls + 1
        limits, request = sandbox.limits, b""
        if length > limits.request_bytes or calls > limits.host_calls:
            response = self._refuse(pointer, length)
        else:
            request = fiber.read(pointer, length)
            answered = self._ask(request)
            if isinstance(answered, Elsewhere):
                response = await sandbox.waiting_elsewhere(answered)
            elif isinstance(answered, bytes) or answered is None:
                await trio.lowlevel.checkpoint_if_cancelled()
                sandbox.read_clock()
                response = answered
            else:
                response = await sandbox.waiting(answered)
        if response is None:
            raise Over(Ending.PROTOCOL_VIOLATION, "a notification was sent with hostel_v1.call: use post")
        size = len(response)
        if size <= capacity:
            fiber.copy_to(to, response)
            usage.response_bytes += size
            fiber.answer(size)
        else:
            kept = self._hold(response, request)
            usage.response_bytes += len(kept.response)
            self._give(kept, to, capacity)

    async def other(self, name: str) -> None:
        """post, wait or take."""
        if not self._sandbox.handling:
            raise _not_now()
        match name:
            case "post":
                await self._post(*self._sandbox.fiber.arguments(_PAIR))
            case "wait":
                await self._wait(*self._sandbox.fiber.arguments(_TRIPLE))
            case _:
                self._take(*self._sandbox.fiber.arguments(_PAIR))

    @property
    def may_post(self) -> bool:
        """It runs inside `run_with_posts`."""
        return self._nursery is not None

    async def run_with_posts(self, run: Callable[[], Awaitable[object]]) -> None:
        """Runs a guest that posts. Begun requests finish within the deadline after it returned, and end with it
        if it does not return."""
        over: Over | None = None
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                try:
                    await run()
                except Over as error:  # not through the nursery: it would come out wrapped in a group
                    over = error
                    nursery.cancel_scope.cancel()
                finally:
                    self._sandbox.bill()
                if self._begun:
                    await self._sandbox.returned(self._all_over())
        finally:
            self._sandbox.resumed()  # leaving a nursery lets others run: not on the guest's bill
        if over:
            raise over

    def close(self) -> None:
        """What nobody waited for is counted and let go."""
        self._forget_kept()
        if self._responses:
            self._sandbox.usage.unclaimed += len(self._responses)
            self._sandbox.host.release(sum(kept.held_bytes for kept in self._responses))
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
            request = fiber.read(pointer, length)
            answered = self._ask(request)
            if isinstance(answered, Elsewhere):
                answered = await sandbox.waiting_elsewhere(answered.accepted())
            if isinstance(answered, bytes):
                await trio.lowlevel.checkpoint_if_cancelled()
                self._keep(answered, request)
            elif answered is not None:
                self._begin(answered, request[:HEAD_BYTES])
            sandbox.read_clock()
        fiber.answer(0)

    def _begin(self, awaited: Awaitable[bytes | None], head: bytes) -> None:
        if self._nursery is None:
            raise RuntimeError("a guest that posts runs inside run_with_posts")
        responses = 0 if msgid_of(head) is None else 1
        self._begun += 1
        self._expected += responses
        self._nursery.start_soon(self._finish, awaited, head, responses)

    async def _finish(self, awaited: Awaitable[bytes | None], head: bytes, responses: int) -> None:
        """A posted request in a task of its own. Over the deadline it leaves no response; the guest's own wait ends
        then."""
        dropped = 1
        try:
            with self._sandbox.host.deadline.scope():
                if (response := await awaited) is not None:
                    self._keep(response, head)
                dropped = 0
        finally:
            self._sandbox.usage.dropped += dropped
            self._begun -= 1
            self._expected -= responses
            if self._arrived is not None:
                self._arrived.set()

    async def _wait(self, into: int, capacity: int, timeout_ms: int) -> None:
        """wait(res, res_cap, timeout_ms) → length, -1 nothing outstanding, -2 timed out."""
        sandbox = self._sandbox
        to = sandbox.fiber.check(into, capacity)
        self._forget_kept()
        if self._expected and not self._responses:
            await sandbox.waiting(self._one_arrives(inf if timeout_ms > FOREVER else timeout_ms / 1_000))
        if self._responses:
            kept = self._responses.popleft()
            self._refusals -= kept.is_refusal
            sandbox.usage.response_bytes += len(kept.response)
            self._give(kept, to, capacity)
        else:
            sandbox.fiber.answer(TIMED_OUT if self._expected else NOTHING)

    async def _one_arrives(self, seconds: float) -> None:
        """Until there is a response, or none to come, or the time is over; 0 s lets what was posted go on once."""
        with trio.move_on_after(seconds):
            while self._expected and not self._responses:
                self._arrived = trio.Event()
                await self._arrived.wait()
        self._arrived = None

    async def _all_over(self) -> None:
        while self._begun:
            self._arrived = trio.Event()
            await self._arrived.wait()

    def _take(self, into: int, capacity: int) -> None:
        """take(res, res_cap) → length of the response that did not fit; -1 nothing kept."""
        fiber = self._sandbox.fiber
        to = fiber.check(into, capacity)
        if self._kept is None:
            fiber.answer(NOTHING)
            return
        self._give(self._kept, to, capacity)

    # ---- shared ------------------------------------------------------------------------------------------------------
    def _ask(self, request: bytes) -> bytes | Awaitable[bytes | None] | None:
        sandbox = self._sandbox
        sandbox.usage.request_bytes += len(request)
        try:
            if self._responses:
                self._check_unused(request)
            answered = sandbox.host.answer(request)
        except MalformedMessage as error:
            raise _no_request(error) from None
        if len(request) > SMALL_BYTES:
            sandbox.bill()
        return answered

    def _check_unused(self, request: bytes) -> None:
        """The broker knows of requests that are not complete; what is complete and not given is outstanding too."""
        if (msgid := msgid_of(request)) is None:
            return
        head = RESPONSE_HEAD + encode(msgid)
        if any(kept.response.startswith(head) for kept in self._responses or ()):
            raise MalformedMessage(
                f"msgid {msgid} of an outstanding request used again: its response was not waited for"
            )

    def _open(self) -> int:
        return self._begun + len(self._responses or ())

    def _give(self, kept: Kept, to: int, capacity: int) -> None:
        """Copies what fits; what does not stays kept whole until take gets it or the next call or wait drops it."""
        fiber, response = self._sandbox.fiber, kept.response
        self._kept = kept
        if len(response) <= capacity:
            fiber.copy_to(to, response)
            self._forget_kept()
        fiber.answer(len(response))

    def _forget_kept(self) -> None:
        if self._kept is not None:
            self._sandbox.host.release(self._kept.held_bytes)
            self._kept = None

    def _refuse(self, pointer: int, length: int) -> bytes | None:
        """The error response for a request over one of the call's limits; the guest lives."""
        sandbox = self._sandbox
        usage, limits = sandbox.usage, sandbox.limits
        if length > limits.request_bytes:
            error = limit_exceeded("request_bytes", limits.request_bytes, length, "bytes", "the request")
        elif usage.host_calls > limits.host_calls:
            error = limit_exceeded(
                "host_calls", limits.host_calls, usage.host_calls, "calls", "host calls of this call"
            )
        else:
            error = limit_exceeded(
                "posted", limits.posted, self._open() + 1, "requests", "posted and not yet waited for"
            )
        usage.denials += 1
        fiber = sandbox.fiber
        fiber.check(pointer, length)
        try:
            return sandbox.host.refuse(fiber.read(pointer, min(length, HEAD_BYTES)), error)
        except MalformedMessage as malformed:
            raise _no_request(malformed) from None

    def _keep(self, response: bytes, request: bytes) -> None:
        self._append(self._hold(response, request))

    def _append(self, kept: Kept) -> None:
        if self._responses is None:
            self._responses = deque()
        self._responses.append(kept)

    def _hold(self, response: bytes, request: bytes) -> Kept:
        """The response to that request, on its program's account of held memory. Where there is no room for a large
        one, an error takes its place: the guest lives, others of its program hold the memory."""
        sandbox = self._sandbox
        size, most = len(response), sandbox.limits.held_bytes
        if sandbox.host.hold(size):
            return Kept(response, size)
        if size > SMALL_BYTES:
            error = ApiError(
                ErrorCode.LIMIT_EXCEEDED,
                f"a response of {size} bytes beside what the host holds for the program: over held_bytes = {most}",
                details={"limit": "held_bytes", "value": most, "used": size, "unit": "bytes"},
            )
            sandbox.usage.denials += 1
            response = sandbox.host.refuse(request[:HEAD_BYTES], error) or b""
        return Kept(response, 0)

    def _keep_refusal(self, response: bytes) -> None:
        self._refusals += 1
        if self._refusals >= REFUSED_MOST:
            raise Over(
                Ending.PROTOCOL_VIOLATION,
                f"{REFUSED_MOST} requests posted over the limit without waiting for their responses",
                limit="posted", value=self._sandbox.limits.posted, unit="requests",
            )  # fmt: skip
        held = len(response) if self._sandbox.host.hold(len(response)) else 0
        self._append(Kept(response, held, is_refusal=True))


def _not_now() -> Over:
    return Over(Ending.PROTOCOL_VIOLATION, "hostel_v1 was used before hostel_handle")


def _no_request(error: MalformedMessage) -> Over:
    return Over(Ending.PROTOCOL_VIOLATION, f"the guest sent no valid request: {error}")
