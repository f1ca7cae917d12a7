"""The wire: any bytes give a value or MalformedMessage, and what that is agrees with a naive reference decoder."""

from __future__ import annotations

import datetime
import math
import struct
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from runtime import wire
from runtime.wire import DEPTH_MAX, ELEMENTS_MAX, HEAD_BYTES, KEY_BYTES_MAX, SCAN_BYTES, MalformedMessage, Unencodable

MOST = 1 << 18


# ---- a naive reference: the rules of docs/protocol.md §3, a line each, slow and plain --------------------------------
class Refused(Exception):
    pass


class Reference:
    """Decodes one value and counts; every rule is checked where it is met."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at, self.elements = data, 0, 0

    def take(self, size: int) -> bytes:
        taken = self.data[self.at : self.at + size]
        if len(taken) < size:
            raise Refused("truncated")
        self.at += size
        return taken

    def number(self, form: str) -> Any:
        return struct.unpack(">" + form, self.take(struct.calcsize(form)))[0]

    def value(self, depth: int = 0) -> Any:
        self.elements += 1
        if self.elements > ELEMENTS_MAX:
            raise Refused("elements")
        first = self.number("B")
        if first < 0x80:
            return first
        if first >= 0xE0:
            return first - 256
        if first < 0x90:
            return self.map(first & 15, depth + 1)
        if first < 0xA0:
            return self.array(first & 15, depth + 1)
        if first < 0xC0:
            return self.text(first & 31)
        simple = {0xC0: None, 0xC2: False, 0xC3: True}
        if first in simple:
            return simple[first]
        numbers = dict(zip([*range(0xCA, 0xD4)], "fdBHIQbhiq", strict=True))
        if first in numbers:
            got = self.number(numbers[first])
            if isinstance(got, float) and not math.isfinite(got):
                raise Refused("not finite")
            return got
        sized = {
            0xC4: "B",
            0xC5: "H",
            0xC6: "I",
            0xD9: "B",
            0xDA: "H",
            0xDB: "I",
            0xDC: "H",
            0xDD: "I",
            0xDE: "H",
            0xDF: "I",
        }
        if first not in sized:
            raise Refused("extension or unused")
        size = self.number(sized[first])
        if first <= 0xC6:
            return self.take(size)
        if first <= 0xDB:
            return self.text(size)
        return self.array(size, depth + 1) if first <= 0xDD else self.map(size, depth + 1)

    def text(self, size: int) -> str:
        try:
            return self.take(size).decode()
        except UnicodeDecodeError:
            raise Refused("UTF-8") from None

    def array(self, count: int, depth: int) -> list[Any]:
        if depth > DEPTH_MAX:
            raise Refused("depth")
        return [self.value(depth) for _ in range(count)]

    def map(self, count: int, depth: int) -> dict[str, Any]:
        if depth > DEPTH_MAX:
            raise Refused("depth")
        made: dict[str, Any] = {}
        for _ in range(count):
            key = self.value(depth)
            if type(key) is not str or len(key.encode()) > KEY_BYTES_MAX or key in made:
                raise Refused("key")
            made[key] = self.value(depth)
        return made


def refer(data: bytes) -> Any:
    if len(data) > MOST:
        raise Refused("size")
    reference = Reference(data)
    value = reference.value()
    if reference.at != len(data):
        raise Refused("trailing bytes")
    return value


def typed(value: Any) -> Any:
    """Comparable with types: True is not 1, 1 is not 1.0, -0.0 is not 0.0."""
    if isinstance(value, list):
        return [typed(item) for item in value]
    if isinstance(value, dict):
        return {key: typed(item) for key, item in value.items()}
    return (type(value), repr(value))


def agree(data: bytes) -> None:
    try:
        expected = refer(data)
    except Refused:
        with pytest.raises(MalformedMessage):
            wire.decode(data, MOST)
    else:
        assert typed(wire.decode(data, MOST)) == typed(expected)


# ---- strategies ------------------------------------------------------------------------------------------------------
scalars = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=40) | st.binary(max_size=40)
)  # fmt: skip
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner, max_size=5),
    max_leaves=30,
)
maps = st.dictionaries(st.text(min_size=1, max_size=8).filter(lambda key: key[0] != "$"), values, max_size=5)


@st.composite
def loose(draw: st.DrawFn, depth: int = 0) -> bytes:
    """Well-formed MessagePack in forms of any width, with everything the wire refuses mixed in now and then."""
    kinds = ["scalar", "text"] if depth == 4 else ["scalar", "text", "text", "array", "map", "wide", "odd"]
    kind = draw(st.sampled_from(kinds))
    if kind == "scalar":
        return draw(scalars.map(wire.encode))
    if kind == "text":
        text = draw(st.sampled_from(["", "a", "b", "é", "x" * 40])).encode()
        width = draw(st.sampled_from("BHI"))
        return bytes([{"B": 0xD9, "H": 0xDA, "I": 0xDB}[width]]) + struct.pack(">" + width, len(text)) + text
    if kind == "wide":
        return draw(
            st.sampled_from([b"\xcc\x01", b"\xcf" + bytes(8), b"\xd3" + bytes(8), b"\xca\x3f\x80\0\0", b"\xd0\x01"])
        )
    if kind == "odd":
        return draw(
            st.sampled_from([b"\xc7\x01\x05x", b"\xd6\xff\0\0\0\0", b"\xc1", b"\xcb\x7f\xf8" + bytes(6), b"\xa1\xff"])
        )
    items = draw(st.lists(loose(depth + 1), max_size=4))
    if kind == "array":
        return b"\xdc" + struct.pack(">H", len(items)) + b"".join(items)
    keys = [draw(st.sampled_from([b"\xa1a", b"\xa1b", b"\xd9\x01a", b"\xa0", b"\xa1c", b"\x01"])) for _ in items]
    pairs = b"".join(key + item for key, item in zip(keys, items, strict=True))
    return bytes([0x80 | len(items)]) + pairs


# ---- decoding --------------------------------------------------------------------------------------------------------
@given(values)
def test_round_trip(value: Any) -> None:
    assert typed(wire.decode(wire.encode(value), MOST)) == typed(value)
    assert typed(wire.decode(wire.canonical(value), MOST)) == typed(value)


@given(st.binary(max_size=200))
@example(b"")
@example(b"\x91" * 5000)
@example(b"\x81\xa0" * 5000)
@example(b"\xdd\xff\xff\xff\xff")
@example(b"\xdf\xff\xff\xff\xff")
@example(b"\xc6\xff\xff\xff\xff")
@example(b"\x81\x91\x01\x01")
@example(b"\x81\x80\x01")
@example(b"\xc7\x0c\xff" + b"\xff" * 12)
def test_any_bytes_give_a_value_or_malformed(data: bytes) -> None:
    agree(data)


@given(loose())
def test_any_form_agrees_with_the_reference(data: bytes) -> None:
    agree(data)
    agree(b"\x92" + data + wire.encode(bytes(SCAN_BYTES)))  # the same on the path of long messages


@given(values, st.data())
def test_mutated_bytes_agree_with_the_reference(value: Any, data: st.DataObject) -> None:
    mutated = bytearray(wire.encode(value))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(mutated) - 1))
        mutated[at] = data.draw(st.integers(0, 255))
    agree(bytes(mutated))
    agree(b"\x92" + bytes(mutated) + wire.encode(bytes(SCAN_BYTES)))


@pytest.mark.parametrize("first", range(256))
def test_every_first_byte(first: int) -> None:
    for rest in (b"", bytes(4), b"\x01" * 9, b"\x00\x01\xa1a\xc0", b"\xff" * 9):
        agree(bytes([first]) + rest)
        agree(b"\x92" + wire.encode(bytes(SCAN_BYTES)) + bytes([first]) + rest)


def nested(depth: int) -> bytes:
    return b"\x91" * (depth - 1) + b"\x90"


def nested_maps(depth: int) -> bytes:
    return b"\x81\xa1a" * (depth - 1) + b"\x80"


PAD = wire.encode(bytes(SCAN_BYTES))
AT_THE_LIMIT = {
    "depth": nested(DEPTH_MAX),
    "depth of maps": nested_maps(DEPTH_MAX),
    "depth, long": b"\x92" + PAD + nested(DEPTH_MAX - 1),
    "elements": b"\xdc" + struct.pack(">H", ELEMENTS_MAX - 1) + b"\xcc\xff" * (ELEMENTS_MAX - 1),
    "key": b"\x81" + wire.encode("k" * KEY_BYTES_MAX) + b"\x01",
    "key in two-byte characters": b"\x81" + wire.encode("é" * (KEY_BYTES_MAX // 2)) + b"\x01",
    "int64": b"\xd3\x80" + bytes(7),
    "uint64": b"\xcf" + b"\xff" * 8,
    "greatest float": b"\xcb" + struct.pack(">d", 1.7976931348623157e308),
}
ONE_OVER = {
    "depth": nested(DEPTH_MAX + 1),
    "depth of maps": nested_maps(DEPTH_MAX + 1),
    "depth, long": b"\x92" + PAD + nested(DEPTH_MAX),
    "elements": b"\xdc" + struct.pack(">H", ELEMENTS_MAX) + b"\xcc\xff" * ELEMENTS_MAX,
    "elements, keys counted": b"\xde"
    + struct.pack(">H", 2048)
    + b"".join(wire.encode(f"{i:04}") + b"\1" for i in range(2048)),
    "key": b"\x81" + wire.encode("k" * (KEY_BYTES_MAX + 1)) + b"\x01",
    "key in two-byte characters": b"\x81" + wire.encode("é" * (KEY_BYTES_MAX // 2 + 1)) + b"\x01",
    "equal keys": b"\x82\xa1a\x01\xa1a\x01",
    "equal keys in two forms": b"\x82\xa1a\x01\xd9\x01a\x01",
    "equal keys, long": b"\x92" + PAD + b"\x82\xa1a\x01\xa1a\x01",
    "a key that is no text": b"\x81\x01\x01",
    "a key of bytes": b"\x81\xc4\x01a\x01",
    "extension": b"\xd4\x05x",
    "timestamp": b"\xd6\xff\0\0\0\0",
    "NaN": b"\xcb\x7f\xf8" + bytes(6),
    "infinity": b"\xcb\x7f\xf0" + bytes(6),
    "float32 infinity": b"\xca\xff\x80\0\0",
    "trailing byte": b"\x01\x01",
    "not UTF-8": b"\xa1\xff",
    "a surrogate": b"\xa3\xed\xa0\x80",
    "the unused byte": b"\xc1",
}


@pytest.mark.parametrize("name", AT_THE_LIMIT)
def test_at_the_limit_is_taken(name: str) -> None:
    agree(AT_THE_LIMIT[name])
    wire.decode(AT_THE_LIMIT[name], MOST)


@pytest.mark.parametrize("name", ONE_OVER)
def test_one_over_is_refused(name: str) -> None:
    agree(ONE_OVER[name])
    with pytest.raises(MalformedMessage) as refused:
        wire.decode(ONE_OVER[name], MOST)
    assert 0 < len(refused.value.reason) < 80


def test_size_is_checked_before_anything_else() -> None:
    assert wire.decode(b"\xc4\x03abc", 5) == b"abc"
    with pytest.raises(MalformedMessage, match="5 bytes, the most is 4"):
        wire.decode(b"\xc1" * 5, 4)


# ---- encoding --------------------------------------------------------------------------------------------------------
def test_canonical_bytes_never_change() -> None:
    """Fingerprints are stored: these very bytes are part of the state directory's format."""
    value = {"b": 1, "aa": -33, "a": [1.5, None, True, 2**32], "é": b"x", "": "ü", "z": {"y": 1, "x": 2}}
    assert wire.canonical(value).hex() == (
        "86a0a2c3bca16194cb3ff8000000000000c0c3cf0000000100000000a26161d0dfa16201a17a82a17802a17901a2c3a9c40178"
    )


