"""The message codec of the JavaScript engine: against every SDK's vectors, and any value against the host's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtime import GuestFailed
from tests.samples.javascript_site import scripted
from tests.samples.vectors import INVALID, VALID, faults, written

ECHO = """
import { Fail, decode, encode } from "hostel";
export default {
  "codec.echo"({ bytes }) {
    try { return { bytes: encode(decode(bytes)) }; } catch (error) { throw new Fail("invalid", String(error)); }
  },
  echo: (params) => params,
  kinds: ({ v }) => v.map((one) => typeof one),
};
"""

scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=40), st.binary(max_size=40),
)  # fmt: skip
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=12), inner, max_size=5),
    max_leaves=25,
)  # fmt: skip


async def test_the_codec_reads_and_writes_and_refuses_what_the_hosts_does(cache: Path) -> None:
    said: dict[bytes, bytes | None] = {}
    async with scripted(cache, ECHO) as site:
        for vector in (*VALID, *INVALID):
            data = written(vector["bytes"])
            try:
                said[data] = (await site.call("codec.echo", {"bytes": data}))["bytes"]
            except GuestFailed as error:
                assert error.details["error"]["code"] == "invalid"
                said[data] = None
    assert faults(said.__getitem__, one_kind_of_number=True) == []


def same(one: Any, other: Any) -> bool:
    """Equal, and of the same kind, but for the one kind of number that JavaScript has."""
    if isinstance(one, dict):
        return isinstance(other, dict) and one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, list):
        return isinstance(other, list) and len(one) == len(other) and all(map(same, one, other))
    numbers = (int, float)
    if isinstance(one, numbers) and not isinstance(one, bool):
        return isinstance(other, numbers) and not isinstance(other, bool) and one == other
    return type(one) is type(other) and bool(one == other)


async def test_any_value_comes_back_as_it_was(cache: Path) -> None:
    async with scripted(cache, ECHO) as site:
        examples: list[Any] = []

        @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), database=None)
        @given(value=values)
        def collect(value: Any) -> None:
            examples.append(value)

        collect()
        for value in examples:
            assert same({"v": value}, await site.call("echo", {"v": value}))


async def test_whole_numbers_that_are_not_safe_come_as_bigint(cache: Path) -> None:
    safe, beyond = 2**53 - 1, 2**53
    async with scripted(cache, ECHO) as site:
        given = [safe, -safe, 2.5, beyond, -beyond, 2**64 - 1, -(2**63)]
        assert await site.call("kinds", {"v": given}) == ["number"] * 3 + ["bigint"] * 4


async def test_a_key_is_never_more_than_a_key(cache: Path) -> None:
    """No parameter reaches a prototype."""
    async with scripted(cache, ECHO) as site:
        told = {"__proto__": {"polluted": True}, "constructor": 1, "0": "zero", "a": 1}
        assert await site.call("echo", told) == told
