"""hostel.h and hostel_wire.h, tested through the echo program against the host's own codec."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtime import wire

VECTORS: list[Any] = [
    None, True, False, 0, 1, 127, 128, 255, 256, 65535, 65536, 2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 1,
    -1, -32, -33, -128, -129, -32768, -32769, -(2**31), -(2**31) - 1, -(2**63), 0.0, -0.0, 1.5, 1e300, -1e-300,
    "", "a" * 31, "a" * 32, "苹果" * 50, "b" * 255, "b" * 256, "c" * 65535, "c" * 65536,
    b"", b"\0" * 255, b"\1" * 256, b"\2" * 65536,
    [], [1] * 15, [1] * 16, [None] * 4000, {}, {str(i): i for i in range(15)}, {str(i): i for i in range(16)},
    {"a": [{"b": [{"c": [1, "x", None]}]}]},
]  # fmt: skip

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=40) | st.binary(max_size=40),
    lambda inner: st.lists(inner, max_size=6)
    | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=20), inner, max_size=6),
    max_leaves=30,
)  # fmt: skip


def nested(levels: int) -> Any:
    value: Any = 1
    for level in range(levels):
        value = [value] if level % 2 else {"k": value}
    return value


def outcome(guest: Any, message: bytes) -> Any:
    """(error code, result), or None where the guest answered nothing."""
    response = guest.raw(message)
    if not response:
        return None
    kind, _, error, result = wire.decode(response, 262_144)
    assert kind == 1
    return (error["code"] if error else None, result)


@pytest.mark.parametrize("value", VECTORS, ids=lambda value: repr(value)[:20])
def test_every_form_is_read_and_written_in_its_shortest(guest: Callable[[str], Any], value: Any) -> None:
    assert guest("echo").raw(wire.request(7, "echo", {"value": value})) == wire.response(7, value)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=values)
def test_any_value_comes_back_as_the_hosts_codec_writes_it(guest: Callable[[str], Any], value: Any) -> None:
    assert guest("echo").raw(wire.request(7, "echo", {"value": value})) == wire.response(7, value)


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"\xcc\x01", 1), (b"\xcd\x00\x01", 1), (b"\xce\x00\x00\x00\x01", 1), (b"\xcf" + b"\0" * 7 + b"\x01", 1),
        (b"\xd0\x05", 5), (b"\xd0\xff", -1), (b"\xd1\xff\xff", -1), (b"\xd2\xff\xff\xff\xff", -1),
        (b"\xd3" + b"\xff" * 8, -1), (b"\xca\x3f\xc0\x00\x00", 1.5),
        (b"\xd9\x01a", "a"), (b"\xda\x00\x01a", "a"), (b"\xdb\x00\x00\x00\x01a", "a"),
        (b"\xc5\x00\x01a", b"a"), (b"\xc6\x00\x00\x00\x01a", b"a"),
        (b"\xdc\x00\x01\x01", [1]), (b"\xdd\x00\x00\x00\x01\x01", [1]),
        (b"\xde\x00\x01\xa1k\x01", {"k": 1}), (b"\xdf\x00\x00\x00\x01\xa1k\x01", {"k": 1}),
    ],
)  # fmt: skip
def test_longer_forms_are_read_too(guest: Callable[[str], Any], data: bytes, value: Any) -> None:
    assert outcome(guest("echo"), b"\x94\x00\x01\xa4echo\x81\xa5value" + data) == (None, value)


def test_depth_is_the_wires(guest: Callable[[str], Any]) -> None:
    echo = guest("echo")
    deepest = wire.DEPTH_MAX - 2  # the message and its params are containers too
    assert outcome(echo, wire.request(1, "echo", {"value": nested(deepest)})) == (None, nested(deepest))
    assert outcome(echo, wire.request(1, "echo", {"value": nested(deepest + 1)})) is None


@pytest.mark.parametrize(
    "message",
    [
        b"", b"\xc1", b"\x94", b"\x94\x00\x01\xa4echo", b"\x94\x00\x01\xa4echo\x80\x00", b"\x94\x00\x01\xa4echo\x90",
        b"\x94\x01\x01\xa4echo\x80", b"\x94\x00\xff\xa4echo\x80", b"\x94\x00\x01\x00\x80", b"\x93\x00\x01\xa4echo",
        b"\x94\x00\x01\xa4echo\xdf\xff\xff\xff\xff", b"\x94\x00\x01\xa4echo\x81\xa5value\xdd\xff\xff\xff\xff",
        b"\x94\x00\x01\xa4echo\x81\xa5value\xdb\xff\xff\xff\xff", b"\x94\x00\x01\xa4echo\x81\xa5value\xc7\x00\x01",
        b"\x94\x00\x01\xa4echo\x81\xa5value\xd6\xff\0\0\0\0",
    ],
)  # fmt: skip
def test_what_is_no_request_gets_no_answer(guest: Callable[[str], Any], message: bytes) -> None:
    assert guest("echo").raw(message) == b""


def test_a_notification_gets_no_answer(guest: Callable[[str], Any]) -> None:
    assert guest("echo").raw(wire.notification("echo", {"value": 1})) == b""


def test_a_msgid_of_32_bits_comes_back(guest: Callable[[str], Any]) -> None:
    assert guest("echo").raw(wire.request(2**32 - 1, "echo", {"value": 1})) == wire.response(2**32 - 1, 1)


def test_an_answer_over_the_programs_own_bound_is_an_error(guest: Callable[[str], Any]) -> None:
    assert outcome(guest("echo"), wire.request(1, "echo", {"value": "x" * 200_000})) == ("reply_too_large", None)


def test_a_value_that_is_not_there_is_an_error_of_the_program(guest: Callable[[str], Any]) -> None:
    assert outcome(guest("echo"), wire.request(1, "echo", {})) == ("bad_reply", None)


@pytest.mark.parametrize("inbox", [True, False])
def test_both_ways_in_give_the_same(guest: Callable[[str], Any], inbox: bool) -> None:
    echo = guest("echo")
    echo.inbox = inbox
    for size in (0, 16_000, 16_384, 60_000):
        assert echo.call("echo", {"value": "x" * size}) == "x" * size


def test_a_response_that_does_not_fit_is_taken_into_memory_that_grows(guest: Callable[[str], Any]) -> None:
    echo = guest("echo")
    echo.host.stored["k"] = ("x" * 100_000, 3)
    stored = echo.call("call", {"method": "storage.get", "params": {"key": "k", "scope": "user"}})
    assert stored["result"] == {"found": True, "value": "x" * 100_000, "version": 3}
    assert echo.taken == 1 and 2 < echo.memory_pages <= 8
    echo.host.stored["k"] = ("x" * 600_000, 3)
    assert echo.call("call", {"method": "storage.get", "params": {"key": "k", "scope": "user"}}) == {
        "error": "no_memory"
    }


def test_a_hosts_error_is_decoded_and_can_be_passed_on(guest: Callable[[str], Any]) -> None:
    said = guest("echo").call("call", {"method": "payment.query", "params": {"order_id": "made up"}})
    assert said["error"]["code"] == "not_found" and said["error"]["details"] == {"order_id": "made up"}


def test_posted_requests_are_told_apart_by_their_msgid(guest: Callable[[str], Any]) -> None:
    echo = guest("echo")
    echo.host.stored["k"] = (5, 1)
    wanted = [("storage.get", {"key": "k", "scope": "user"}), ("payment.query", {"order_id": "x"}), ("no.such", {})]
    outcomes = echo.call("post", {"requests": [{"method": method, "params": params} for method, params in wanted]})
    assert [outcome["index"] for outcome in outcomes] == [2, 1, 0]
    assert outcomes[2]["outcome"] == {"result": {"found": True, "value": 5, "version": 1}}
    assert [outcome["outcome"]["error"]["code"] for outcome in outcomes[:2]] == ["unknown_method", "not_found"]
    assert [method for method, _ in echo.host.requests] == [method for method, _ in wanted]
    assert echo.call("post", {"requests": []}) == []


def test_a_request_over_the_bound_is_not_sent(guest: Callable[[str], Any]) -> None:
    echo = guest("echo")
    said = echo.call("call", {"method": "log.write", "params": {"level": "info", "message": "x" * 10_000}})
    assert said == {"error": "request_too_large"} and echo.host.requests == []


@pytest.mark.parametrize(
    "answer", [b"", b"\xc0", b"\x94\x01\x01\xc0", b"\x94\x02\x01\xc0\xc0", b"\x94\x01\x01\xc0\xc0\xc0"]
)
def test_an_answer_of_the_host_that_is_no_response_is_an_error(
    guest: Callable[[str], Any], answer: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    echo = guest("echo")
    monkeypatch.setattr(echo, "_answer", lambda _req, _len: answer)
    assert echo.call("call", {"method": "session.info", "params": {}}) == {"error": "bad_response"}


@pytest.mark.parametrize("name", ["echo", "grocery_delivery", "hostile/forged_order"])
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(message=st.binary(max_size=200))
def test_random_bytes_never_trap(guest: Callable[[str], Any], name: str, message: bytes) -> None:
    response = guest(name).raw(message)
    assert not response or msgpack.unpackb(response, raw=True, strict_map_key=False)[0] == 1


METHODS = (
    "echo",
    "call",
    "post",
    "catalogue.list",
    "cart.add",
    "cart.set",
    "cart.clear",
    "checkout",
    "order.show",
    "orders.list",
)
NAMES = st.sampled_from(["items", "slot", "wait_ms", "order_id", "after", "value", "method", "params", "requests"])


@pytest.mark.parametrize("name", ["echo", "grocery_delivery"])
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(method=st.sampled_from(METHODS), params=st.dictionaries(NAMES, values, max_size=4))
def test_any_params_give_a_result_or_an_error(
    guest: Callable[[str], Any], name: str, method: str, params: dict[str, Any]
) -> None:
    program = guest(name)
    program.host.stored["cart"] = (params, 1)
    found = outcome(program, wire.request(1, method, params))
    assert found is not None and (found[0] is None or found[1] is None)
    assert name == "echo" or program.host.invalid == []
