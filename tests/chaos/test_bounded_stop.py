"""A daemon that is told to stop does, whatever its workers do: one that hangs, and guests that never end. Their calls
end as `cancelled`, the exit code is 0 (docs/operations.md, "Start and stop"), and no process is left.

The heart beats once a minute here: no watchdog ends the worker before the stop gives up on it.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TypeAlias

import pytest
import trio

from benchmarks import guests
from runtime.client import Client
from runtime.errors import CallCancelled, Ending, HostClosed
from tests.chaos.daemon import Daemon, serving, until, until_told

HELD = {**guests.UNRATED, "wall_ms": 600_000, "cpu_us": 600_000_000, "cpu_burst_us": 600_000_000}
SETTINGS = {"host": {"drain_s": 0.2}, "workers": {"count": 1, "heartbeat_s": 60.0}}
Stop: TypeAlias = Callable[[Daemon, Client], Awaitable[None]]


async def by_signal(daemon: Daemon, client: Client) -> None:
    daemon.signal(signal.SIGTERM)


async def by_socket(daemon: Daemon, client: Client) -> None:
    await client.host.stop()


async def drained_first(daemon: Daemon, client: Client) -> None:
    """Answered when no call is in flight any more, though the worker tells nothing; the daemon lives on."""
    await client.host.drain(0.2)
    assert (await client.status()).draining
    with pytest.raises(HostClosed):
        await client.call("org.example.waits", "session.info", user="alice")
    daemon.signal(signal.SIGTERM)


class Held:
    """Calls that end by themselves after a minute or more, and how they ended."""

    def __init__(self) -> None:
        self.ended: list[CallCancelled] = []

    async def call(self, client: Client, app_id: str, method: str) -> None:
        with pytest.raises(CallCancelled) as caught:
            await client.call(app_id, method, {"ms": 60_000}, user="alice")
        self.ended.append(caught.value)


async def installed(client: Client, name: str, wasm: bytes) -> str:
    return (await client.install(guests.archive(name, wasm, asks=()), limits=HELD)).app_id


@pytest.mark.slow
@pytest.mark.parametrize("stop", [by_signal, by_socket, drained_first])
@pytest.mark.parametrize("hangs", [True, False], ids=["a worker that hangs", "guests that spin"])
async def test_it_stops_though_its_calls_do_not_end(tmp_path: Path, hangs: bool, stop: Stop) -> None:
    async with serving(tmp_path, **SETTINGS) as daemon, daemon.client() as client, daemon.client() as operator:
        waits = await installed(client, "waits", guests.forward())
        spins = await installed(client, "spins", guests.spin())
        held = Held()
        async with trio.open_nursery() as nursery:
            for app_id in (waits, waits, spins, spins):
                nursery.start_soon(held.call, client, app_id, "session.sleep")
            await until_told(partial(_has_calls, operator, 4))
            workers = daemon.workers()
            if hangs:
                os.kill(workers[0], signal.SIGSTOP)
            await stop(daemon, operator)
            assert await daemon.ended() == 0
        assert {(error.ending, error.message) for error in held.ended} == {
            (Ending.CANCELLED, "the host closed while the call was in flight")
        }
        assert [bool(daemon.events(name)) for name in ("drained", "stopped")] == [True, True]
        assert bool(daemon.events("calls that were told to end have not: they end without their workers")) is hangs
        await until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))


async def _has_calls(client: Client, count: int) -> bool:
    return (await client.statistics()).sandboxes == count
