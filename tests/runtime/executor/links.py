"""A link to a worker that is played by the test: it has a socket, and no process behind it."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import trio

from host_api.contract import Bound, Method, Params, Result, Session
from runtime import wire
from runtime.broker import Broker, BrokerCall
from runtime.errors import Ending
from runtime.executor import frames
from runtime.executor.flight import Flight
from runtime.executor.held_modules import WorkerModule
from runtime.executor.job import Job, Outcome
from runtime.executor.outbox import Outbox
from runtime.executor.worker_link import WorkerLink
from runtime.limits import MIB, Limits
from runtime.sandbox.checks import ModuleFacts
from runtime.session import Holdings
from runtime.testing import LogLines, SeededIds, VirtualClock, make_session

FACTS = ModuleFacts(
    sha256="0" * 64, memory_min_pages=1, memory_max_pages=1, table_elements=0, imports=(), has_initialize=False,
    inbox=None, measured={},
)  # fmt: skip
LIMITS = Limits(
    request_bytes=1_024, response_bytes=1_024, message_out_bytes=20_000, log_bytes=64, host_calls=4, posted=2
)  # fmt: skip
ASK = wire.request(1, "test.echo", {})
WAIT = wire.request(2, "test.wait", {})


class Nothing(Params, frozen=True, kw_only=True):
    pass


class Empty(Result, frozen=True, kw_only=True):
    pass


def _bound(name: str, run: Callable[..., Any], *, waits: bool) -> Bound:
    method = Method(
        name=name, capability=None, params=Nothing, result=Empty, errors=(), waits=waits, summary="", example={},
        answer={},
    )  # fmt: skip
    return Bound(method, run)


class Peer:
    """The broker's side under test, and what it sent to the worker that the test plays."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.ids, self.log = SeededIds(), LogLines()
        self.outcomes: dict[str, list[Outcome]] = {}
        self.left: list[Flight] = []
        self.go = trio.Event()
        """Lets `test.wait` answer."""
        ours, self.theirs = socket.socketpair()
        ours.setblocking(False)
        self.theirs.setblocking(False)
        self.ours = ours
        services = {
            "test.echo": _bound("test.echo", lambda session, params: Empty(), waits=False),
            "test.wait": _bound("test.wait", self._wait, waits=True),
        }
        self.broker = Broker(services, clock=VirtualClock(), new_incident=self.ids)
        self.link = WorkerLink(
            group="g", slots=8, loaded_bytes=MIB, nursery=nursery, now_us=lambda: 0, new_id=self.ids,
            ended=self.left.append,
        )  # fmt: skip
        self.link.connect(Outbox(ours, nursery))
        self._splitter = frames.Splitter(lambda kind, number: 1 << 30)

    async def _wait(self, session: Session, params: Nothing) -> Empty:
        await self.go.wait()
        return Empty()

    def call(self, name: str = "a", *, module: WorkerModule | None = None, notification: bool = False) -> Flight:
        """Puts a call of a program of that name into the worker."""
        session = make_session(
            limits=LIMITS, app_id=name, now=trio.current_time, log_sink=self.log, holdings=Holdings()
        )  # fmt: skip
        told = self.outcomes.setdefault(name, [])
        made = Job(name, "g", module or MODULE, b"message", LIMITS, notification)
        flight = Flight(made, BrokerCall(self.broker, session), session.usage, told.append)
        self.link.put(flight)
        return flight

    def sent(self) -> list[frames.Frame]:
        """What the worker was sent since the last time."""
        self.link.outbox.before_io_wait(0)
        data = b""
        while True:
            try:
                data += self.theirs.recv(1 << 20)
            except BlockingIOError:
                return self._splitter.feed(data)

    def close(self) -> None:
        self.link.outbox.close()
        self.ours.close()
        self.theirs.close()


MODULE = WorkerModule(artifact=b"artifact", facts=FACTS, posts=False)
POSTING = WorkerModule(artifact=b"posting", facts=FACTS, posts=True)


@asynccontextmanager
async def opened_peer() -> AsyncIterator[Peer]:
    async with trio.open_nursery() as nursery:
        peer = Peer(nursery)
        try:
            yield peer
        finally:
            peer.link.lose("the test is over")
            peer.close()
            nursery.cancel_scope.cancel()


# ---- what a worker sends ---------------------------------------------------------------------------------------------
def request(flight: Flight, serial: int, body: bytes = ASK, *, cpu_us: int = 10, refused: int = 0) -> bytes:
    return frames.frame(frames.REQUEST, flight.number, frames.REQUEST_HEAD.pack(serial, cpu_us, refused) + body)


def log(flight: Flight, text: bytes, stream: int = 1) -> bytes:
    return frames.frame(frames.LOG, flight.number, bytes((stream,)) + text)


def done(flight: Flight, ending: Ending = Ending.COMPLETED, rest: bytes | None = None, **numbers: int) -> bytes:
    if rest is None:
        rest = b"" if ending is Ending.COMPLETED else json.dumps(["it ended", {"n": 1}]).encode()
    told = {
        "cpu_us": 20, "fuel": 0, "memory": 1, "taken": 0, "refused": 0, "denials": 0, "unclaimed": 0, "dropped": 0,
        **numbers,
    }  # fmt: skip
    head = frames.DONE_HEAD.pack(frames.ENDING_INDEX[ending], told.pop("flags", 0), *told.values())
    return frames.frame(frames.DONE, flight.number, head + rest)


def ready(level: str = "full") -> bytes:
    return frames.frame(frames.READY, 0, msgspec.json.encode(frames.Ready(ticker="signal", level=level, missing=())))
