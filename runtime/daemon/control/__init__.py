"""The daemon's control sockets: clients in, requests answered. docs/protocol.md §15.

`serve` is the one way in. Here sockets, connections and the host meet; what each of them does is in its own file.
"""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from runtime.control.method import Role
from runtime.control.sockets import default_socket
from runtime.control.tls import PlainChannel, TlsChannel, server_tls
from runtime.daemon.addresses import counted_as
from runtime.daemon.control.access import user_of
from runtime.daemon.control.answers import Answer
from runtime.daemon.control.listeners import accept, prepare_tcp, tcp_listener, unix_listener
from runtime.daemon.control.peer import Peer
from runtime.daemon.control.running import Begin
from runtime.daemon.control.server import ControlServer
from runtime.daemon.control.settings import ControlSettings, Token
from runtime.daemon.control.steering_answers import Steered, SteeringAnswers
from runtime.errors import AccessDenied, ControlError
from runtime.log import logger
from runtime.reactor import Reactor

if TYPE_CHECKING:
    from runtime.host import Host

__all__ = ["ControlServer", "ControlSettings", "Steered", "Token", "serve", "serve_answers", "serve_one"]
_log = logger("control")
_PLAIN = PlainChannel()


async def serve(
    host: Host, settings: ControlSettings, *, steered: Steered | None = None,
    task_status: trio.TaskStatus[ControlServer] = trio.TASK_STATUS_IGNORED,
) -> None:  # fmt: skip
    """The host's control sockets: as `serve_answers`. Where the settings name no socket it is hostel.sock in the state
    directory; a host in memory has none then. `steered`: whom operators reload, drain and stop; nobody by default."""
    if settings.socket is None and host.directory is not None:
        settings = replace(settings, socket=default_socket(host.directory))
    from runtime.daemon.control.host_answers import HostAnswers  # with it everything that runs programs

    answers = HostAnswers(host)
    steering = {} if steered is None else SteeringAnswers(steered).all()
    await serve_answers({**answers.all(), **steering}, settings, begin_call=answers.begin_call, task_status=task_status)


async def serve_answers(
    answers: Mapping[str, Answer],
    settings: ControlSettings,
    *,
    begin_call: Begin | None = None,
    task_status: trio.TaskStatus[ControlServer] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Listens until it is cancelled: on the Unix socket, and on TCP where the settings say so. Started with the server,
    for its `drain`; `begin_call` takes the place of a task for each `call`.

    Cancelled, it stops listening, ends what is under way and closes every connection. Raises StartupError.
    """
    with ExitStack() as stack:
        unix = tcp = tls = None
        if settings.socket is not None:
            unix = stack.enter_context(unix_listener(Path(settings.socket), settings))
        if settings.listen and settings.tls_certificate is not None and settings.tls_key is not None:
            tls = server_tls(settings.tls_certificate, settings.tls_key)
            tcp = stack.enter_context(tcp_listener(settings.listen))
        async with trio.open_nursery() as nursery:
            server = ControlServer(settings=settings, nursery=nursery, answers=answers, begin_call=begin_call)
            nursery.start_soon(server.sweep, name="control sweep")
            stack.enter_context(_turns(server))
            if unix is not None:
                server.where.append(f"unix:{settings.socket}")
                nursery.start_soon(accept, unix, lambda connection: _admit_local(server, connection))
            if tcp is not None and tls is not None:
                server.where.append("tcp:{}:{}".format(*tcp.getsockname()[:2]))
                nursery.start_soon(accept, tcp, lambda connection: _admit_remote(server, connection, tls))
            task_status.started(server)


async def serve_one(answers: Mapping[str, Answer], connection: socket.socket) -> None:
    """Serves the other end of a socket pair as an operator, until it closes: a state that no daemon runs on.
    The audit says of what is done so: `uid 1000 offline`."""
    connection.setblocking(False)
    async with trio.open_nursery() as nursery:
        server = ControlServer(settings=ControlSettings(), nursery=nursery, answers=answers)
        with _turns(server):
            await server.admit(Peer(server, connection, _PLAIN, Role.OPERATOR, f"uid {os.geteuid()} offline")).run()
        nursery.cancel_scope.cancel()


@contextmanager
def _turns(server: ControlServer) -> Iterator[None]:
    with Reactor.used() as reactor:
        reactor.at_turns_end(server.end_turn)
        try:
            yield
        finally:
            reactor.not_at_turns_end(server.end_turn)


def _admit_local(server: ControlServer, connection: socket.socket) -> None:
    uid = user_of(connection)
    role = server.access.of_user(uid)
    peer = Peer(server, connection, _PLAIN, role, f"uid {uid}")
    if role is None:
        _refuse(peer, AccessDenied(f"user id {uid} is not among operators, callers and auditors of this daemon"))
    elif server.full(role):
        _refuse(peer, _full())
    else:
        server.nursery.start_soon(server.admit(peer).run, name="control connection")


def _admit_remote(server: ControlServer, connection: socket.socket, tls: ssl.SSLContext) -> None:
    try:
        prepare_tcp(connection)
        address, port = connection.getpeername()[:2]
        name = f"{address}:{port}"
    except OSError:
        connection.close()
        return
    if server.full(None):  # without a word: a word would cost a handshake
        _log.warning("a connection was refused: too many", client=name)
        connection.close()
        return
    peer = Peer(server, connection, TlsChannel(tls), None, name)
    server.nursery.start_soon(server.admit(peer, counted_as(address)).run, name="control connection")


def _refuse(peer: Peer, why: ControlError) -> None:
    _log.warning("a connection was refused", client=peer.name, reason=why.message)
    peer.close(why)


def _full() -> ControlError:
    return ControlError("too many connections", code="overloaded")
