"""What an operator decides about the HTTP door. Values only, checked when they are made; every limit has a default."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from runtime.bounds import check
from runtime.daemon import bounds
from runtime.errors import StartupError, UsageError
from runtime.limits import KIB, MIB

TLS_NAMES: Final = "[http] certificate and key"
ORIGINS_MAX: Final = 64
_ORIGIN: Final = re.compile(r"https?://[a-z0-9.-]{1,253}(:[0-9]{1,5})?")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_BOUNDS: Final = {
    "port": (0, 65_535), "head_bytes": (1 * KIB, 8 * KIB), "head_fields": (8, 128), "body_bytes": (1 * KIB, 4 * MIB),
    "held_bytes": (4 * MIB, 4096 * MIB), "connections": bounds.CONNECTIONS,
    "connections_per_address": bounds.CONNECTIONS, "requests": (1, 10_000), "handshake_s": bounds.FIRST_S,
    "idle_s": bounds.IDLE_S, "head_s": bounds.FIRST_S, "body_s": bounds.WHOLE_S, "write_s": bounds.WRITE_S,
    "drain_s": (0, 600),
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpSettings:
    """Where the door is, who may come in, and how much of everything. Sizes in bytes, times in seconds."""

    address: str = "127.0.0.1"
    """The address to listen on: an IP address, no name."""
    port: int = 8080
    """0: any that is free."""
    certificate: Path | None = None
    """PEM file with the certificate's chain; with `key`, the door speaks TLS and nothing else."""
    key: Path | None = None
    """PEM file with the certificate's key."""
    behind_proxy: bool = False
    """A proxy of the operator's stands in front: an address that is no loopback needs no TLS then, and connections are
    not counted by address, for all come from one."""
    origins: tuple[str, ...] = ()
    """Web origins whose pages may read answers (CORS), such as https://shop.example; none by default."""
    metrics_token_sha256: str = ""
    """SHA-256, in hex, of the bearer token that /metrics asks for. '': it is open on a loopback address without a
    proxy, and not there on any other."""
    head_bytes: int = 8 * KIB
    """Request line and headers. Not more than 8 KiB, in which the slowest reading is still fast."""
    head_fields: int = 64
    """Headers of one request."""
    body_bytes: int = 512 * KIB
    """Of one request."""
    held_bytes: int = 64 * MIB
    """Of requests that are being received, all connections together."""
    connections: int = 512
    """At once. One more takes the place of the one that has kept the host waiting longest."""
    connections_per_address: int = 128
    """The same, for one IPv4 address or one IPv6 /64."""
    requests: int = 256
    """Being answered at once; one more is answered `overloaded`."""
    handshake_s: float = 5.0
    """For the TLS handshake."""
    idle_s: float = 60.0
    """A connection without a request."""
    head_s: float = 10.0
    """From a head's first byte to its last."""
    body_s: float = 30.0
    """From the head's last byte to the body's."""
    write_s: float = 30.0
    """For a client to take each part of an answer."""
    drain_s: float = 5.0
    """How long stopping waits for requests that are being answered."""

    def __post_init__(self) -> None:
        check(self, _BOUNDS)
        try:
            ip_address(self.address)
        except ValueError:
            raise UsageError(f"address = {ascii(self.address)[:80]}: write an IP address, such as 127.0.0.1") from None
        if len(self.origins) > ORIGINS_MAX:
            raise UsageError(f"origins: {len(self.origins)} are over {ORIGINS_MAX}")
        for origin in self.origins:
            if not _ORIGIN.fullmatch(origin):
                raise UsageError(f"origins: {ascii(origin)[:80]} is no origin; write one such as https://shop.example")
        if self.metrics_token_sha256 and not _SHA256.fullmatch(self.metrics_token_sha256):
            raise UsageError("metrics_token_sha256: 64 lower-case hex digits are needed: the SHA-256 of the token")

    @property
    def is_local(self) -> bool:
        """Only this machine can reach it, and nobody stands in between."""
        return ip_address(self.address).is_loopback and not self.behind_proxy

    def check_safe(self) -> None:
        """What is wrong only where several keys meet. Raises StartupError."""
        if (self.certificate is None) is not (self.key is None):
            raise StartupError("certificate and key belong together: set both, or neither")
        if self.certificate is None and not self.behind_proxy and not ip_address(self.address).is_loopback:
            raise StartupError(
                f"HTTP on {self.address} without TLS: tokens would travel in the open. Set certificate and key, or"
                " behind_proxy = true if a proxy in front does TLS, or listen on 127.0.0.1"
            )
