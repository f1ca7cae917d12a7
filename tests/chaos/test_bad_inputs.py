"""Hostile clients of a whole daemon, on both its doors: its memory stays bounded, and honest clients are answered.

Random bytes, frames and heads that are too long, half of one, slow writers, and a crowd that says nothing: 1,000 of
them, 10,000 with HOSTEL_LONG=1. One daemon meets all of it. The units' own tests are beside the servers'.
"""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from benchmarks import guests
from runtime.client import Client
from tests.chaos.daemon import Daemon, everything, serving, until
from tests.crash.scale import LONG

CROWD = 10_000 if LONG else 1_000
MIB = 1 << 20
EACH_MOST = 16 << 10
"""Bytes of the daemon's memory for one connection that says nothing."""
KEPT_MOST = 16 * MIB + CROWD * (4 << 10)
"""What may be left when all of them are gone: memory that Python keeps for the next ones."""
SLOW_S = 2.0
"""No honest call takes as long, as far as the daemon is to blame."""
QUEUED_S = SLOW_S + CROWD / 1_000
"""No honest request takes as long: it is let in after whoever came before it, some thousand of them a second."""
_SILENT = """
import resource, socket, sys
_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
address = sys.argv[1] if "/" in sys.argv[1] else ("127.0.0.1", int(sys.argv[1]))
crowd = [socket.socket(socket.AF_UNIX if "/" in sys.argv[1] else socket.AF_INET) for _ in range(int(sys.argv[2]))]
for each in crowd:
    each.connect(address)
print("connected", flush=True)
sys.stdin.read()
"""


class Honest:
    """Calls through the control socket, and requests to the HTTP door, all the while."""

    def __init__(self, daemon: Daemon, client: Client, app: str) -> None:
        self._daemon, self._client, self._app = daemon, client, app
        self.calls = self.requests = 0
        self.slowest_call_s = self.slowest_request_s = 0.0

    async def call_on(self) -> None:
        while True:
            began = self._daemon.clocks()
            await self._client.call(self._app, "session.info", user="alice")
            self.calls += 1
            self.slowest_call_s = max(self.slowest_call_s, self._daemon.since(began))
            await trio.sleep(0.005)  # a load, not a wait

    async def request_on(self) -> None:
        while True:
            began = self._daemon.clocks()
            assert (await self._daemon.http("GET", "/healthz"))[0] == 200
            self.requests += 1
            self.slowest_request_s = max(self.slowest_request_s, self._daemon.since(began))
            await trio.sleep(0.02)  # as above

    def told(self) -> str:
        return (
            f"{self.calls} calls, slowest {self.slowest_call_s * 1e3:.0f} ms;"
            f" {self.requests} requests, slowest {self.slowest_request_s * 1e3:.0f} ms"
        )

    async def go_on(self) -> None:
        """Both have been answered again."""
        calls, requests = self.calls, self.requests
        await until(lambda: self.calls > calls + 1 and self.requests > requests + 1)


@pytest.mark.slow
async def test_the_daemon_bears_hostile_clients(tmp_path: Path) -> None:
    quick = {"frame_s": 0.5, "connections": CROWD + 2_000}
    async with (
        serving(tmp_path, host={"http": True}, control=quick, http={"head_s": 0.5, "body_s": 0.5}) as daemon,
        daemon.client() as client,
    ):
        app = await client.install(guests.archive("honest", guests.forward(), asks=()), limits=guests.UNRATED)
        honest = Honest(daemon, client, app.app_id)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(honest.call_on)
            nursery.start_soon(honest.request_on)
            await honest.go_on()
            before = daemon.pss_bytes()
            for meet in (bytes_that_are_nothing, too_long, half_closed, slow_writers):
                await meet(daemon)
                await honest.go_on()
                print(f"\n{meet.__name__}: {(daemon.pss_bytes() - before) / MIB:+.1f} MiB; {honest.told()}", end="")
            await a_crowd(daemon, str(daemon.socket), honest)
            await a_crowd(daemon, str(daemon.port), honest)
            after = daemon.pss_bytes()
            nursery.cancel_scope.cancel()
        print(f"\n{before / MIB:.0f} MiB before, {after / MIB:.0f} after")
        assert after - before < KEPT_MOST
        assert honest.slowest_call_s < SLOW_S
        assert honest.slowest_request_s < QUEUED_S
        assert "Traceback" not in daemon.said() and "fault" not in daemon.said()