@given(maps)
def test_canonical_is_one_encoding_per_value(value: dict[str, Any]) -> None:
    turned = dict(reversed(value.items()))
    assert wire.canonical(value) == wire.canonical(turned)
    assert list(wire.decode(wire.canonical(value), MOST)) == sorted(value, key=str.encode)


@pytest.mark.parametrize("value", [2**64, -(2**63) - 1, "\ud800", object(), {"a": {object()}}])
def test_what_has_no_form_is_unencodable(value: Any) -> None:
    for encode in (wire.encode, wire.canonical):
        with pytest.raises(Unencodable):
            encode(value)


def test_a_value_that_holds_itself_is_unencodable() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(Unencodable):
        wire.encode(endless)


def test_codec_is_canonical_and_bounded() -> None:
    codec = wire.CanonicalCodec(16)
    assert codec.encode({"b": 1, "a": 2}) == b"\x82\xa1a\x02\xa1b\x01"
    assert codec.decode(codec.encode({"b": 1, "a": 2})) == {"a": 2, "b": 1}
    with pytest.raises(MalformedMessage):
        codec.decode(bytes(17))


def test_a_struct_goes_out_as_a_map_and_raw_as_it_is() -> None:
    class Answer(msgspec.Struct):
        value: Any

    assert wire.response(7, Answer(msgspec.Raw(b"\xc3"))) == wire.response(7, {"value": True})


