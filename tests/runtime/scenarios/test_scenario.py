"""Reading scenarios: what each key takes, and that whatever else is refused with its path and a cure."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from host_api.money import Money
from runtime.faults import Kind
from runtime.scenarios.reading import ScenarioError
from runtime.scenarios.scenario import Scenario, read
from runtime.scenarios.steps import AddFault, Advance, Balances, Call, Log
from tests.console import ROOT

CALL = {"call": "list"}


def scenario(*steps: Any, **head: Any) -> Scenario:
    return read(json.dumps({"about": "A test.", "steps": list(steps) or [CALL], **head}).encode(), "first.json")


def test_the_example_of_the_document_is_one() -> None:
    text = (ROOT / "docs/scenarios.md").read_text()
    example = text.partition("```json\n")[2].partition("```")[0]
    found = read(example.encode(), "example.json")
    assert found.seed == 7 and found.users["alice"].wallet == (Money(amount=20_000, currency="CNY"),)


def test_what_is_left_out() -> None:
    found = scenario()
    assert (found.name, found.seed, found.users, found.network) == ("first", 0, {}, ())
    assert found.clock_us == 1_795_420_800_000_000 and found.install.grant is None
    assert found.user("nobody").interactive and found.user("").locale == "en"


def test_steps_as_values() -> None:
    first, second, third, fourth, fifth = scenario(
        {"call": "a", "answers": ["confirm", "wait"], "expect": None, "say": "hello"},
        {"advance": "90s"},
        {"fault": {"kind": "slow", "method": "storage.put", "ms": 5}},
        {"balances": {"alice": [{"amount": 0, "currency": "CNY"}, {"amount": 5, "currency": "JPY"}]}},
        {"log": ["a"], "never": ["b"]},
    ).steps
    assert isinstance(first, Call) and (first.answers, first.expects, first.say) == (("confirm", "wait"), True, "hello")
    assert isinstance(second, Advance) and second.us == 90_000_000
    assert isinstance(third, AddFault) and (third.fault.kind, third.fault.ms) == (Kind.SLOW, 5)
    assert isinstance(fourth, Balances) and fourth.balances == {"alice": {"CNY": 0, "JPY": 5}}
    assert isinstance(fifth, Log) and (fifth.parts, fifth.never) == (("a",), ("b",))


WRONG_HEADS: list[tuple[dict[str, Any], str]] = [
    ({"abuot": "x"}, r"abuot: there is no such key; did you mean about\?"),
    ({"about": ""}, "about: 0 characters; from 1 to 300"),
    ({"clock": "yesterday"}, "clock: no time; write RFC 3339"),
    ({"clock": "2026-11-23T08:00:00+08:00"}, "clock: not in UTC; end it with Z"),
    ({"clock": "1999-11-23T08:00:00Z"}, "clock: the year 1999"),
    ({"seed": -1}, "seed: -1; write a number from 0"),
    ({"seed": True}, "seed: true or false, no whole number"),
    ({"steps": []}, "steps: no step"),
    ({"steps": {}}, "steps: an object, no list"),
    ({"install": {"grants": []}}, r"install\.grants: .*did you mean grant\?"),
    ({"install": {"grant": ["paymant"]}}, r"install\.grant: .*payment"),
    ({"install": {"grant": {"payment": {"amount": 5}}}}, r"install\.grant: .*amount_max"),
    ({"install": {"limits": {"cpu_ms": 1}}}, r"install\.limits\.cpu_ms: there is no such key; did you mean cpu_us\?"),
    ({"install": {"limits": {"cpu_us": "1"}}}, r"install\.limits\.cpu_us: a text, no whole number"),
    ({"users": {"a b": {}}}, r"users\['a b'\]: no name for a user"),
    ({"users": {"alice": {"wallet": {"amount": 0, "currency": "CNY"}}}}, r"users\.alice\.wallet\.amount: 0"),
    ({"users": {"alice": {"wallet": {"amount": 5, "currency": "cny"}}}}, r"users\.alice\.wallet: currency"),
    ({"users": {"alice": {"profile": {"phone": "123"}}}}, r"users\.alice\.profile\.phone: phone must be"),
    ({"network": [{"url": "http://a.example/"}]}, r"network\[0\]\.url: the URL must begin with https"),
    ({"network": [{"url": "https://a.example/", "fail": "down"}]}, r"known: unreachable, timeout"),
    ({"network": [{"url": "https://a.example/", "fail": "timeout", "status": 200}]}, "stands beside status"),
    ({"network": [{"url": "https://a.example/", "json": 1, "body": ""}]}, "stands beside json"),
    ({"network": [{"url": "https://a.example/", "headers": {"a": "b\r\nc: d"}}]}, "no header"),
    ({"programs": {"org.example.b": {"bundle": "/etc"}}}, "no path from the project's folder"),
]
WRONG_STEPS: list[tuple[Any, str]] = [
    (7, r"steps\[0\]: a number, no object"),
    ({}, "no step; write one of call"),
    ({"call": "a", "notify": "b"}, "call and notify in one step"),
    ({"call": ""}, r"steps\[0\]\.call: a method's name"),
    ({"call": "hostel.event"}, "the host's own"),
    ({"call": "a", "parms": {}}, r"steps\[0\]\.parms: there is no such key; did you mean params\?"),
    ({"call": "a", "params": []}, "params: a list, no object"),
    ({"call": "a", "answers": ["yes"]}, "known: confirm, decline, allow, refuse, wait"),
    ({"call": "a", "expect": 1, "expect_error": {"code": "b"}}, "stands beside expect"),
    ({"call": "a", "expect_error": {"details": {}}}, r"expect_error\.code: is missing"),
    ({"call": "a", "keep": {"b": "c"}}, "no JSON Pointer"),
    ({"call": "a", "keep": {"b c": "/c"}}, "is no name"),
    ({"call": "a", "params": {"b": "${later}"}}, "nothing was kept under the name later"),
    ({"advance": "2 days"}, 'no time to go on by; write "90s"'),
    ({"advance": "0s"}, "no time to go on by"),
    ({"restart": False}, "false; write true"),
    ({"fault": {"kind": "bussy", "method": "storage.get"}}, "no kind 'bussy'"),
    ({"fault": {"kind": "error", "method": "storage.put", "code": "declined"}}, "storage.put never answers declined"),
    ({"answer": "wait", "user": "a"}, "known: confirm, decline, allow, refuse"),
    ({"consent": {"user": "a", "revoke": ["phon"]}}, r"did you mean phone\?"),
    ({"consent": {"user": "a", "revoke": []}}, "nothing to take back"),
    ({"revoke": ["paymnt"]}, r"did you mean payment\?"),
    ({"balances": {"a": {"amount": -1, "currency": "CNY"}}}, r"balances\.a\.amount: -1"),
    ({"balances": {"a": {"amount": 1, "currency": "XXX"}}}, "no currency"),
    ({"notices": {"user": "a"}}, r"notices\.expect: is missing"),
    ({"log": [""]}, "0 characters"),
    ({"log": [], "newer": []}, r"did you mean never\?"),
]


@pytest.mark.parametrize(("head", "said"), WRONG_HEADS, ids=lambda value: str(value)[:40])
def test_a_head_that_is_wrong(head: dict[str, Any], said: str) -> None:
    with pytest.raises(ScenarioError, match=said) as refused:
        scenario(**head)
    assert refused.value.message.startswith("first.json: ") and refused.value.exit_code == 2


@pytest.mark.parametrize(("step", "said"), WRONG_STEPS, ids=lambda value: str(value)[:40])
def test_a_step_that_is_wrong(step: Any, said: str) -> None:
    with pytest.raises(ScenarioError, match=said):
        scenario(step)


def test_files_that_are_none() -> None:
    for data, said in (
        (b"\xff", "no JSON"),
        (b"{", "no JSON"),
        (b'{"about": "a", "about": "b"}', "the key 'about' is there twice"),
        (b'{"about": NaN}', "NaN is no number"),
        (b"[" * 100_000, "no JSON|levels"),
        (b'{"a":' * 40 + b"1" + b"}" * 40, "more than 32 levels"),
        (b" " * (1 << 20) + b"1", "at most 1048576"),
        (b"[]", "a list, no object"),
    ):
        with pytest.raises(ScenarioError, match=said):
            read(data, "first.json")


def test_too_much_of_anything() -> None:
    for head, said in (
        ({"steps": [CALL] * 1_001}, "1001 entries; at most 1000"),
        ({"users": {f"u{n}": {} for n in range(101)}}, "101 entries; at most 100"),
        ({"network": [{"url": "https://a.example/"}] * 201}, "201 entries; at most 200"),
        ({"programs": {f"p{n}": {"bundle": "b"} for n in range(9)}}, "9 entries; at most 8"),
    ):
        with pytest.raises(ScenarioError, match=said):
            scenario(**head)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
KEYS = ["about", "clock", "seed", "install", "programs", "users", "network", "steps"]
STEP_KEYS = ["say", "call", "user", "params", "answers", "expect", "expect_error", "receipt", "keep", "notify",
             "advance", "restart", "fault", "network", "consent", "grant", "revoke", "balances", "notices", "log",
             "never", "answer"]  # fmt: skip


@settings(max_examples=50, deadline=None)
@given(
    st.dictionaries(st.sampled_from(KEYS), json_values),
    st.lists(st.dictionaries(st.sampled_from(STEP_KEYS), json_values, max_size=3), max_size=3),
)
def test_whatever_stands_there_is_a_scenario_or_refused(head: dict[str, Any], steps: list[Any]) -> None:
    """And nothing else is raised; the message is one line that a terminal can show."""
    told = json.dumps({"about": "a", "steps": steps, **head}).encode()
    try:
        read(told, "first.json")
    except ScenarioError as refused:
        assert "\n" not in refused.message and refused.details["path"]


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_refused_with_a_path(data: bytes) -> None:
    with pytest.raises(ScenarioError):
        read(data, "first.json")
