"""Endings that the host or a worker brings about, of real guests in a real worker: a client is told what the library
tells. Those that a guest brings about itself are in test_client.py."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from runtime import Host, HostSettings, wire
from runtime.client import Client
from runtime.daemon import control
from runtime.daemon.control import ControlSettings
from runtime.errors import CallCancelled, CallEnded, CallRevoked, Ending, InternalError, WorkerLost
from runtime.worker_settings import WorkerSettings
from tests.hostile.guests import Script, bundle, scripted
from tests.runtime.client.test_client import APP, Pair, outcome
from tests.runtime.daemon.control.conftest import until

ASLEEP = Script().ask(wire.request(1, "session.sleep", {"ms": 60_000}))
PRINTS = Script().print(b"said\n")
MEASURED = {"cpu_us", "wall_us", "call_id"}
"""Of a receipt: never twice the same."""


def broken(*_: object) -> None:
    """The platform's sink for lines that programs log."""
    raise OSError("no such secret")


@pytest.fixture
async def pair(tmp_path: Path, artifacts: Path) -> AsyncIterator[Pair]:
    settings = HostSettings(
        allow_unsigned=True, cache_dir=artifacts,
        workers=WorkerSettings(count=1, slots=16, heartbeat_s=5.0, start_s=60.0, require="none"),
    )  # fmt: skip
    async with Host.open(settings=settings, log_sink=broken) as host, trio.open_nursery() as nursery:
        server = await nursery.start(partial(control.serve, host, ControlSettings(socket=tmp_path / "s")))
        async with Client.connect(tmp_path / "s") as client:
            await client.install(bundle(scripted(), APP), grant=["storage"])
            yield Pair(host, client, server)
        nursery.cancel_scope.cancel()


async def drained(pair: Pair) -> None:
    await pair.host.drain(0)


async def uninstalled(pair: Pair) -> None:
    await pair.client.uninstall(APP, end_calls=True)


async def erased(pair: Pair) -> None:
    await pair.client.erase_user("alice")


async def killed(pair: Pair) -> None:
    (worker,) = [one for one in pair.host.status().workers if one.calls]
    os.kill(worker.pid, signal.SIGKILL)


async def nothing(pair: Pair) -> None:
    """It ends by itself."""


CASES: dict[str, tuple[Ending, type[CallEnded], Script, Callable[[Pair], Awaitable[None]]]] = {
    "the host drains": (Ending.CANCELLED, CallCancelled, ASLEEP, drained),
    "the program is uninstalled": (Ending.REVOKED, CallRevoked, ASLEEP, uninstalled),
    "the user is erased": (Ending.REVOKED, CallRevoked, ASLEEP, erased),
    "the worker is killed": (Ending.WORKER_LOST, WorkerLost, ASLEEP, killed),
    "the host has a fault": (Ending.INTERNAL, InternalError, PRINTS, nothing),
}


@pytest.mark.parametrize("case", CASES)
async def test_a_call_that_was_ended_is_told_as_the_library_tells_it(pair: Pair, case: str) -> None:
    ending, kind, script, end = CASES[case]
    found: dict[str, Any] = {}

    async def call(name: str, side: Any) -> None:
        found[name] = await outcome(lambda side: side.call(APP, "run", script.params(), user="alice"), side)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(call, "here", pair.host)
        nursery.start_soon(call, "there", pair.client)
        if end is not nothing:
            await until(lambda: asleep(pair.host) == 2)
        await end(pair)
    here, there = told(found["here"]), told(found["there"])
    assert here == there
    assert here["kind"] is kind and here["ending"] is here["receipt"]["ending"] is ending
    assert here["code"] == ending.value and here["retryable"] is kind.retryable
    assert "secret" not in str(there)


def asleep(host: Host) -> int:
    """Calls whose request has reached the host."""
    return sum(call.session.usage.host_calls == 1 for call in host._calls._in_flight.values())


def told(error: CallEnded) -> dict[str, Any]:
    """All there is to see of it, without what is measured and which incident it was."""
    assert isinstance(error, CallEnded) and error.receipt is not None, error
    incident = error.details.pop("incident", None)
    assert (incident is not None) is (error.ending is Ending.INTERNAL)
    message = error.message.replace(str(incident), "INCIDENT")
    assert str(error) == error.message
    receipt = {name: value for name, value in error.receipt.as_dict().items() if name not in MEASURED}
    receipt["ending"] = error.receipt.ending
    return {"kind": type(error), "ending": error.ending, **error.as_dict(), "message": message, "receipt": receipt}


async def test_calls_go_on_after_a_worker_was_lost(pair: Pair) -> None:
    async with trio.open_nursery() as nursery:

        async def call() -> None:
            with pytest.raises(WorkerLost):
                await pair.client.call(APP, "run", ASLEEP.params())

        nursery.start_soon(call)
        await until(lambda: asleep(pair.host) == 1)
        await killed(pair)
    reply = await pair.client.call(APP, "run", Script().step("sched_yield").params())
    assert reply.receipt.ending is Ending.COMPLETED
