"""The declarations: whole, true of the library, and fit for their documents."""

from __future__ import annotations

import inspect

import msgspec
import pytest

from runtime import Host, wire
from runtime.client import Client
from runtime.control.method import ControlMethod, Role, allows
from runtime.control.methods import BY_NAME, METHODS

WITHOUT_A_METHOD = {"open", "settings", "directory"}
"""Of `Host`: how it is made, and what it was made with."""


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_examples_are_what_the_types_say(method: ControlMethod) -> None:  # type: ignore[type-arg]
    params = msgspec.convert(method.example, method.params)
    assert msgspec.convert(wire.decode(wire.encode(params), 1 << 20), method.params) == params
    result = msgspec.convert(method.answer, method.result)
    assert wire.decode(wire.encode(result), 1 << 20).keys() == method.answer.keys()


def test_names_are_used_once() -> None:
    assert len(BY_NAME) == len(METHODS)
    assert all(1 <= len(name) <= wire.METHOD_CHARS_MAX for name in BY_NAME)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_what_changes_something_waits(method: ControlMethod) -> None:  # type: ignore[type-arg]
    assert method.waits or not (method.effect or method.stream)
    assert not method.keyed or method.effect
    assert {field.encode_name for field in msgspec.structs.fields(method.params)} >= {
        "$deadline_ms",
        "$trace",
        "$key",
        "$token",
    }


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("needed", [None, *Role])
def test_who_may_what(role: Role, needed: Role | None) -> None:
    assert allows(role, needed) is (needed is None or role is needed or role is Role.OPERATOR)


def public(kind: type) -> set[str]:
    return {name for name, _ in inspect.getmembers(kind) if not name.startswith("_")}


def test_every_operation_of_a_host_is_a_method_of_the_protocol() -> None:
    named = {name.partition(".")[0] for name in BY_NAME}
    operations = {name for name in public(Host) if callable(getattr(Host, name))} - WITHOUT_A_METHOD
    assert operations - named == UNREACHABLE


UNREACHABLE: set[str] = {
    "now_us", "survey", "follow_logs", "follow_receipts", "follow_events", "event_tail", "drain", "record_settings",
    "record_steering", "change_settings", "denials", "compiled", "begin_call", "call_with", "notify_with", "asset",
    "settle", "watch",
}  # fmt: skip
"""Of `Host`, by another name or not for clients: `ping`, `verify`, `logs`, `receipts.tail`, `events.tail`,
`host.drain`, `call`, over HTTP; the daemon's own, a rehearsal's, and of `hostel dev`."""


def test_the_client_has_the_methods_of_a_host() -> None:
    here, there = public(Client), public(Host)
    assert here - there == {"connect", "over", "ping"}
    for name in here & there:
        mine, its = (inspect.signature(getattr(kind, name)).parameters for kind in (Client, Host))
        assert [p for p in its if p not in mine] in ([], ["progress"]), name
