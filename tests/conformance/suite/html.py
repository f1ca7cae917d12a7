"""One page for a browser: the score card, and each case with what was sent, wanted and seen. It loads nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from typing import Any

from .report import not_judged, score
from .verdict import Outcome, StepTold, Verdict

JSON_CHARS, TEXT_CHARS = 4_000, 160
_STYLE = """
:root { color-scheme: light dark; --line: #8884; --good: #1a7f37; --bad: #cf222e; --odd: #9a6700; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 64rem; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; } td, th { padding: .25rem .6rem; text-align: right; }
td:first-child, th:first-child { text-align: left; }
ul { padding-left: 1.2rem; } tr { border-bottom: 1px solid var(--line); }
details { border-bottom: 1px solid var(--line); padding: .35rem 0; } summary { cursor: pointer; }
.good { color: var(--good); } .bad { color: var(--bad); font-weight: 600; } .odd { color: var(--odd); }
pre { background: #8881; padding: .6rem; overflow-x: auto; font-size: 13px; margin: .3rem 0; white-space: pre-wrap;
      overflow-wrap: anywhere; }
small { opacity: .75; } h2 { margin-top: 2rem; }
"""
_CLASS = {Outcome.PASSED: "good", Outcome.SKIPPED: "odd", Outcome.FAILED_AS_EXPECTED: "odd"}
_ALWAYS = (Outcome.PASSED, Outcome.FAILED, Outcome.SKIPPED)


def page(verdicts: Sequence[Verdict], target: str, seconds: float) -> str:
    """The whole document."""
    must = [one for one in verdicts if one.level == "MUST"]
    passed = sum(one.outcome is Outcome.PASSED for one in must)
    sections = dict.fromkeys(one.section for one in verdicts)
    left_out = "".join(
        f"<li>Not judged: {len(ids)} of {len(verdicts)}, {escape(reason)}</li>"
        for reason, ids in not_judged(verdicts).items()
    )
    wrong = "".join(
        f"<li><a href='#{escape(one.id)}'>{escape(one.id)}</a>: {escape(one.outcome)}</li>"
        for one in verdicts
        if not one.outcome.is_good
    )
    parts = [
        "<!doctype html><html lang='en'><meta charset='utf-8'><title>hostel conformance</title>",
        "<meta name='viewport' content='width=device-width, initial-scale=1'>",
        f"<style>{_STYLE}</style><h1>Conformance</h1>",
        f"<p><code>{escape(target)}</code><br>{passed} of {len(must)} cases of level MUST passed; "
        f"{len(verdicts)} cases in {seconds:.1f} s.</p>",
        f"<ul class='bad'>{wrong}</ul>" if wrong else "",
        f"<ul class='odd'>{left_out}</ul>" if left_out else "",
        _card(verdicts),
    ]
    for section in sections:
        parts.append(f"<h2 id='s{escape(section)}'>Section {escape(section)}</h2>")
        parts += [_case(one) for one in verdicts if one.section == section]
    return "".join(parts) + "</html>\n"


def _card(verdicts: Sequence[Verdict]) -> str:
    columns = [one for one in Outcome if one in _ALWAYS or any(each.outcome is one for each in verdicts)]
    head = "".join(f"<th>{escape(outcome)}</th>" for outcome in columns)
    rows = []
    for row, counts in score(verdicts).items():
        name = row if row.isupper() else f"<a href='#s{escape(row)}'>{escape(row)}</a>"
        cells = "".join(f"<td class='{_kind(o) if counts[o] else ''}'>{counts[o] or ''}</td>" for o in columns)
        rows.append(f"<tr><td>{name}</td>{cells}</tr>")
    return f"<table><tr><th>section</th>{head}</tr>{''.join(rows)}</table>"


def _kind(outcome: Outcome) -> str:
    return _CLASS.get(outcome, "bad")


def _case(one: Verdict) -> str:
    opened = "" if one.outcome.is_good else " open"
    reason = f"<p class='{_kind(one.outcome)}'>{escape(one.reason)}</p>" if one.reason else ""
    musts = f" <small>{escape(', '.join(one.must))}</small>" if one.must else ""
    return (
        f"<details id='{escape(one.id)}'{opened}>"
        f"<summary><span class='{_kind(one.outcome)}'>{escape(one.outcome)}</span> "
        f"<code>{escape(one.id)}</code>{musts}<br>{escape(one.about)}</summary>{reason}"
        f"{''.join(_step(step) for step in one.steps)}</details>"
    )


def _step(step: StepTold) -> str:
    said = f"<p>{escape(step.say)}</p>" if step.say else ""
    wrong = "".join(f"<p class='bad'>{escape(line)}</p>" for line in step.wrong)
    return f"{said}{_json('sent', step.sent)}{_json('wanted', step.wanted)}{_json('came', step.came)}{wrong}"


def _json(what: str, value: Any) -> str:
    text = json.dumps(_shortened(value), ensure_ascii=False, indent=1)
    cut = text if len(text) <= JSON_CHARS else f"{text[:JSON_CHARS]}\n… ({len(text)} characters)"
    return f"<small>{what}</small><pre>{escape(cut)}</pre>"


def _shortened(value: Any) -> Any:
    """The bytes of a bundle are thousands of characters in the middle of what is worth reading."""
    match value:
        case str() if len(value) > TEXT_CHARS:
            return f"{value[:TEXT_CHARS]}… ({len(value)} characters)"
        case dict():
            return {key: _shortened(one) for key, one in value.items()}
        case list() | tuple():
            return [_shortened(one) for one in value]
    return value
