"""A daemon for cases: what `hostel serve` runs, with jailed workers and its socket, as a process forked for it.

What lives here: that process. It opens the host a case asks for, and is told over a channel of its own, never over the
control socket, to move its clock, to pay out, to stop as on SIGTERM, or to be gone at once. forks.py starts it.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec
import trio

from host_api.services import Outside
from runtime.daemon.config import Config
from runtime.daemon.doors import control_door
from runtime.daemon.serve import run
from runtime.host import Host
from runtime.log import write_to
from runtime.rehearsal import Rehearsal
from runtime.target import world
from runtime.target.payouts import pay_out
from runtime.testing import VirtualClock
from runtime.worker_settings import WorkerSettings

DONE: Final = b"+"
"""It is ready; its clock was moved and what fell due is done."""
ADVANCE: Final = b"a"
"""Its clock, by so many ms."""
PAY_OUT: Final = b"p"
"""From a merchant account: so many bytes of JSON follow, [app id, minor units, currency]."""
NUMBER_BYTES: Final = 8
"""After a word, big end first."""
GONE: Final = b"x"
"""At once. The end of the channel stands for SIGTERM."""
SLOTS: Final = 1_024
PATIENCE_S: Final = 30.0
"""For workers: the machine may be full of other cases."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What one daemon is."""

    case: dict[str, Any]
    """Its `settings`, `keyring`, `names`, `lost`."""
    state: str
    artifacts: str
    clock_us: int | None = None
    """A clock that stands there until it is moved, and a host that wakes nobody by itself; None: the system's."""
    scene: int = 0
    """How many daemons this case had before on the same state: no id comes twice."""


def serve(order: Order, channel: socket.socket) -> None:
    """Returns when it was told to stop, and has. Raises StartupError, ConfigRefused."""
    write_to(sys.stderr, level="warning", as_json=True)
    os.umask(0o077)
    trio.run(_serve, order, channel)


async def _serve(order: Order, channel: socket.socket) -> None:
    clock, words = None, dict[str, Any]()
    if order.clock_us is not None:
        clock, rehearsal = VirtualClock(order.clock_us), Rehearsal()
        rehearsal.begin(order.scene)
        words = {"clock": clock, "rehearsal": rehearsal}
    outside: Outside | None = world.outside(order.case)
    opened = partial(_open_host, keyring_of=order.case, outside=outside, **words)
    config = _config(order)
    async with trio.open_nursery() as nursery:

        async def until_stopped(task_status: trio.TaskStatus[Host]) -> None:
            await run(config, (control_door,), read_again=lambda: config, open_host=opened, task_status=task_status)
            nursery.cancel_scope.cancel()

        host: Host = await nursery.start(until_stopped)
        channel.send(DONE)
        await _hear(channel, host, clock)


def _open_host(state: Path, *, keyring: object, keyring_of: dict[str, Any], **words: Any) -> Any:
    """The case's keys in the place of a file's."""
    return Host.open(state, keyring=world.keyring(keyring_of), **words)


def _config(order: Order) -> Config:
    read = world.config(order.case, Path(order.artifacts))
    workers = read.host.workers or WorkerSettings()
    if "workers" not in order.case["settings"]:
        workers = WorkerSettings(count=1, slots=SLOTS, start_s=2 * PATIENCE_S, heartbeat_s=PATIENCE_S)
    return replace(
        read, host=replace(read.host, workers=workers),
        service=replace(read.service, state=Path(order.state), http=False),
    )  # fmt: skip


async def _hear(channel: socket.socket, host: Host, clock: VirtualClock | None) -> None:
    """For ever: what the target wants of this process."""
    channel.setblocking(False)
    told = trio.socket.from_stdlib_socket(channel)
    while word := await told.recv(1):
        if word == GONE:
            os.kill(os.getpid(), signal.SIGKILL)
        number = int.from_bytes(await told.recv(NUMBER_BYTES), "big")
        if word == PAY_OUT:
            await pay_out(host, *msgspec.json.decode(await told.recv(number), type=tuple[str, int, str]))
        elif clock is not None:
            clock.advance(ms=number)
            await host.settle()
        await told.send(DONE)
    os.kill(os.getpid(), signal.SIGTERM)
    await trio.sleep_forever()
