"""What docs/protocol.md requires and what the cases ask, held against each other in both directions."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import UNSET

from tests.conformance.suite import case

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
MET_BY = {"payment_day_amount": "8.5/day-amount-one-over"}
"""Limits of §9.1 whose refusal names none, and which are met in another section."""

PROTOCOL = (ROOT / "docs/protocol.md").read_text(encoding="utf-8")
REQUIREMENTS = frozenset(re.findall(r"^- \*\*\[(P[\d.]+-\d+)\]\*\*", PROTOCOL, re.MULTILINE))
SECTIONS = frozenset(re.findall(r"^###? (\d+(?:\.\d+)?) ", PROTOCOL, re.MULTILINE))
NOT_BY_CASES: dict[str, str] = json.loads((HERE / "not_by_cases.json").read_text(encoding="utf-8"))
CASES = tuple(case.read_all(HERE / "cases"))


def codes() -> frozenset[str]:
    """Every code that a guest may be answered."""
    return frozenset(json.loads((ROOT / "docs/api.schema.json").read_text(encoding="utf-8"))["x-errors"])


def limits() -> frozenset[str]:
    """The limits of §9.1, from its table."""
    table = PROTOCOL.partition("### 9.1 ")[2].partition("### 9.2 ")[0]
    return frozenset(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE))


def expectations(one: case.Case) -> Iterator[Any]:
    for step in one.steps:
        for wanted in (step.expect, step.expect_items, step.expect_error):
            if wanted is not UNSET:
                yield wanted


def said_under(key: str, pattern: Any, inside: bool = False) -> Iterator[str]:
    """Every text that a pattern wants under that key, those of a `$one_of` too; a map counts its keys where it is said
    how often each came (`errors` of the guest probe)."""
    if isinstance(pattern, str) and inside:
        yield pattern
    elif isinstance(pattern, list):
        for item in pattern:
            yield from said_under(key, item, inside)
    elif isinstance(pattern, dict):
        for name, value in pattern.items():
            if name == "errors" and key == "code" and isinstance(value, dict):
                yield from value
            if name not in ("$not", "$absent"):
                yield from said_under(key, value, name == key or (inside and name == "$one_of"))


def wanted(key: str) -> frozenset[str]:
    return frozenset(text for one in CASES for pattern in expectations(one) for text in said_under(key, pattern))


def missing(names: Iterable[str], prefix: str = "") -> list[str]:
    return sorted(name for name in names if f"{prefix}{name}" not in NOT_BY_CASES)


def test_every_requirement_has_a_case_or_a_reason() -> None:
    covered = {requirement for one in CASES if one.level == "MUST" for requirement in one.must}
    assert missing(REQUIREMENTS - covered) == []


def test_no_requirement_has_both() -> None:
    covered = {requirement for one in CASES for requirement in one.must}
    assert sorted(covered & NOT_BY_CASES.keys()) == []


@pytest.mark.parametrize("one", CASES, ids=lambda one: one.id)
def test_a_case_names_requirements_that_exist(one: case.Case) -> None:
    assert {*one.must} <= REQUIREMENTS
    assert one.section in SECTIONS


def test_what_is_not_by_cases_exists_and_has_a_reason() -> None:
    known = REQUIREMENTS | {f"code:{code}" for code in codes()} | {f"limit:{limit}" for limit in limits()}
    assert sorted(NOT_BY_CASES.keys() - known) == []
    assert [name for name, why in NOT_BY_CASES.items() if len(why.split()) < 4] == []


def test_every_error_code_is_provoked() -> None:
    provoked = wanted("code")
    assert len(codes()) > 30
    assert missing(codes() - provoked, "code:") == []
    assert [code for code in provoked & codes() if f"code:{code}" in NOT_BY_CASES] == []


def test_every_limit_is_met() -> None:
    """It is told by a refusal, or a case that is named after it, or in MET_BY, gives a program another value of it."""
    met = wanted("limit") | {
        limit
        for one in CASES
        for program in one.programs.values()
        for limit in program.limits
        if one.id.startswith(f"9.1/{limit.replace('_', '-')}") or one.id == MET_BY.get(limit)
    }
    assert len(limits()) > 30
    assert missing(limits() - met, "limit:") == []
    assert [limit for limit in met & limits() if f"limit:{limit}" in NOT_BY_CASES] == []


@pytest.mark.parametrize(
    ("pattern", "texts"),
    [
        ({"error": {"code": "a"}}, {"a"}),
        ({"code": {"$one_of": ["a", "b"]}}, {"a", "b"}),
        ({"code": {"$not": "a"}}, set()),
        ([{"errors": {"a": 3}}, {"code": {"code": "b"}}], {"a", "b"}),
        ({"code": {"other": "a"}, "message": "b"}, set()),
    ],
)
def test_what_a_pattern_says(pattern: object, texts: set[str]) -> None:
    assert {*said_under("code", pattern)} == texts
