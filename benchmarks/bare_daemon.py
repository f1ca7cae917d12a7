"""The yardstick for the daemon: the bare probe in a process of its own, behind a broker that looks up one key.

The way of a call is that of hostel's daemon: client, broker, worker, broker for the host call, worker, broker, client.
What is joined there is joined here: one read and one write a wake-up, whatever has come. What a daemon is for is
missing: no jail, no programs, grants, limits or deadlines, no receipts, one worker without a ticker. What it takes all
the same, in the same minute, is the machine's: six times a process wakes up, and the sandbox. Independent of runtime/
on purpose.
"""

from __future__ import annotations

import select
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeAlias

import msgpack  # type: ignore[import-untyped]

from benchmarks.bare_probe import BareProbe

START, ASK, REPLY, DONE = range(4)
_HEAD: Final = struct.Struct("<IBI")
"""Length of the body, what it is, the number of its call."""
_RECV_BYTES: Final = 256 << 10
Frame: TypeAlias = tuple[int, int, bytes]


class _Link:
    """One end of a socket pair: frames that came with one read, frames that go with one write."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._kept = b""
        self._parts: list[bytes] = []

    def receive(self) -> list[Frame]:
        """Waits for some. Raises EOFError: the other end is gone."""
        if not (data := self.sock.recv(_RECV_BYTES)):
            raise EOFError
        data, at, found = self._kept + data, 0, []
        while at + _HEAD.size <= len(data):
            size, kind, number = _HEAD.unpack_from(data, at)
            begin = at + _HEAD.size
            if begin + size > len(data):
                break
            found.append((kind, number, data[begin : begin + size]))
            at = begin + size
        self._kept = data[at:]
        return found

    def put(self, kind: int, number: int, body: bytes) -> None:
        self._parts.append(_HEAD.pack(len(body), kind, number) + body)

    def flush(self) -> None:
        if self._parts:
            self.sock.sendall(b"".join(self._parts))
            self._parts.clear()


class BareDaemon:
    """Opened with `bare_daemon`."""

    def __init__(self, sock: socket.socket) -> None:
        self._link = _Link(sock)

    def measure(self, message: bytes, count: int, at_once: int) -> tuple[float, list[float]]:
        """Calls a second, and the seconds that each took: `count` calls, `at_once` of them in flight."""
        link, began_at, took, clock = self._link, dict[int, float](), list[float](), time.perf_counter
        began = now = clock()
        for number in range(at_once):
            link.put(START, number, message)
            began_at[number] = now
        asked = at_once
        link.flush()
        while began_at:
            frames, now = link.receive(), clock()
            for _, number, _ in frames:
                took.append(now - began_at.pop(number))
                if asked < count:
                    link.put(START, asked, message)
                    began_at[asked] = now
                    asked += 1
            link.flush()
        return len(took) / (clock() - began), took


@contextmanager
def bare_daemon(wasm: bytes) -> Iterator[BareDaemon]:
    """Of programs that run this module. The other two processes end with this block."""
    client, to_client = socket.socketpair()
    to_worker, worker = socket.socketpair()
    with client, to_client, to_worker, worker:
        others = [_program("broker", b"", to_client, to_worker), _program("worker", wasm, worker)]
        for theirs in (to_client, to_worker, worker):
            theirs.close()
        try:
            yield BareDaemon(client)
        finally:
            client.close()
            for other in others:
                other.wait()


def _program(role: str, wasm: bytes, *links: socket.socket) -> subprocess.Popen[bytes]:
    fds = [link.fileno() for link in links]
    command = [sys.executable, "-m", "benchmarks.bare_daemon", role, *map(str, fds)]
    process = subprocess.Popen(command, pass_fds=fds, stdin=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write(wasm)
    process.stdin.close()
    return process


# ---- broker ----------------------------------------------------------------------------------------------------------
def _broker(client: _Link, worker: _Link) -> None:
    keys = {"k": "x" * 40}

    def from_client(kind: int, number: int, body: bytes) -> None:
        worker.put(kind, number, body)

    def from_worker(kind: int, number: int, body: bytes) -> None:
        if kind == DONE:
            client.put(kind, number, body)
        else:
            _, msgid, _, params = msgpack.unpackb(body)
            worker.put(REPLY, number, msgpack.packb([1, msgid, None, {"value": keys[params["key"]]}]))

    _serve({client: from_client, worker: from_worker})


def _serve(links: dict[_Link, Callable[[int, int, bytes], None]]) -> None:
    """Until one of them is closed."""
    poll, of = select.epoll(), {link.sock.fileno(): (link, take) for link, take in links.items()}
    for fd in of:
        poll.register(fd, select.EPOLLIN)
    while True:
        for fd, _ in poll.poll():
            link, take = of[fd]
            try:
                frames = link.receive()
            except EOFError:
                return
            for frame in frames:
                take(*frame)
        for link in links:
            link.flush()


# ---- worker ----------------------------------------------------------------------------------------------------------
class _Asked:
    """What a guest asks its host, as something to await: it goes out by `send`, the reply comes in the same way."""

    def __init__(self, request: bytes) -> None:
        self._request = request

    def __await__(self) -> Generator[bytes, bytes, bytes]:
        return (yield self._request)


async def _ask(request: bytes) -> bytes:
    return await _Asked(request)


def _worker(broker: _Link, wasm: bytes) -> None:
    probe, calls = BareProbe(wasm, _ask), dict[int, Coroutine[Any, Any, bytes]]()

    def take(kind: int, number: int, body: bytes) -> None:
        call = probe.call(body) if kind == START else calls.pop(number)
        try:
            request = call.send(None if kind == START else body)
        except StopIteration as done:
            broker.put(DONE, number, done.value)
        else:
            calls[number] = call
            broker.put(ASK, number, request)

    _serve({broker: take})


if __name__ == "__main__":
    _links = [_Link(socket.socket(fileno=int(fd))) for fd in sys.argv[2:]]
    if sys.argv[1] == "broker":
        _broker(_links[0], _links[1])
    else:
        _worker(_links[0], sys.stdin.buffer.read())
