"""Every declared method, walked: what holds for all of them."""

from __future__ import annotations

import inspect
import re
from typing import Any

import msgspec
import pytest
import trio

from host_api import services
from host_api.capability import CAPABILITIES
from host_api.contract import Method, Params, Result
from host_api.errors import ApiError, ErrorCode
from host_api.prompts.cashier import ScriptedCashier
from host_api.prompts.desk import Desk
from host_api.schema import OF_EVERY_METHOD, WITH_CAPABILITY
from host_api.store import open_store
from host_api.user.pairwise import PairwiseIds
from runtime import wire
from runtime.broker import Broker
from runtime.testing import SeededIds, VirtualClock, make_session

EVERY_METHOD = frozenset(OF_EVERY_METHOD) | frozenset(WITH_CAPABILITY)
"""What any of them may answer; a method lists what is its own beside these."""

methods = pytest.mark.parametrize("method", services.METHODS, ids=lambda method: method.name)


class NoPrograms:
    """Nothing is installed."""

    async def call(self, session: Any, params: Any, *, narrow: Any, delegated: Any) -> Any:
        raise ApiError(ErrorCode.NOT_FOUND, "no such program is installed")

    async def as_caller(self, session: Any, method: str, params: Any) -> Any:
        raise ApiError(ErrorCode.CAPABILITY_NOT_GRANTED, "nothing was delegated")


def broker_over(store: Any, nursery: trio.Nursery) -> tuple[Broker, dict[str, Any]]:
    desk = Desk(
        store=store, clock=store, nursery=nursery, cashier=ScriptedCashier(), new_id=SeededIds(4),
        new_token=SeededIds(2),
    )  # fmt: skip
    sources = services.Sources(
        store=store, clock=store, codec=wire.CanonicalCodec(), new_id=SeededIds(1), new_salt=lambda: bytes(16)
    )
    built = services.build(
        sources, services.Outside(), desk=desk, pairwise=PairwiseIds(bytes(32)), programs=NoPrograms(),
        acknowledged=lambda _: None,
    )  # fmt: skip
    return Broker(built.bound, clock=store, new_incident=SeededIds(3)), dict(built.bound)


def test_names_are_unique() -> None:
    names = [method.name for method in services.METHODS]
    assert len(set(names)) == len(names)


@methods
def test_a_name_is_service_dot_method_in_snake_case(method: Method[Any, Any]) -> None:
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*\.[a-z]+(_[a-z]+)*", method.name)
    assert len(method.name) <= wire.METHOD_CHARS_MAX


@methods
def test_the_example_passes_validation_and_the_wire(method: Method[Any, Any]) -> None:
    _, name, params = wire.parse_request(wire.request(1, method.name, method.example), 4_096)
    assert isinstance(msgspec.convert(params, method.params), method.params)
    assert name == method.name


@methods
def test_unknown_parameters_are_refused(method: Method[Any, Any]) -> None:
    assert issubclass(method.params, Params)
    assert issubclass(method.result, Result)
    assert method.params.__struct_config__.forbid_unknown_fields
    with pytest.raises(msgspec.ValidationError, match="unknown field"):
        msgspec.convert({**method.example, "surprise": 1}, method.params)


@methods
def test_new_parameters_can_only_be_optional_after_the_example(method: Method[Any, Any]) -> None:
    """Required parameters are exactly those the example cannot do without."""
    for field in msgspec.structs.fields(method.params):
        without = {key: value for key, value in method.example.items() if key != field.encode_name}
        if field.required:
            with pytest.raises(msgspec.ValidationError, match="missing required field"):
                msgspec.convert(without, method.params)


@methods
def test_no_parameter_says_who_asks_or_who_is_paid(method: Method[Any, Any]) -> None:
    names = {field.encode_name for field in msgspec.structs.fields(method.params)}
    assert not names & {"user", "user_id", "app_id", "payee", "merchant"}


@methods
def test_the_capability_is_one(method: Method[Any, Any]) -> None:
    assert method.capability is None or method.capability in CAPABILITIES


@methods
def test_errors_are_its_own_and_listed_once(method: Method[Any, Any]) -> None:
    assert len(set(method.errors)) == len(method.errors)
    assert all(isinstance(code, ErrorCode) for code in method.errors)
    assert ErrorCode.INTERNAL not in method.errors
    assert ErrorCode.UNKNOWN_METHOD not in method.errors


@methods
def test_the_summary_is_one_sentence(method: Method[Any, Any]) -> None:
    assert re.fullmatch(r"[A-Z][^\n]{10,200}\.", method.summary)


async def test_what_is_built_is_what_is_declared() -> None:
    async with open_store(None, VirtualClock()) as store, trio.open_nursery() as nursery:
        _, bound = broker_over(store, nursery)
        assert {name: b.method for name, b in bound.items()} == {method.name: method for method in services.METHODS}
        for name, b in bound.items():
            assert inspect.iscoroutinefunction(b.run) == b.method.waits, name


@methods
async def test_the_example_is_answered_as_declared(
    method: Method[Any, Any], autojump_clock: trio.testing.MockClock
) -> None:
    """With a result that has every field of the declaration, or an error the method lists."""
    async with open_store(None, VirtualClock()) as store, trio.open_nursery() as nursery:
        broker, _ = broker_over(store, nursery)
        answer = broker.open(make_session()).answer(wire.request(1, method.name, method.example))
        response = answer if isinstance(answer, bytes) or answer is None else await answer
        assert response is not None
        error, result = wire.parse_response(response, 1 << 18, 1)
        if error is None:
            assert set(result) == {field.encode_name for field in msgspec.structs.fields(method.result)}
        else:
            assert ErrorCode[error["code"].upper()] in {*method.errors, *EVERY_METHOD - {ErrorCode.INTERNAL}}
        nursery.cancel_scope.cancel()


@methods
async def test_nothing_is_allowed_without_a_grant(method: Method[Any, Any]) -> None:
    async with open_store(None, VirtualClock()) as store, trio.open_nursery() as nursery:
        broker, _ = broker_over(store, nursery)
        answer = broker.open(make_session(granted=())).answer(wire.request(1, method.name, method.example))
        if method.capability is None:
            assert isinstance(answer, bytes) or answer is not None
            if not isinstance(answer, bytes):
                answer.close()  # type: ignore[attr-defined]
        else:
            assert isinstance(answer, bytes)
            error, _ = wire.parse_response(answer, 4_096, 1)
            assert error is not None
            assert error["code"] == "capability_not_granted"
