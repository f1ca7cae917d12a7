"""What came of a run: lines for a console, JSON, and JUnit for whoever collects that."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any
from xml.etree import ElementTree

import msgspec

from .verdict import Outcome, Verdict

NAMED_MOST = 5
"""Cases that are not judged for one reason are named where they are so few; the JSON and the page name all."""


def score(verdicts: Iterable[Verdict]) -> dict[str, Counter[str]]:
    """Section → outcome → how many, and under `MUST` and `SHOULD` the sums by level."""
    table: dict[str, Counter[str]] = {}
    every = list(verdicts)
    for row, one in [*((one.section, one) for one in every), *((one.level, one) for one in every)]:
        table.setdefault(row, Counter())[one.outcome] += 1
    return table


def not_judged(verdicts: Iterable[Verdict]) -> dict[str, list[str]]:
    """Why → the cases that were left out for it; what left most out comes first."""
    found: dict[str, list[str]] = {}
    for one in verdicts:
        if one.outcome is Outcome.SKIPPED:
            found.setdefault(one.reason, []).append(one.id)
    return dict(sorted(found.items(), key=lambda entry: -len(entry[1])))


def lines(verdicts: Sequence[Verdict], stale: Sequence[str]) -> Iterable[str]:
    """First what is wrong, then what was not judged and why, then the card."""
    for one in verdicts:
        if not one.outcome.is_good:
            yield f"{one.outcome.upper()}  {one.id}: {one.about}"
            yield f"    {one.reason}"
    for pattern in stale:
        yield f"STALE  the expectation {pattern!r} fits no case"
    for reason, ids in not_judged(verdicts).items():
        which = f" ({', '.join(ids)})" if len(ids) <= NAMED_MOST else ""
        yield f"NOT JUDGED  {len(ids)} {'case' if len(ids) == 1 else 'cases'}: {reason}{which}"
    table = score(verdicts)
    yield f"{'section':<10}{'passed':>8}{'failed':>8}{'skipped':>9}{'expected':>10}"
    for row, counts in table.items():
        bad = counts[Outcome.FAILED] + counts[Outcome.BROKEN] + counts[Outcome.PASSED_UNEXPECTEDLY]
        expected = counts[Outcome.FAILED_AS_EXPECTED]
        yield f"{row:<10}{counts[Outcome.PASSED]:>8}{bad:>8}{counts[Outcome.SKIPPED]:>9}{expected:>10}"


def as_json(verdicts: Sequence[Verdict], target: str, seconds: float) -> bytes:
    told: dict[str, Any] = {
        "target": target, "seconds": round(seconds, 1), "machine": platform.platform(),
        "score": {row: dict(counts) for row, counts in score(verdicts).items()}, "cases": verdicts,
    }  # fmt: skip
    return msgspec.json.format(msgspec.json.encode(told), indent=1) + b"\n"


def as_junit(verdicts: Sequence[Verdict]) -> bytes:
    root = ElementTree.Element("testsuite", name="hostel conformance", tests=str(len(verdicts)))
    for one in verdicts:
        case = ElementTree.SubElement(
            root, "testcase", classname=f"protocol.{one.section}", name=one.id, time=f"{one.seconds:.3f}"
        )
        if one.outcome in (Outcome.SKIPPED, Outcome.FAILED_AS_EXPECTED):
            ElementTree.SubElement(case, "skipped", message=one.reason)
        elif not one.outcome.is_good:
            failure = ElementTree.SubElement(case, "failure", message=one.reason)
            failure.text = msgspec.json.format(msgspec.json.encode(one.steps), indent=1).decode()
    ElementTree.indent(root)
    return bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True))
