"""Whose a connection over TCP counts as, where there are too many of them."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address


def counted_as(address: str) -> str:
    """An IPv4 address, or the /64 of an IPv6 one, for nobody is given less."""
    parsed = ip_address(address.partition("%")[0])
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    mapped = parsed.ipv4_mapped
    return str(mapped) if mapped is not None else parsed.exploded[:19]
