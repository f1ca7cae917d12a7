"""TLS without I/O: what came in to plain bytes, plain bytes to what goes out. For connections over TCP.

What lives here: the settings of both sides, and one connection's state. Through memory, so that a connection needs no
task of its own for either direction. TLS 1.3 only: both ends are of this project's making, or new.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Final

from runtime.errors import StartupError

_READ_BYTES: Final = 64 << 10


class TlsFailed(Exception):
    """The other side speaks no TLS, is not whom it was taken for, or has closed."""


def server_tls(certificate: Path, key: Path) -> ssl.SSLContext:
    """TLS with that certificate. Raises StartupError."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.minimum_version = ssl.TLSVersion.TLSv1_3
    tls.num_tickets = 0  # sessions are not taken up again: nothing is kept of a client that has gone
    load_chain(tls, certificate, key, "tls_certificate and tls_key")
    return tls


def load_chain(tls: ssl.SSLContext, certificate: Path, key: Path, names: str) -> None:
    """That certificate for a server's settings; `names`: of the two in the configuration. Raises StartupError."""
    for file in (certificate, key):
        try:
            file.open("rb").close()
        except OSError as error:
            raise StartupError(
                f"{names}: cannot read {file}: {error.strerror}; check the path and its permissions",
                code="tls_unusable",
            ) from None
    try:
        tls.load_cert_chain(certificate, key)
    except OSError as error:
        raise StartupError(
            f"{names}: {certificate} and {key} are no certificate and its key as PEM files: {error}",
            code="tls_unusable",
        ) from error


def client_tls(authorities: Path | None = None) -> ssl.SSLContext:
    """TLS that trusts the authorities in that PEM file; None: those of this machine. Raises OSError."""
    tls = ssl.create_default_context(cafile=authorities)
    tls.minimum_version = ssl.TLSVersion.TLSv1_3
    return tls


class PlainChannel:
    """Nothing in between: a Unix socket."""

    __slots__ = ()

    def open(self, data: bytes) -> bytes:
        return data

    def seal(self, data: bytes) -> bytes:
        return data


class TlsChannel:
    """One side of one connection: the client's of `server_name`, or the server's."""

    __slots__ = ("_incoming", "_outgoing", "_tls", "ready")

    def __init__(self, tls: ssl.SSLContext, server_name: str | None = None) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = tls.wrap_bio(
            self._incoming, self._outgoing, server_side=server_name is None, server_hostname=server_name
        )
        self.ready = False
        """The handshake is over: plain bytes may be sealed."""

    def open(self, data: bytes) -> bytes:
        """The plain bytes in it, as far as it is whole. `seal(b"")` may have something to send afterwards.

        Raises TlsFailed, also where the other side has closed.
        """
        self._incoming.write(data)
        plain: list[bytes] = []
        try:
            if not self.ready:
                self._tls.do_handshake()
                self.ready = True
            while part := self._tls.read(_READ_BYTES):
                plain.append(part)
        except ssl.SSLWantReadError:
            return b"".join(plain)
        except OSError as error:
            raise TlsFailed(str(error)) from None
        raise TlsFailed("closed")

    def seal(self, data: bytes) -> bytes:
        """What is to be sent for these bytes, and for the handshake. Not to be given any before `ready`."""
        if data:
            self._tls.write(data)
        return self._outgoing.read()


Channel = PlainChannel | TlsChannel
