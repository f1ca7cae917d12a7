"""The sockets that clients connect to: made, guarded, accepted from.

What lives here: files and addresses. Who is let in is the server's.
"""

from __future__ import annotations

import errno
import grp
import os
import secrets
import socket
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import trio

from runtime.control.sockets import PATH_BYTES_MAX
from runtime.daemon.control.settings import ControlSettings, address
from runtime.errors import StartupError
from runtime.log import logger

_log = logger("control")
BACKLOG: Final = 512
ACCEPTED_AT_ONCE: Final = 64
ASIDE_BYTES: Final = 9
"""The socket's file is made under a name that is so much longer."""
_FULL: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_PAUSE_S: Final = 0.1


@contextmanager
def unix_listener(path: Path, settings: ControlSettings) -> Iterator[socket.socket]:
    """A socket at `path`, with mode and group before anybody can find it; removed when the block is left.

    Raises StartupError: another daemon answers there, or the file cannot be made.
    """
    aside = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    check_place(path, settings)
    _make_room(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.setblocking(False)
    try:
        listener.bind(str(aside))
        aside.chmod(settings.socket_mode)
        if settings.socket_group:
            os.chown(aside, -1, grp.getgrnam(settings.socket_group).gr_gid)
        listener.listen(BACKLOG)
        made = aside.stat().st_ino
        aside.rename(path)
    except OSError as error:
        listener.close()
        aside.unlink(missing_ok=True)
        why = error.strerror
        raise StartupError(f"the control socket {path} cannot be made: {why}", code="socket_unusable") from error
    try:
        yield listener
    finally:
        listener.close()
        with suppress(OSError):
            if path.stat().st_ino == made:
                path.unlink()


def check_place(path: Path, settings: ControlSettings) -> None:
    """What can be told of the socket before it is made. Raises StartupError."""
    most, used = PATH_BYTES_MAX - ASIDE_BYTES, len(os.fsencode(path))
    if used > most:
        raise StartupError(
            f"the control socket's path has {used} bytes and may have {most}: {path}; name a shorter state directory,"
            f" or another path with socket under [control] in hostel.toml, and give that to clients with --socket",
            code="socket_unusable",
        )
    try:
        if settings.socket_group:
            grp.getgrnam(settings.socket_group)
    except KeyError:
        raise StartupError(
            f"the control socket {path} cannot be made: there is no group {settings.socket_group}",
            code="socket_unusable",
        ) from None


def _make_room(path: Path) -> None:
    """A socket that a daemon left behind goes; one that is answered stays, and so does what is no socket."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise StartupError(f"{path} is no socket: move it away", code="socket_unusable")
    except OSError:
        return  # there is none; what else is wrong is found when it is made
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            path.unlink(missing_ok=True)
            return
        except OSError:
            pass
    raise StartupError(f"another daemon answers at {path}: stop it first", code="socket_in_use")


@contextmanager
def tcp_listener(text: str) -> Iterator[socket.socket]:
    """A socket at that `host:port`. Raises StartupError."""
    host, port = address(text)
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise StartupError(f"{text} cannot be listened on: {error}", code="socket_unusable") from error
    with listener:
        listener.setblocking(False)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(place)
            listener.listen(BACKLOG)
        except OSError as error:
            raise StartupError(f"{text} cannot be listened on: {error.strerror}", code="socket_unusable") from error
        yield listener


async def accept(listener: socket.socket, admit: Callable[[socket.socket], None]) -> None:
    """Gives `admit` every connection, not blocking, for ever. Where the system has no more descriptors it waits."""
    while True:
        await trio.lowlevel.wait_readable(listener)
        for _ in range(ACCEPTED_AT_ONCE):
            try:
                connection, _ = listener.accept()
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno in _FULL:
                    _log.warning("no connection can be accepted now", reason=error.strerror)
                    await trio.sleep(_PAUSE_S)
                    break
                continue  # the client went away before it was let in
            connection.setblocking(False)
            admit(connection)


def prepare_tcp(connection: socket.socket) -> None:
    """Small answers go at once; a client whose machine is gone is noticed."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
