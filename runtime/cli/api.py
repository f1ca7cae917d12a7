"""`hostel api methods`, `show`, `schema` and `bindings`: the host API, looked up. Nothing here imports a service."""

from __future__ import annotations

import difflib
import json
import sys
from collections.abc import Sequence
from typing import Any

from host_api import reference
from host_api.bindings import LANGUAGES, model
from host_api.reference import Document, Row
from runtime.cli import report
from runtime.errors import UsageError


def methods(*, as_json: report.AsJson = False) -> None:
    """List the methods of the host API: what each does, and the capability it needs."""
    document = reference.load()
    told = [
        {"name": name, "capability": method["capability"], "waits": method["waits"], "summary": method["summary"]}
        for name, method in document["x-methods"].items()
    ]
    if as_json:
        report.show_json(told)
    else:
        report.show_table(
            ("method", "capability", "answers", "what it does"),
            [(m["name"], m["capability"] or "none", _answers(m["waits"]), m["summary"]) for m in told],
        )


def show(method: str, /, *, as_json: report.AsJson = False) -> None:
    """Show one method on a page: its parameters, result, errors, capability and an example.

    Parameters
    ----------
    method
        Such as payment.create; see hostel api methods.
    """
    document = reference.load()
    if method not in document["x-methods"]:
        near = difflib.get_close_matches(method[:64], document["x-methods"], n=1)
        hint = f"did you mean {near[0]}?" if near else "see hostel api methods"
        raise UsageError(f"no method {method[:64]!a}: {hint}")
    if as_json:
        report.show_json(_as_dict(document, method))
    else:
        _page(document, method)


def schema(*, as_json: report.AsJson = False) -> None:
    """Print the JSON Schema (draft 2020-12) of every message between a program and the host, with what a schema
    cannot say under x-methods, x-errors and x-capabilities."""
    sys.stdout.write(reference.shipped().decode())


def bindings(*, lang: str, as_json: report.AsJson = False) -> None:
    """Print the typed bindings of the host API for one language: the file that its SDK brings.

    Parameters
    ----------
    lang
        The language that a program is written in.
    """
    language = LANGUAGES.get(lang)
    if language is None:
        raise UsageError(f"no bindings for {lang[:64]!a}: there are {', '.join(LANGUAGES)}")
    text = language.write(model.read(reference.load()))
    if as_json:
        report.show_json({"lang": lang, "text": text})
    else:
        sys.stdout.write(text)


def _as_dict(document: Document, method: str) -> dict[str, Any]:
    """All there is to know of a method, with nothing left to look up."""
    told = document["x-methods"][method]
    return {
        "name": method,
        **told,
        "constraints": _constraints(document, told["capability"]),
        "params": [_row(row) for row in reference.rows(document, told["params"])],
        "result": [_row(row) for row in reference.rows(document, told["result"])],
        "errors": {code: _error(document, code) for code in _codes(document, method)},
    }


def _row(row: Row) -> dict[str, str]:
    return {"name": row.name, "type": row.type, "bounds": row.bounds, "default": row.default, "meaning": row.meaning}


def _error(document: Document, code: str) -> dict[str, Any]:
    return {name: value for name, value in document["x-errors"][code].items() if name != "answered_by"}


def _codes(document: Document, method: str) -> list[str]:
    """In the order of their precedence."""
    told = {*document["x-methods"][method]["errors"], *reference.general_errors(document, method)}
    return [code for code in document["x-errors"] if code in told]


def _constraints(document: Document, capability: str | None) -> dict[str, str]:
    return {} if capability is None else dict(document["x-capabilities"][capability]["constraints"])


def _answers(waits: bool) -> str:
    return "waits" if waits else "at once"


def _page(document: Document, method: str) -> None:
    told = document["x-methods"][method]
    report.show_line(f"{method} ({_answers(told['waits'])}): {told['summary']}")
    report.show_line(f"Needs {'the capability ' + told['capability'] if told['capability'] else 'no capability'}.")
    if constraints := _constraints(document, told["capability"]):
        report.show_table(("constraint of a grant", "meaning"), constraints.items())
    _fields("parameter", reference.rows(document, told["params"]), "refused")
    _fields("result", reference.rows(document, told["result"]), "")
    errors = [(code, document["x-errors"][code]) for code in _codes(document, method)]
    report.show_table(
        ("error", "try again", "what to do"),
        [(code, "yes" if error["retryable"] else "no", error["cure"]) for code, error in errors],
    )
    report.show_line(f"request   {json.dumps([0, 1, method, told['example']], ensure_ascii=False)}")
    report.show_line(f"response  {json.dumps([1, 1, None, told['answer']], ensure_ascii=False)}")


def _fields(what: str, rows: Sequence[Row], left_out: str) -> None:
    """A table of fields; `left_out` is what becomes of a request without a field that has no default."""
    if not rows:
        report.show_line(f"No {what}." if what == "parameter" else "The result is an empty map.")
    elif left_out:
        report.show_table(
            (what, "type", "bounds", "left out", "meaning"),
            [tuple(map(_plain, (r.name, r.type, r.bounds, r.default or left_out, r.meaning))) for r in rows],
        )
    else:
        report.show_table((what, "type", "meaning"), [tuple(map(_plain, (r.name, r.type, r.meaning))) for r in rows])


def _plain(text: str) -> str:
    """Without the marks that a page would set in another type."""
    return text.replace("`", "")