# ---- messages --------------------------------------------------------------------------------------------------------
@given(st.integers(0, wire.MSGID_MAX), st.text(min_size=1, max_size=64), maps)
def test_requests_round_trip(msgid: int, method: str, params: dict[str, Any]) -> None:
    sent = wire.request(msgid, method, params)
    assert wire.parse_request(sent, MOST) == (msgid, method, params)
    assert wire.msgid_of(sent[:HEAD_BYTES]) == msgid
    told = wire.notification(method, params)
    assert wire.parse_request(told, MOST) == (None, method, params)
    assert wire.msgid_of(told[:HEAD_BYTES]) is None


@given(st.binary(max_size=60) | loose() | st.builds(lambda rest: b"\x94\x00" + rest, st.binary(max_size=40)))
def test_any_bytes_give_a_request_or_malformed(data: bytes) -> None:
    try:
        msgid, method, params = wire.parse_request(data, MOST)
    except MalformedMessage:
        return
    assert wire.msgid_of(data) == msgid
    assert refer(data)[-2:] == [method, params]


@given(st.binary(max_size=HEAD_BYTES) | st.builds(lambda rest: b"\x94\x00" + rest, st.binary(max_size=12)))
def test_any_bytes_give_a_msgid_or_malformed(data: bytes) -> None:
    try:
        msgid = wire.msgid_of(data)
    except MalformedMessage:
        return
    assert msgid is None or 0 <= msgid <= wire.MSGID_MAX


