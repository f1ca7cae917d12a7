"""Keeps the machine's processors awake while there is something to do, where the operator wants that.

Why: a processor with nothing to do sleeps, and is slow to wake up: in a virtual machine it is given back to the host,
for tens of microseconds each time. A call alone goes through six such waits. The kernel lets a process say how late a
processor may be (PM QoS, Documentation/power/pm_qos_interface.rst): 0 means that it looks for work all the time, which
takes electricity, or credits of a rented machine, but no time from any process.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from struct import pack
from typing import Final

import trio

from runtime.errors import StartupError
from runtime.log import logger
from runtime.reactor import Reactor

DEVICE: Final = Path("/dev/cpu_dma_latency")
AT_ONCE: Final = pack("=i", 0)
ANY_TIME: Final = pack("=i", 2_000_000_000)
"""The kernel's own default, in µs."""

_log = logger("daemon")


def check_device() -> None:
    """Raises StartupError: this process may not say how late processors may be."""
    with _opened(DEVICE):
        pass


async def keep_awake(after_s: float, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
    """From each piece of news (reactor.py) until there was none for `after_s`, and a millisecond. Never returns; what
    was asked of the kernel ends with it. Raises StartupError."""
    with _opened(DEVICE) as descriptor, Reactor.used() as reactor:
        if not reactor.is_direct:
            _log.warning("processors are not kept awake: this trio does not tell when there is news")
        task_status.started()
        while True:
            await reactor.woken()
            _ask(descriptor, AT_ONCE)
            wakings = -1
            while reactor.is_awake or reactor.wakings != wakings:
                wakings = reactor.wakings
                await trio.sleep(after_s)
            _ask(descriptor, ANY_TIME)


def _ask(descriptor: int, latency: bytes) -> None:
    """Not worth a call: a kernel that refuses leaves its processors as they were."""
    with suppress(OSError):
        os.write(descriptor, latency)


@contextmanager
def _opened(device: Path) -> Iterator[int]:
    """The kernel forgets what was asked when it is closed."""
    try:
        descriptor = os.open(device, os.O_WRONLY | os.O_CLOEXEC)
    except OSError as error:
        raise StartupError(
            f"processors cannot be kept awake: {device}: {error.strerror}; let this user write to it (a udev rule), or"
            " set keep_awake_ms = 0",
            details={"path": str(device)},
        ) from None
    try:
        yield descriptor
    finally:
        os.close(descriptor)
