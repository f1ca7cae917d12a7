"""An HTTPS server on loopback that answers every request with the same few bytes, one connection each."""

from __future__ import annotations

import ssl
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

NAME = "shop.example"
_ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"
_DAY = timedelta(days=1)


class Loopback:
    """The server. Made by `begin`; ends with the nursery."""

    def __init__(self, port: int, client_tls: ssl.SSLContext) -> None:
        self.port = port
        self.client_tls = client_tls
        """Trusts this server and nobody else."""

    @classmethod
    async def begin(cls, nursery: trio.Nursery) -> Loopback:
        server_tls, client_tls = _contexts()
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")

        async def serve(stream: trio.SocketStream) -> None:
            async with trio.SSLStream(stream, server_tls, server_side=True) as secured:
                received = b""
                while b"\r\n\r\n" not in received:
                    received += await secured.receive_some(1 << 16)
                await secured.send_all(_ANSWER)

        nursery.start_soon(trio.serve_listeners, serve, [listener])
        return cls(listener.socket.getsockname()[1], client_tls)

    async def resolve(self, host: str, *, app_id: str) -> Sequence[str]:
        """Every name leads here."""
        await trio.lowlevel.checkpoint()
        return ["127.0.0.1"]


def _contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The server's and the client's, around a certificate that signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, NAME)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now - _DAY, now + _DAY)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        chain = Path(folder) / "server.pem"
        chain.write_bytes(secret + pem)
        server.load_cert_chain(chain)
    client = ssl.create_default_context(cadata=pem.decode())
    return server, client