NO_REQUEST = {
    "a response": [1, 1, None, None],
    "a map": {},
    "a number": 1,
    "too short": [0, 1],
    "too long": [0, 1, "m", {}, 1],
    "three for a request": [0, "m", {}],
    "four for a notification": [2, 1, "m", {}],
    "kind true": [False, 1, "m", {}],
    "kind float": [0.0, 1, "m", {}],
    "msgid negative": [0, -1, "m", {}],
    "msgid 2**32": [0, 2**32, "m", {}],
    "msgid true": [0, True, "m", {}],
    "msgid nil": [0, None, "m", {}],
    "msgid text": [0, "1", "m", {}],
    "method empty": [0, 1, "", {}],
    "method of 65": [0, 1, "m" * 65, {}],
    "method bytes": [0, 1, b"m", {}],
    "params array": [0, 1, "m", []],
    "params nil": [0, 1, "m", None],
    "an envelope key": [0, 1, "m", {"$key": 1}],
    "a lone $": [0, 1, "m", {"$": 1}],
    "a notification's envelope key": [2, "m", {"$token": 1}],
}


@pytest.mark.parametrize("name", NO_REQUEST)
def test_what_is_no_request(name: str) -> None:
    with pytest.raises(MalformedMessage):
        wire.parse_request(wire.encode(NO_REQUEST[name]), MOST)


