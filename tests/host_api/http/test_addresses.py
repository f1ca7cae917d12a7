"""What is public: every range that is not, at its edges, and nothing that carries one inside."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from host_api.http.addresses import is_public

NOT_PUBLIC = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.100.100.200", "100.127.255.255", "127.0.0.1",
    "127.255.255.255", "168.63.129.16", "169.254.0.1", "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.1",
    "192.0.0.192", "192.0.2.1", "192.31.196.1", "192.52.193.1", "192.88.99.1", "192.168.0.1", "192.168.255.255",
    "192.175.48.1", "198.18.0.1", "198.19.255.255", "198.51.100.7", "203.0.113.7", "224.0.0.1", "239.255.255.255",
    "240.0.0.1", "255.255.255.255",
    "::", "::1", "::10.0.0.1", "::8.8.8.8", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::ffff:0:8.8.8.8", "64:ff9b::7f00:1",
    "64:ff9b::808:808", "64:ff9b:1::1", "100::1", "2001::1", "2001:0:4136:e378::1", "2001:2::1", "2001:10::1",
    "2001:20::1", "2001:db8::1", "2001:1ff:ffff::1", "2002:7f00:1::", "2002:808:808::", "2620:4f:8000::1", "3fff::1",
    "3fff:fff:ffff::1", "4000::1", "5f00::1", "fc00::1", "fd00::1", "fd00:ec2::254", "fdff:ffff::1", "fe80::1",
    "fe80::1%eth0", "2606:4700::1111%1", "febf::1", "fec0::1", "ff02::1", "ff0e::1", "1fff:ffff::1",
]  # fmt: skip
PUBLIC = [
    "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.1", "100.63.255.255", "100.128.0.1", "126.255.255.255", "128.0.0.1",
    "168.63.129.15", "168.63.129.17", "169.253.255.255", "169.255.0.1", "172.15.255.255", "172.32.0.1", "192.0.1.1",
    "192.167.255.255", "192.169.0.1", "198.17.255.255", "198.20.0.1", "223.255.255.255",
    "2000::1", "2001:200::1", "2001:4860:4860::8888", "2003::1", "2606:4700:4700::1111", "3ffe::1", "3fff:1000::1",
]  # fmt: skip


@pytest.mark.parametrize("text", NOT_PUBLIC)
def test_not_public(text: str) -> None:
    assert not is_public(ip_address(text))


@pytest.mark.parametrize("text", PUBLIC)
def test_public(text: str) -> None:
    assert is_public(ip_address(text))


@given(st.integers(0, 2**32 - 1).map(IPv4Address))
def test_what_the_standard_library_knows_as_not_global_is_not_public(address: IPv4Address) -> None:
    known = address.is_global and not address.is_multicast
    assert known or not is_public(address)


@given(st.integers(0, 2**128 - 1).map(IPv6Address) | st.integers(0, 2**126).map(lambda n: IPv6Address(n + (1 << 125))))
def test_the_same_of_version_6(address: IPv6Address) -> None:
    known = address.is_global and not address.is_multicast
    assert known or not is_public(address)


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(["::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96"]).map(ip_network),
)
def test_no_form_that_ends_with_an_ipv4_address_is_public(low: int, network: object) -> None:
    assert isinstance(network, type(ip_network("::/96")))
    assert not is_public(network[low])


@given(st.integers(0, 2**112 - 1))
def test_neither_6to4_nor_teredo_is_public(low: int) -> None:
    assert not is_public(IPv6Address((0x2002 << 112) + low))
    assert not is_public(IPv6Address((0x2001_0000 << 96) + low % 2**96))