# ---- what hostile clients do -----------------------------------------------------------------------------------------
async def bytes_that_are_nothing(daemon: Daemon) -> None:
    """Random ones, of any length. Each connection is ended by the daemon, or waits for more of what may be a frame."""
    chance = random.Random(1)
    for _ in range(100):
        for connect in doors(daemon):
            async with await connect() as stream:
                with suppress(trio.BrokenResourceError):
                    await stream.send_all(chance.randbytes(chance.randrange(1, 5_000)))


async def too_long(daemon: Daemon) -> None:
    """A frame that announces 4 GiB, and a head that does not end."""
    for connect, start, more in zip(
        doors(daemon), (b"\xff\xff\xff\xff", b"GET / HTTP/1.1\r\nHost: x\r\nX: "), (b"x", b"x"), strict=True
    ):
        async with await connect() as stream:
            with suppress(trio.BrokenResourceError):
                await stream.send_all(start)
                for _ in range(64):
                    await stream.send_all(more * MIB)
            with suppress(trio.BrokenResourceError):
                await everything(stream)


async def half_closed(daemon: Daemon) -> None:
    """Half a frame and half a head, and then no more is said: the daemon ends both."""
    starts = (b"\x00\x00\x01\x00half", b"POST /v1/x HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf")
    for connect, start in zip(doors(daemon), starts, strict=True):
        for _ in range(50):
            async with await connect() as stream:
                await stream.send_all(start)
                await stream.send_eof()
                with suppress(trio.BrokenResourceError):
                    await everything(stream)


async def slow_writers(daemon: Daemon) -> None:
    """A byte now and then of a frame, and of a head: cut off when its time is over."""

    async def drip(stream: trio.SocketStream, start: bytes) -> None:
        async with stream:
            try:
                await stream.send_all(start)
                while True:
                    await stream.send_all(b"x")
                    await trio.sleep(0.05)
            except trio.BrokenResourceError:
                return

    starts = (b"\x00\x0f\x00\x00", b"GET / HTTP/1.1\r\nHost: x\r\nX: ")
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            for connect, start in zip(doors(daemon), starts, strict=True):
                for _ in range(50):
                    nursery.start_soon(drip, await connect(), start)


async def a_crowd(daemon: Daemon, where: str, honest: Honest) -> None:
    """Another process's connections that say nothing."""
    before = daemon.pss_bytes()
    words = [sys.executable, "-c", _SILENT, where, str(CROWD)]
    process = await trio.lowlevel.open_process(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None and process.stdout is not None
    try:
        with trio.fail_after(60):
            await process.stdout.receive_some()
        await honest.go_on()
        cost = daemon.pss_bytes() - before
        print(f"\n{CROWD} silent at {where.rpartition('/')[2]}: {cost / MIB:+.1f} MiB; {honest.told()}", end="")
        assert cost < CROWD * EACH_MOST
    finally:
        with trio.CancelScope(shield=True):
            process.kill()
            await process.wait()
            await process.stdin.aclose()
            await process.stdout.aclose()
    await honest.go_on()
    print(f"; when it is gone: {honest.told()}", end="")


# ---- connections -----------------------------------------------------------------------------------------------------
def doors(daemon: Daemon) -> tuple[Callable[[], Any], Callable[[], Any]]:
    return partial(trio.open_unix_socket, str(daemon.socket)), partial(trio.open_tcp_stream, "127.0.0.1", daemon.port)