def test_dollar_inside_a_name_or_deeper_is_the_guests_own() -> None:
    for params in ({"a$": 1}, {"a": {"$key": 1}}):
        assert wire.parse_request(wire.request(1, "m", params), MOST) == (1, "m", params)


def test_params_count_into_the_depth() -> None:
    """The message is the first level, params the second."""
    inner: Any = 1
    for _ in range(DEPTH_MAX - 2):
        inner = [inner]
    wire.parse_request(wire.request(1, "m", {"a": inner}), MOST)
    for too_deep in ([inner], {"b": inner}):
        with pytest.raises(MalformedMessage, match="deeper"):
            wire.parse_request(wire.request(1, "m", {"a": too_deep}), MOST)


def test_requests_over_the_size_are_refused() -> None:
    sent = wire.request(1, "m", {})
    wire.parse_request(sent, len(sent))
    with pytest.raises(MalformedMessage, match="the most"):
        wire.parse_request(sent, len(sent) - 1)


@given(st.integers(0, wire.MSGID_MAX), values)
def test_responses_round_trip(msgid: int, result: Any) -> None:
    assert typed(wire.parse_response(wire.response(msgid, result), MOST, msgid)[1]) == typed(result)
    error = {"code": "sold_out", "message": "no apples", "details": {"result": result}}
    told, nothing = wire.parse_response(wire.error_response(msgid, error), MOST, msgid)
    assert nothing is None
    assert typed(told) == typed(error)


NO_RESPONSE = {
    "a request": [0, 1, "m", {}],
    "another msgid": [1, 2, None, None],
    "msgid true": [1, True, None, None],
    "kind true": [True, 1, None, None],
    "short": [1, 1, None],
    "error a text": [1, 1, "no", None],
    "error without a code": [1, 1, {"message": "x"}, None],
    "error without a message": [1, 1, {"code": "x"}, None],
    "error's code a number": [1, 1, {"code": 1, "message": "x"}, None],
    "both": [1, 1, {"code": "x", "message": "y"}, 1],
    "not an array": {"code": "x"},
    "a date": [1, 1, None, datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)],
}


@pytest.mark.parametrize("name", NO_RESPONSE)
def test_what_is_no_response(name: str) -> None:
    with pytest.raises(MalformedMessage):
        wire.parse_response(wire.encode(NO_RESPONSE[name]), MOST, 1)


@given(st.binary(max_size=60) | loose())
def test_any_bytes_give_a_response_or_malformed(data: bytes) -> None:
    try:
        wire.parse_response(data, MOST, 1)
    except MalformedMessage:
        return
    assert refer(data)[:2] == [1, 1]


@pytest.mark.parametrize(
    ("head", "msgid"),
    [
        (b"\x94\x00\x05", 5),
        (b"\xdc\x00\x04\x00\xcd\x01\x00", 256),
        (b"\xdd\x00\x00\x00\x04\xcc\x00\xcf" + bytes(4) + b"\xff" * 4, 2**32 - 1),
        (b"\x94\xd0\x00\xd3" + bytes(7) + b"\x07", 7),
        (b"\x93\x02", None),
    ],
)
def test_the_head_of_a_request_is_enough_in_every_form(head: bytes, msgid: int | None) -> None:
    assert wire.msgid_of(head) == msgid


@pytest.mark.parametrize(
    "head",
    [b"", b"\x80", b"\xc1", b"\x94", b"\x94\x00", b"\x94\x00\xcd\x01", b"\xdc\x00", b"\x94\x01\x01", b"\x93\x00\x01",
     b"\x94\x02\x01", b"\x94\x00\xa1", b"\x94\x00\xd0\xff", b"\x94\x00\xcf" + b"\xff" * 8],
)  # fmt: skip
def test_a_head_that_is_none(head: bytes) -> None:
    with pytest.raises(MalformedMessage):
        wire.msgid_of(head)
