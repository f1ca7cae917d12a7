"""The daemon's life: open the host, open its doors, say ready, wait for a signal, drain, close.

What lives here: the order. Which doors there are is doors.py's, what a daemon can be told life.py's. Whatever cannot
be promised is a StartupError before `ready` is said.
"""

from __future__ import annotations

import gc
import os
import resource
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Final, TypeAlias

import trio

from runtime.bundle import Keyring
from runtime.daemon.config import Config
from runtime.daemon.doors import Door, Opened
from runtime.daemon.figures import figures
from runtime.daemon.life import Life
from runtime.daemon.systemd import Supervisor
from runtime.daemon.wakefulness import keep_awake
from runtime.errors import StartupError
from runtime.host import Host
from runtime.log import logger

_log = logger("daemon")

GARBAGE: Final = 20_000
"""Objects made and not freed before the collector looks at them: hundreds of calls in flight hold so many."""
OpenHost: TypeAlias = Callable[..., AbstractAsyncContextManager[Host]]
SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


async def run(
    config: Config,
    doors: Sequence[Door],
    *,
    read_again: Callable[[], Config],
    open_host: OpenHost = Host.open,
    task_status: trio.TaskStatus[Host] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until SIGTERM or SIGINT, then drain; a second one ends what is left at once.

    `read_again` is asked for the configuration when SIGHUP comes. `open_host`: `Host.open`, or one that brings a world
    of its own along. `task_status` is given the host once all doors are open. Raises StartupError and UsageError:
    nothing was served.
    """
    _check_platform()
    _raise_open_files()
    manager = Supervisor()
    with trio.open_signal_receiver(*SIGNALS) as signals:
        async with (
            open_host(config.service.state, keyring=_keyring(config), settings=config.host) as host,
            trio.open_nursery() as nursery,
        ):
            if host.metrics is not None:
                host.metrics.also(partial(figures, host))
            host.doors_open = False
            life = Life(host, config, nursery, read_again)
            nursery.start_soon(life.hear, signals, name="signals")
            opened = [await nursery.start(partial(door, host, config, life), name="door") for door in doors]
            if config.service.keep_awake_ms:
                await nursery.start(keep_awake, config.service.keep_awake_ms / 1e3, name="wakefulness")
            if manager.watchdog_s is not None:
                nursery.start_soon(_keep_alive, manager, manager.watchdog_s, name="watchdog")
            _settle()
            host.doors_open = True
            _tell_ready(host, manager, [where for door in opened for where in door.where])
            task_status.started(host)
            await life.stopping.wait()
            manager.stopping("calls in flight have their time to end")
            await _drain(host, opened, config.host.drain_s, life)
            nursery.cancel_scope.cancel()
    _log.info("stopped")


async def _drain(host: Host, doors: Sequence[Opened], seconds: float, life: Life) -> None:
    """No new calls; those in flight have so long. The doors stay open meanwhile, for their answers."""
    waiting = host.statistics().calls_in_flight
    with life.at_once:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(host.drain, seconds)
            for door in doors:
                nursery.start_soon(door.drain, seconds)
    _log.info("drained", calls_in_flight_before=waiting, calls_in_flight=host.statistics().calls_in_flight)


async def _keep_alive(manager: Supervisor, every_s: float) -> None:
    """From the loop itself: where it does not turn any more, nothing is sent, and the process is killed."""
    while True:
        manager.alive()
        await trio.sleep(every_s)


def _tell_ready(host: Host, manager: Supervisor, listening: Sequence[str]) -> None:
    told = host.statistics()
    _log.info(
        "ready", listening=list(listening), process=os.getpid(), ticker=told.ticker, sandbox_level=told.sandbox_level
    )
    manager.ready(f"listening on {', '.join(listening)}")


def _keyring(config: Config) -> Keyring:
    return Keyring() if config.service.keyring is None else Keyring.load(config.service.keyring)


def _check_platform() -> None:
    if sys.platform == "darwin":
        _log.warning("macOS has no jail for workers: programs of people you do not trust do not belong here")
    elif sys.platform != "linux":
        raise StartupError(f"hostel serve runs on Linux, and on macOS to try it out; this is {sys.platform}")


def _raise_open_files() -> None:
    """Connections are bounded by settings, not by what a shell happens to allow."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _settle() -> None:
    """What start-up made lives until the end: the collector need not look at it again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE)
