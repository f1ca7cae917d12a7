"""What a run says of itself: what is wrong first, what was not judged and why, and a page that is fit to be read."""

from __future__ import annotations

from tests.conformance.suite import html, report
from tests.conformance.suite.verdict import Outcome, StepTold, Verdict

LONG = "UEsD" * 5_000


def verdict(name: str, outcome: Outcome, reason: str = "") -> Verdict:
    step = StepTold(say="", sent={"bundle": {"$bytes": LONG}, "then": [LONG]}, wanted={}, came={"result": "<b>"})
    return Verdict(
        id=f"9.9/{name}", section="9.9", level="MUST", about="A host does.", must=("P9.9-1",), outcome=outcome,
        reason=reason, steps=(step,), seconds=0.1,
    )  # fmt: skip


def test_few_that_were_not_judged_are_named_and_many_are_counted() -> None:
    few = [verdict("one", Outcome.SKIPPED, "no money here")]
    many = [verdict(f"case-{n}", Outcome.SKIPPED, "no clock here") for n in range(report.NAMED_MOST + 1)]
    said = [line for line in report.lines([*few, *many], []) if line.startswith("NOT JUDGED")]
    assert said == [
        f"NOT JUDGED  {len(many)} cases: no clock here",
        "NOT JUDGED  1 case: no money here (9.9/one)",
    ]


def test_the_page_begins_with_what_is_wrong_and_what_was_left_out() -> None:
    good, bad = verdict("good", Outcome.PASSED), verdict("bad", Outcome.FAILED)
    page = html.page([good, bad, verdict("left", Outcome.SKIPPED, "no < money")], "target", 1.0)
    head = page[: page.index("<table")]
    assert "<a href='#9.9/bad'>" in head and "9.9/good" not in head
    assert "<li>Not judged: 1 of 3, no &lt; money</li>" in head
    assert "<details id='9.9/bad' open>" in page and "<details id='9.9/good'>" in page
    assert "<th>broken</th>" not in page and "<th>failed</th>" in page


def test_long_bytes_do_not_hide_what_comes_after_them() -> None:
    page = html.page([verdict("good", Outcome.PASSED)], "target", 1.0)
    assert LONG not in page and page.count(f"{len(LONG)} characters") == 2
    assert "&quot;then&quot;" in page and "&lt;b&gt;" in page and "<b>" not in page
