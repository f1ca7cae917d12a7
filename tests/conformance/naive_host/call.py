"""One call as the host sees it: for whom, under which limits, what was used; and the imports of §4.4."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgpack
import wasmtime

from .clock import Clock
from .limits import exceeded
from .wire import Malformed, Refused, encode, request

REFUSALS_MOST = 256
_USAGE = (
    "cpu_us", "called_cpu_us", "fuel", "wall_us", "asked_us", "memory_bytes_peak", "host_calls", "message_in_bytes",
    "message_out_bytes", "request_bytes", "response_bytes", "log_bytes", "storage_delta_bytes", "denials", "unclaimed",
    "dropped",
)  # fmt: skip


class Ended(Exception):
    """The call is over, with this ending."""

    def __init__(self, ending: str, message: str, **details: Any) -> None:
        super().__init__(message)
        self.ending, self.details = ending, details


@dataclass(frozen=True, slots=True)
class Later:
    """What a method answers when that time has come."""

    at_us: int
    result: Any


@dataclass(eq=False)
class Call:
    clock: Clock
    limits: dict[str, int]
    program: Any
    session: dict[str, Any]
    answer: Callable[[Call, str, dict[str, Any]], Any]
    usage: dict[str, Any] = field(
        default_factory=lambda: {**dict.fromkeys(_USAGE, 0), "log_cut": False, "memory_at_limit": False}
    )
    is_notification: bool = False
    may_ask: bool = False
    taken: str = ""
    """How it has to end, because it was cancelled or its program is gone; "": it goes on."""

    def __post_init__(self) -> None:
        self.began_us, self.began_s = self.clock.now_us, time.monotonic()
        self.deadline_us = self.began_us + self.limits["wall_ms"] * 1000
        self.posted: list[tuple[int, int, bytes, int, bool]] = []
        self.kept: bytes | None = None
        self.refusals, self.is_refused = 0, False
        self.log: list[tuple[str, str]] = []

    def attach(self, store: Any, memory: wasmtime.Memory) -> None:
        self._at, self._memory = store, memory

    store: Any = None
    _memory: Any = None

    def memory_bytes(self) -> int:
        return self._memory.data_len(self.store) if self._memory is not None else 0

    # ---- memory and time ---------------------------------------------------------------------------------------------
    def within(self, at: int, size: int) -> None:
        if (at & 0xFFFFFFFF) + (size & 0xFFFFFFFF) > self._memory.data_len(self._at):
            raise Ended("protocol_violation", "a range outside of its memory")

    def read(self, at: int, size: int) -> bytes:
        self.within(at, size)
        at &= 0xFFFFFFFF
        return bytes(self._memory.read(self._at, at, at + (size & 0xFFFFFFFF)))

    def write(self, at: int, data: bytes) -> None:
        self.within(at, len(data))
        self._memory.write(self._at, data, at & 0xFFFFFFFF)

    def pause(self, until_us: int, is_over: Callable[[], bool] = lambda: False) -> None:
        self.clock.wait(min(until_us, self.deadline_us), lambda: bool(self.taken) or is_over())
        if self.taken:
            raise Ended(self.taken, "it was taken away")
        if self.clock.now_us >= self.deadline_us and not is_over():
            raise Ended("deadline_exceeded", "over its time", limit="wall_ms", value=self.limits["wall_ms"], unit="ms")

    def ask_person(self, wait_ms: int, is_over: Callable[[], bool]) -> None:
        """Waits for somebody's answer; the deadline stands still meanwhile."""
        began, left = self.clock.now_us, self.deadline_us - self.clock.now_us
        most = min(wait_ms, self.limits["prompt_wait_ms"]) * 1000
        self.deadline_us = began + most + left
        self.pause(began + most, is_over)
        self.usage["asked_us"] += self.clock.now_us - began
        self.deadline_us = self.clock.now_us + left

    # ---- the imports of hostel_v1 ------------------------------------------------------------------------------------
    def call(self, at: int, size: int, room: int, capacity: int) -> int:
        self._check(at, size, room, capacity)
        self.kept = None
        msgid, reply, ready_us = self._asked(at, size, posted=False)
        if msgid is None:
            raise Ended("protocol_violation", "a notification with call")
        if ready_us > self.clock.now_us:
            self.pause(ready_us)
        return self._deliver(reply, room, capacity)

    def post(self, at: int, size: int) -> int:
        self._check(at, size)
        msgid, reply, ready_us = self._asked(at, size, posted=True)
        if msgid is not None:
            self.posted.append((ready_us, self.usage["host_calls"], reply, msgid, self.is_refused))
        return 0

    def wait(self, room: int, capacity: int, timeout_ms: int) -> int:
        self._check(0, 0, room, capacity)
        self.kept = None
        if not self.posted:
            return -1
        first = min(self.posted)
        if first[0] > self.clock.now_us:
            limit_us = self.deadline_us + 1 if timeout_ms < 0 else self.clock.now_us + timeout_ms * 1000
            if timeout_ms:
                self.pause(min(first[0], limit_us))
            if first[0] > self.clock.now_us:
                return -2
        self.posted.remove(first)
        self.refusals -= first[4]
        return self._deliver(first[2], room, capacity)

    def take(self, room: int, capacity: int) -> int:
        self._check(0, 0, room, capacity)
        if self.kept is None:
            return -1
        size = len(self.kept)
        if size <= capacity & 0xFFFFFFFF:
            self.write(room, self.kept)
            self.kept = None
        return size

    def finish_posted(self) -> None:
        """What is under way when the guest returns is finished within the deadline, and counted."""
        in_time = [one for one in self.posted if one[0] <= self.deadline_us]
        if self.posted:
            self.clock.wait(min(max(self.posted)[0], self.deadline_us), lambda: bool(self.taken))
        self.usage["unclaimed"] = len(in_time)
        self.usage["dropped"] = len(self.posted) - len(in_time)

    def _check(self, at: int, size: int, room: int = 0, capacity: int = 0) -> None:
        if not self.may_ask:
            raise Ended("protocol_violation", "hostel_v1 is used before hostel_handle")
        self.within(at, size)
        self.within(room, capacity)

    def _asked(self, at: int, size: int, *, posted: bool) -> tuple[int | None, bytes, int]:
        self.usage["host_calls"] += 1
        size &= 0xFFFFFFFF
        try:
            over = self._over(size, posted)
            self.is_refused = over is not None
            if over:
                msgid = self._head(self.read(at, min(size, 32)))
                self.refusals += posted
                if self.refusals >= REFUSALS_MOST:
                    raise Ended("protocol_violation", f"{REFUSALS_MOST} refusals of posted requests")
                return msgid, self._error(msgid, over), self.clock.now_us
            msgid, method, params = request(self.read(at, size))
        except Malformed as error:
            raise Ended("protocol_violation", f"no request: {error}") from None
        self.usage["request_bytes"] += size
        if msgid is not None and any(one[3] == msgid for one in self.posted):
            raise Ended("protocol_violation", f"the msgid {msgid} is outstanding")
        return msgid, *self._answered(msgid, method, params)

    def _over(self, size: int, posted: bool) -> Refused | None:
        used = {"host_calls": self.usage["host_calls"], "request_bytes": size,
                "posted": len(self.posted) + 1 if posted else 0}  # fmt: skip
        units = {"host_calls": "calls", "request_bytes": "bytes", "posted": "requests"}
        over = (name for name, count in used.items() if count > self.limits[name])
        return next((exceeded(name, self.limits[name], used[name], units[name]) for name in over), None)

    @staticmethod
    def _head(data: bytes) -> int | None:
        reader = msgpack.Unpacker()
        reader.feed(data)
        try:
            parts, kind = reader.read_array_header(), reader.unpack()
            return reader.unpack() if (parts, kind) == (4, 0) else None
        except (ValueError, msgpack.UnpackException):
            raise Malformed("no head of a request") from None

    def _answered(self, msgid: int | None, method: str, params: dict[str, Any]) -> tuple[bytes, int]:
        ready_us = self.clock.now_us
        try:
            result = self.answer(self, method, params)
            if isinstance(result, Later):
                result, ready_us = result.result, result.at_us
            reply = encode([1, msgid, None, result])
            if len(reply) > (most := self.limits["response_bytes"]):
                raise exceeded("response_bytes", most, len(reply), "bytes")
        except Refused as error:
            reply = self._error(msgid, error)
        return reply, max(ready_us, self.clock.now_us)

    def _error(self, msgid: int | None, error: Refused) -> bytes:
        self.usage["denials"] += 1
        return encode([1, msgid, error.value(), None])

    def _deliver(self, reply: bytes, room: int, capacity: int) -> int:
        self.usage["response_bytes"] += len(reply)
        if len(reply) > capacity & 0xFFFFFFFF:
            self.kept = reply
        else:
            self.write(room, reply)
        return len(reply)
