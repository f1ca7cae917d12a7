"""The server: listens, lets connections in, has anycorn speak HTTP on each, and stops in order.

What lives here: sockets, TLS, tasks. Whole requests are read in connection.py; what they ask for is app.py's.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable
from typing import Any, cast

import anyio.abc
import trio
from anycorn.app_wrappers import ASGIWrapper
from anycorn.config import Config
from anycorn.tcp_server import TCPServer
from anycorn.typing import ASGIFramework, LifespanState
from anycorn.worker_context import WorkerContext

from runtime.control.tls import load_chain
from runtime.daemon.addresses import counted_as
from runtime.daemon.http.app import build_app
from runtime.daemon.http.connection import Connection
from runtime.daemon.http.crowd import Crowd, Visitor
from runtime.daemon.http.settings import TLS_NAMES, HttpSettings
from runtime.daemon.http.transport import Transport
from runtime.errors import StartupError
from runtime.host import Host
from runtime.log import logger
from runtime.reactor import Reactor

_log = logger("http")
_NEVER_S = 10 * 365 * 86_400


async def serve(
    host: Host,
    settings: HttpSettings,
    *,
    metrics: Callable[[], bytes],
    ready: Callable[[], bool],
    task_status: trio.TaskStatus[list[str]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until cancelled. `task_status` is given the URLs once connections are taken.

    `metrics` gives what /metrics answers, in the text format of Prometheus; `ready` whether new work should come here.
    Cancelled, no connection is taken any more, those that wait for their clients are closed, and requests that are
    being answered have `drain_s` before they are cut; the host is the caller's to close, afterwards.
    Raises StartupError: settings that do not go together, an address or a certificate that cannot be used.
    """
    settings.check_safe()
    tls = _tls(settings)
    listeners = await _listen(settings)
    door = _Door(build_app(host, settings, metrics=metrics, ready=ready), settings, tls)
    with Reactor.used():
        await _serve(door, listeners, task_status, [_url(listener, tls) for listener in listeners])


async def _serve(
    door: _Door, listeners: list[trio.SocketListener], task_status: trio.TaskStatus[list[str]], urls: list[str]
) -> None:
    async with trio.open_nursery() as nursery:
        connections: trio.Nursery = await nursery.start(door.hold_connections)
        try:
            task_status.started(urls)
            await trio.serve_listeners(door.take, listeners, handler_nursery=connections)
        finally:
            await door.stop()


class _Door:
    """The connections of one server, and what they share."""

    def __init__(self, app: Any, settings: HttpSettings, tls: ssl.SSLContext | None) -> None:
        self._app = ASGIWrapper(cast(ASGIFramework, app))
        self._settings = settings
        self._tls = tls
        self._crowd = Crowd(settings)
        self._context = WorkerContext(None)
        self._config = _config()
        self._stopping = trio.Event()

    async def hold_connections(self, *, task_status: trio.TaskStatus[trio.Nursery]) -> None:
        """Their nursery: shielded, until the server stops, and then for `drain_s`."""
        with trio.CancelScope(shield=True) as scope:
            async with trio.open_nursery() as nursery:
                task_status.started(nursery)
                await self._stopping.wait()
                scope.deadline = trio.current_time() + self._settings.drain_s

    async def stop(self) -> None:
        with trio.CancelScope(shield=True):
            await self._context.terminated.set()
        self._crowd.send_all_away()
        self._stopping.set()

    async def take(self, stream: trio.SocketStream) -> None:
        """One connection. What goes wrong with it is its own end, and nobody else's."""
        visitor = None if self._stopping.is_set() else self._crowd.enter(counted_as(_peer(stream)))
        if visitor is None:
            await trio.aclose_forcefully(stream)
            return
        try:
            await self._talk(stream, visitor)
        except Exception:
            _log.exception("a connection ended in a fault")
        finally:
            self._crowd.leave(visitor)
            with trio.CancelScope(shield=True):
                await trio.aclose_forcefully(stream)

    async def _talk(self, stream: trio.SocketStream, visitor: Visitor) -> None:
        secured = stream if self._tls is None else await self._secured(stream, visitor, self._tls)
        if secured is None:
            return
        connection = Connection(secured, stream, settings=self._settings, crowd=self._crowd, visitor=visitor)
        try:
            if await connection.has_request():
                state = cast(LifespanState, {"connection": connection})
                server = TCPServer(
                    self._app, self._config, self._context, state, cast(anyio.abc.SocketStream, connection)
                )
                with connection.served:
                    await server.run()
        finally:
            await connection.aclose()

    async def _secured(
        self, stream: trio.SocketStream, visitor: Visitor, tls: ssl.SSLContext
    ) -> trio.SSLStream[Transport] | None:
        secured = trio.SSLStream(Transport(stream), tls, server_side=True, https_compatible=True)
        visitor.scope = trio.CancelScope()
        try:
            with visitor.scope, trio.move_on_after(self._settings.handshake_s):
                await secured.do_handshake()
                return secured
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        finally:
            visitor.scope = None
        return None


def _config() -> Config:
    """What anycorn is told. Limits and times are connection.py's: its own must not come first."""
    config = Config()
    config.errorlog = logging.getLogger("hostel.http.server")
    config.accesslog = None
    config.include_server_header = False
    config.keep_alive_timeout = _NEVER_S
    config.keep_alive_max_requests = 1 << 30
    return config


def _tls(settings: HttpSettings) -> ssl.SSLContext | None:
    if settings.certificate is None or settings.key is None:
        return None
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.minimum_version = ssl.TLSVersion.TLSv1_2
    tls.set_alpn_protocols(["http/1.1"])
    load_chain(tls, settings.certificate, settings.key, TLS_NAMES)
    return tls


async def _listen(settings: HttpSettings) -> list[trio.SocketListener]:
    try:
        return await trio.open_tcp_listeners(settings.port, host=settings.address)
    except OSError as error:
        raise StartupError(
            f"HTTP cannot listen on {settings.address} port {settings.port}: {error.strerror or error};"
            " [http] address and port in hostel.toml say where it listens, port = 0 takes any that is free"
        ) from None


def _peer(stream: trio.SocketStream) -> str:
    try:
        return str(stream.socket.getpeername()[0])
    except OSError:  # gone already
        return "0.0.0.0"


def _url(listener: trio.SocketListener, tls: ssl.SSLContext | None) -> str:
    address, port = listener.socket.getsockname()[:2]
    shown = f"[{address}]" if ":" in address else address
    return f"http{'' if tls is None else 's'}://{shown}:{port}"
