"""The broker: the order of its checks, what each answers, and that nothing else ever comes out of it."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable
from typing import Annotated, Any, Literal

import msgspec
import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from host_api.contract import Bound, Method, Params, Result, Session
from host_api.errors import ApiError, ErrorCode, limit_exceeded
from runtime import wire
from runtime.broker import LINE_BYTES_MAX, REFUSALS_MAX, Broker, BrokerCall
from runtime.limits import Limits
from runtime.session import CallSession
from runtime.testing import LogLines, SeededIds, VirtualClock, make_session


# ---- services of this test -------------------------------------------------------------------------------------------
class TextParams(Params, frozen=True, kw_only=True):
    text: Annotated[str, msgspec.Meta(max_length=2_000)]
    times: int = 1


class ScopedParams(TextParams, frozen=True, kw_only=True):
    kind: Literal["a", "b"]
    scope: Annotated[Literal["user", "program"], msgspec.Meta(description="whose")] = "user"


class AnyResult(Result, frozen=True, kw_only=True):
    got: Any


def echo(session: Session, params: TextParams) -> AnyResult:
    return AnyResult(got=params.text * params.times)


def refuse(session: Session, params: TextParams) -> AnyResult:
    raise ApiError(ErrorCode.RATE_LIMITED, "slower", retry_after_ms=50, details={"limit": "x" * params.times})


def fail(session: Session, params: TextParams) -> AnyResult:
    raise KeyError("secret of another tenant")


def unencodable(session: Session, params: TextParams) -> AnyResult:
    return AnyResult(got=object())


async def nap(session: Session, params: TextParams) -> AnyResult:
    await trio.sleep(params.times)
    return AnyResult(got=params.text)


async def refuse_later(session: Session, params: TextParams) -> AnyResult:
    await trio.lowlevel.checkpoint()
    return refuse(session, params)


async def fail_later(session: Session, params: TextParams) -> AnyResult:
    await trio.lowlevel.checkpoint()
    return fail(session, params)


def bound(name: str, run: Any, capability: str | None = None, params: type[Params] = TextParams) -> Bound:
    return Bound(
        Method(
            name=name, capability=capability, params=params, result=AnyResult, errors=(),
            waits=inspect.iscoroutinefunction(run), summary="", example={"text": "x"}, answer={},
        ),
        run,
    )  # fmt: skip


SERVICES = {
    b.method.name: b
    for b in (
        bound("test.echo", echo), bound("test.guarded", echo, "storage"), bound("test.refuse", refuse),
        bound("test.fail", fail), bound("test.unencodable", unencodable), bound("test.nap", nap),
        bound("test.refuse_later", refuse_later), bound("test.fail_later", fail_later),
        bound("test.guarded_nap", nap, "storage"), bound("test.scoped", echo, params=ScopedParams),
    )
}  # fmt: skip


def make_broker() -> tuple[Broker, VirtualClock]:
    clock = VirtualClock(1_000)
    return Broker(SERVICES, clock=clock, new_incident=SeededIds()), clock


def opened(**changes: Any) -> BrokerCall:
    return make_broker()[0].open(make_session(**changes))


def at_once(call: BrokerCall, method: str, params: dict[str, Any], msgid: int = 1) -> tuple[Any, Any]:
    """(error, result) of a method that does not wait."""
    response = call.answer(wire.request(msgid, method, params))
    assert isinstance(response, bytes)
    return wire.parse_response(response, 1 << 20, msgid)


async def awaited(call: BrokerCall, method: str, params: dict[str, Any], msgid: int = 1) -> tuple[Any, Any]:
    answering = call.answer(wire.request(msgid, method, params))
    assert isinstance(answering, Awaitable)
    response = await answering
    assert isinstance(response, bytes)
    return wire.parse_response(response, 1 << 20, msgid)


# ---- the order of checks ---------------------------------------------------------------------------------------------
def test_the_order_of_checks_is_the_precedence_of_errors() -> None:
    """Each request breaks one rule more than the next; the first broken one is answered."""
    call = opened(granted=())
    assert at_once(call, "test.gone", {"bad": 1})[0]["code"] == "unknown_method"
    assert at_once(call, "test.guarded", {"bad": 1})[0]["code"] == "capability_not_granted"
    assert at_once(opened(), "test.guarded", {"bad": 1})[0]["code"] == "invalid_params"
    assert at_once(opened(), "test.refuse", {"text": "x"})[0]["code"] == "rate_limited"
    assert at_once(opened(), "test.guarded", {"text": "x"}) == (None, {"got": "x"})


def test_the_codes_numbers_are_in_that_order() -> None:
    order = [
        ErrorCode.UNKNOWN_METHOD, ErrorCode.CAPABILITY_UNDECLARED, ErrorCode.CAPABILITY_NOT_GRANTED,
        ErrorCode.GRANT_EXPIRED, ErrorCode.INVALID_PARAMS, ErrorCode.LIMIT_EXCEEDED,
    ]  # fmt: skip
    assert [code.number for code in order] == sorted(code.number for code in order)


async def test_a_waiting_method_is_checked_before_anything_waits() -> None:
    call = opened(granted=())
    assert at_once(call, "test.guarded_nap", {"text": "x"})[0]["code"] == "capability_not_granted"
    assert at_once(call, "test.nap", {})[0]["code"] == "invalid_params"


def test_a_grant_expires_between_two_requests() -> None:
    broker, clock = make_broker()
    call = broker.open(make_session(granted={"storage": {"expires_at_us": 2_000}}))
    assert at_once(call, "test.guarded", {"text": "x"}) == (None, {"got": "x"})
    clock.advance(us=1_000)
    assert at_once(call, "test.guarded", {"text": "x"})[0]["code"] == "grant_expired"


# ---- errors ----------------------------------------------------------------------------------------------------------
def test_an_error_is_whole() -> None:
    error, result = at_once(opened(), "test.refuse", {"text": "x"})
    assert result is None
    assert error == {
        "code": "rate_limited", "message": "slower", "retryable": True, "retry_after_ms": 50, "details": {"limit": "x"},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("params", "path", "words"),
    [
        ({}, "$", "missing required field `text` at $; test.* takes text, times (optional)"),
        ({"text": 1}, "$.text", "Expected `str`, got `int` at $.text"),
        ({"text": "x", "times": "2"}, "$.times", "Expected `int`, got `str`"),
        ({"text": "x", "times": 1.0}, "$.times", "Expected `int`, got `float`"),
        ({"text": "x", "times": True}, "$.times", "Expected `int`, got `bool`"),
        ({"text": "x", "more": 1}, "$", "unknown field `more`"),
        ({"text": "x" * 2_001}, "$.text", "length <= 2000"),
    ],
)
def test_invalid_params_say_where_and_what_to_do(params: dict[str, Any], path: str, words: str) -> None:
    error, _ = at_once(opened(), "test.echo", params)
    assert error["code"] == "invalid_params"
    assert error["details"]["path"] == path
    assert words.replace("test.*", "test.echo") in error["message"]


def test_invalid_params_name_the_values_that_can_be() -> None:
    error, _ = at_once(opened(), "test.scoped", {"text": "x", "scope": "all", "kind": "a"})
    assert error["details"] == {"path": "$.scope", "problem": "Invalid enum value 'all'"}
    takes = "test.scoped takes text, times (optional), kind (a or b), scope (optional: user or program)"
    assert error["message"] == f"Invalid enum value 'all' at $.scope; {takes}"


@given(st.text(min_size=1, max_size=64), st.text(min_size=1, max_size=80).filter(lambda key: key[0] != "$"))
def test_a_guests_own_words_are_cut_and_escaped(method: str, key: str) -> None:
    call = opened()
    for error, _ in (at_once(call, method, {}), at_once(call, "test.echo", {"text": "x", key: 1})):
        assert error["message"].isascii()
        assert error["message"].isprintable()
        assert len(error["message"]) <= 400


def test_an_unknown_method_names_those_of_its_service() -> None:
    assert "test has echo, fail, fail_later, guarded" in at_once(opened(), "test.ecko", {})[0]["message"]
    assert "api level" in at_once(opened(), "rest.echo", {})[0]["message"]


@pytest.mark.parametrize("method", ["test.fail", "test.unencodable", "test.fail_later"])
async def test_a_fault_of_ours_is_an_incident(method: str, caplog: pytest.LogCaptureFixture) -> None:
    call = opened()
    with caplog.at_level(logging.ERROR, "hostel.broker"):
        if method == "test.fail_later":
            error, _ = await awaited(call, method, {"text": "x"})
        else:
            error, _ = at_once(call, method, {"text": "x"})
    assert error["code"] == "internal"
    assert error["retryable"]
    incident = error["details"]["incident"]
    assert "secret" not in str(error)
    [record] = caplog.records
    assert incident in record.getMessage()
    assert "Traceback" in record.getMessage()
    assert at_once(call, "test.echo", {"text": "x"}) == (None, {"got": "x"})


# ---- waiting ---------------------------------------------------------------------------------------------------------
async def test_a_method_that_waits(autojump_clock: trio.testing.MockClock) -> None:
    call = opened()
    assert await awaited(call, "test.nap", {"text": "x", "times": 3}) == (None, {"got": "x"})
    assert trio.current_time() == pytest.approx(3, abs=1e-6)
    assert (await awaited(call, "test.refuse_later", {"text": "x"}))[0]["code"] == "rate_limited"


async def test_an_outstanding_msgid_used_again_ends_the_call(autojump_clock: trio.testing.MockClock) -> None:
    call = opened()
    waiting = call.answer(wire.request(7, "test.nap", {"text": "x"}))
    assert isinstance(waiting, Awaitable)
    for method in ("test.nap", "test.echo", "test.gone"):
        with pytest.raises(wire.MalformedMessage, match="outstanding"):
            call.answer(wire.request(7, method, {"text": "x"}))
    with pytest.raises(wire.MalformedMessage, match="outstanding"):
        call.refuse(wire.request(7, "test.nap", {}), limit_exceeded("host_calls", 1, 2, "calls", "host calls"))
    assert at_once(call, "test.echo", {"text": "x"}, msgid=8) == (None, {"got": "x"})
    await waiting
    assert at_once(call, "test.echo", {"text": "x"}, msgid=7) == (None, {"got": "x"})


async def test_cancelled_passes_and_frees_the_msgid() -> None:
    call = opened()
    waiting = call.answer(wire.request(7, "test.nap", {"text": "x"}))
    assert isinstance(waiting, Awaitable)
    with trio.CancelScope() as scope:
        scope.cancel()
        await waiting
    assert scope.cancelled_caught
    assert call.session.usage.denials == 0
    assert at_once(call, "test.echo", {"text": "x"}, msgid=7) == (None, {"got": "x"})


# ---- notifications ---------------------------------------------------------------------------------------------------
async def test_a_notification_is_never_answered(autojump_clock: trio.testing.MockClock) -> None:
    call = opened()
    for method in ("test.echo", "test.refuse", "test.gone"):
        assert call.answer(wire.notification(method, {"text": "x"})) is None
    assert call.session.usage.denials == 2
    for method in ("test.nap", "test.refuse_later"):
        waiting = call.answer(wire.notification(method, {"text": "x"}))
        assert isinstance(waiting, Awaitable)
        assert await waiting is None
    assert call.session.usage.denials == 3


# ---- limits ----------------------------------------------------------------------------------------------------------
def test_a_response_at_its_limit_and_one_over() -> None:
    frame = len(wire.response(1, AnyResult(got=""))) + 2
    limits = Limits(response_bytes=1_000)
    call = opened(limits=limits)
    fits = 1_000 - frame
    assert at_once(call, "test.echo", {"text": "x" * fits})[0] is None
    error, _ = at_once(call, "test.echo", {"text": "x" * (fits + 1)})
    assert error["code"] == "limit_exceeded"
    assert error["details"] == {"limit": "response_bytes", "value": 1_000, "used": 1_001, "unit": "bytes"}


def test_an_error_too_long_loses_its_details() -> None:
    call = opened(limits=Limits(response_bytes=512))
    response = call.answer(wire.request(1, "test.refuse", {"text": "x", "times": 5_000}))
    assert isinstance(response, bytes)
    assert len(response) <= 512
    error, _ = wire.parse_response(response, 512, 1)
    assert error is not None
    assert (error["code"], error["retry_after_ms"], error["details"]) == ("rate_limited", 50, {})


def test_a_request_over_its_size_is_malformed() -> None:
    request = wire.request(1, "test.echo", {"text": "x"})
    assert opened(limits=Limits(request_bytes=len(request))).answer(request) is not None
    with pytest.raises(wire.MalformedMessage):
        opened(limits=Limits(request_bytes=len(request) - 1)).answer(request)


def test_refuse_needs_the_head_only() -> None:
    call = opened()
    error = limit_exceeded("request_bytes", 16, 500_000, "bytes", "the request")
    response = call.refuse(wire.request(9, "test.echo", {"text": "x" * 500})[: wire.HEAD_BYTES], error)
    assert response is not None
    told, _ = wire.parse_response(response, 4_096, 9)
    assert told == error.as_wire()
    assert call.refuse(wire.notification("test.echo", {})[: wire.HEAD_BYTES], error) is None
    with pytest.raises(wire.MalformedMessage):
        call.refuse(b"\xc0", error)


# ---- counting --------------------------------------------------------------------------------------------------------
def test_denials_and_refusals_are_counted() -> None:
    broker, _ = make_broker()
    call = broker.open(make_session(granted=()))
    for _ in range(3):
        at_once(call, "test.guarded", {"text": "x"})
    at_once(call, "no.such", {})
    at_once(call, "no.such.either", {})
    at_once(call, "test.echo", {"text": "x"})
    assert call.session.usage.denials == 5
    app_id = call.session.app_id
    assert broker.drain_refusals() == {
        (app_id, "test.guarded", "capability_not_granted"): 3,
        (app_id, "", "unknown_method"): 2,
    }
    assert broker.drain_refusals() == {}


def test_the_count_of_refusals_is_bounded() -> None:
    broker, _ = make_broker()
    for number in range(REFUSALS_MAX + 50):
        broker.count_refusal(f"app.{number}", "test.echo", ErrorCode.BUSY)
    drained = broker.drain_refusals()
    assert len(drained) == REFUSALS_MAX + 1
    assert drained["", "test.echo", "busy"] == 50


# ---- any bytes -------------------------------------------------------------------------------------------------------
params = st.dictionaries(
    st.sampled_from(["text", "times", "more"]), st.none() | st.integers(0, 3) | st.text(max_size=3), max_size=3
)
requests = st.builds(
    lambda msgid, method, params: wire.encode([0, msgid, method, params]),
    st.integers(0, 2**32), st.sampled_from([*SERVICES, "x", ""]), params,
)  # fmt: skip


@given(st.lists(st.binary(max_size=40) | requests, max_size=5))
def test_any_bytes_are_answered_or_malformed(sent: list[bytes]) -> None:
    call = opened()
    for data in sent:
        try:
            answer = call.answer(data)
        except wire.MalformedMessage:
            continue
        if isinstance(answer, bytes):
            wire.parse_response(answer, 1 << 20, wire.decode(data, 4_096)[1])
        elif answer is not None:
            assert inspect.iscoroutine(answer)
            answer.close()


# ---- standard output -------------------------------------------------------------------------------------------------
def logged(*written: tuple[int, bytes], log_bytes: int = 64 << 10) -> tuple[list[tuple[str, str]], CallSession]:
    lines = LogLines()
    call = opened(limits=Limits(log_bytes=log_bytes), log_sink=lines)
    for stream, data in written:
        call.log(stream, data)
    call.close()
    call.close()
    return lines.lines, call.session


def test_output_becomes_lines() -> None:
    lines, _ = logged((1, b"one\ntw"), (2, b"broken"), (1, b"o\n\nlast"))
    assert lines == [("info", "one"), ("info", "two"), ("info", ""), ("info", "last"), ("warning", "broken")]


def test_a_character_may_come_in_two_writes() -> None:
    assert logged((1, "é".encode()[:1]), (1, "é\n".encode()[1:]))[0] == [("info", "é")]


def test_output_is_made_printable() -> None:
    assert logged((1, b"\xff\x1b[2J\rpaid\n"))[0] == [("info", "\ufffd\\x1b[2J\\rpaid")]


def test_a_line_without_an_end_is_broken() -> None:
    lines, _ = logged(*[(1, b"x" * 1_000)] * 10)
    assert [len(line) for _, line in lines] == [LINE_BYTES_MAX, LINE_BYTES_MAX, 10_000 - 2 * LINE_BYTES_MAX]
    lines, _ = logged((1, b"x" * 10_000 + b"\n"))
    assert [len(line) for _, line in lines] == [LINE_BYTES_MAX, LINE_BYTES_MAX, 10_000 - 2 * LINE_BYTES_MAX]


def test_output_is_cut_at_the_log_limit_once() -> None:
    lines, session = logged(*[(1, b"y\n" * 1_000)] * 10, log_bytes=1_000)
    assert len(lines) == 501
    assert lines[-1] == ("warning", "[log cut at 1000 bytes]")
    assert (session.usage.log_bytes, session.usage.log_cut) == (1_000, True)


@given(st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(max_size=50)), max_size=10))
def test_how_output_is_written_makes_no_difference(written: list[tuple[int, bytes]]) -> None:
    for stream in (1, 2):
        whole = b"".join(data for to, data in written if to == stream)
        parts = [(to, data) for to, data in written if to == stream]
        assert logged(*parts)[0] == logged((stream, whole))[0]


# ---- memory held for the guest ---------------------------------------------------------------------------------------
def test_held_memory_is_the_programs() -> None:
    session = make_session(limits=Limits(held_bytes=65_536))
    broker, _ = make_broker()
    call = broker.open(session)
    other = broker.open(make_session(limits=session.limits, holdings=session.holdings))
    assert call.hold(65_536)
    assert not other.hold(1)
    call.release(1)
    assert other.hold(1)
