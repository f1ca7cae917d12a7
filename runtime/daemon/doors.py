"""The doors of the daemon: the control socket and HTTP, opened on one host.

What lives here: what of the configuration each gets. How they speak is control/'s and http/'s.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import trio

from runtime.daemon import control, http
from runtime.daemon.config import Config
from runtime.daemon.life import Life
from runtime.host import Host


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A door that takes requests."""

    where: Sequence[str]
    drain: Callable[[float], Awaitable[None]]
    """Takes nothing new, and waits so many seconds at most for what is under way."""


Status: TypeAlias = trio.TaskStatus[Opened]
Door: TypeAlias = Callable[..., Awaitable[None]]
"""`door(host, config, life, task_status=)`: open until it is cancelled."""


async def control_door(host: Host, config: Config, life: Life, *, task_status: Status) -> None:
    """The control protocol, docs/protocol.md §15."""
    async with trio.open_nursery() as nursery:
        server = await nursery.start(partial(control.serve, host, config.control, steered=life))
        task_status.started(Opened(where=server.where, drain=server.drain))


async def http_door(host: Host, config: Config, life: Life, *, task_status: Status) -> None:
    """The gateway for front ends, docs/protocol.md §16."""

    def metrics() -> bytes:
        return b"" if host.metrics is None else host.metrics.text()

    async def nothing(seconds: float) -> None:
        """Requests that are being answered have their own time when the door is closed."""
        await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        urls = await nursery.start(partial(http.serve, host, config.http, metrics=metrics, ready=lambda: host.ready))
        task_status.started(Opened(where=urls, drain=nothing))
