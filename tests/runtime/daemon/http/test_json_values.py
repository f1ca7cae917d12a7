"""JSON to values of the wire and back: nothing lost, one reading, no text that takes long."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.daemon.http.json_values import incoming, outgoing
from runtime.daemon.http.refusal import Refused
from runtime.daemon.http.settings import HttpSettings

SETTINGS = HttpSettings()
CPU_S_MOST = 0.02


VALUES: Any = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=8) | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.sampled_from(["a", "b", "$bytes", "$$bytes", "$bytesx"]), inner, max_size=3),
    max_leaves=20,
)  # fmt: skip


@given(VALUES)
def test_values_come_back_as_they_were(value: Any) -> None:

    assert incoming(msgspec.json.encode({"v": outgoing(value)})) == {"v": value}


@pytest.mark.parametrize(
    "text",
    [
        b"[]", b"1", b"null", b"{", b'{"a":1,"a":2}', b'{"a":NaN}', b'{"a":Infinity}', b'{"a":1e999}', b'{"a":1}x',
        b'{"a":18446744073709551616}', b'{"a":-9223372036854775809}', b'{"a":"\\ud800"}', b"\xff", b"\xef\xbb\xbf{}",
        b'{"a":{"$bytes":1}}', b'{"a":{"$bytes":"YQ"}}', b'{"a":{"$bytes":"YR=="}}', b'{"a":{"$bytes":"Y Q=="}}',
        b'{"' + b"k" * 257 + b'":1}', b'{"a":' + b"9" * 5_000 + b"}", b'{"a":' + b"[" * 15 + b"]" * 15 + b"}",
        b'{"a":[' + b"0," * 4_095 + b"0]}",
    ],
)  # fmt: skip
def test_what_is_refused_as_json(text: bytes) -> None:
    with pytest.raises(Refused) as caught:
        incoming(text)
    assert (caught.value.status, caught.value.code) == (400, "body_malformed")


def test_limits_of_json_to_the_last_one() -> None:
    assert incoming(b"") == {}
    assert incoming(b'{"' + b"k" * 256 + b'":1}')
    assert incoming(b'{"a":' + b"[" * 14 + b"]" * 14 + b"}")
    assert incoming(b'{"a":[' + b"0," * 4_080 + b"0]}")


@pytest.mark.parametrize("unit", [b'\\"', b"[", b"{}", b'"', b'"",', b"0,", b"\\", b'{"a":', b"1"])
def test_no_json_takes_long_to_refuse(unit: bytes) -> None:
    for before in (b"", b'{"a":"', b'{"a":['):
        text = before + unit * (SETTINGS.body_bytes // len(unit))
        began = time.thread_time()
        with pytest.raises(Refused):
            incoming(text)
        assert time.thread_time() - began < 5 * CPU_S_MOST
