"""docs/reference.md: every method of the host API, made of the schema document alone.

What lives here: Markdown of methods. What a field's type and bounds are called is host_api/reference.py's.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from host_api.reference import Document, Row, general_errors, rows

_TOP = """# Reference of the host API

Generated from the declared methods by `python docs/generate.py`. The same as data: [api.schema.json](api.schema.json),
a JSON Schema (2020-12) of every message; in a terminal: `hostel api show METHOD`. Messages, bounds and error codes:
[protocol.md §5](protocol.md#5-wire-and-errors); what must hold of these methods: [§7](protocol.md#7-methods) and
[§8](protocol.md#8-payments).

API level {level}. Unknown parameters are refused; a guest ignores fields of a result that it does not know. A field
`amount.currency` stands inside of `amount`, `keys[].bytes` in each item of the list `keys`. Bytes are MessagePack bin,
shown in JSON as `{{"$base64": text}}`. "At once": the guest goes on without another call having had its turn.

Besides its own [errors]({codes}) every method may answer
{every}; one that needs a capability also
{with_capability}.
"""
_CODES = "protocol.md#53-codes-answered-to-guests"


def reference_page(document: Document) -> str:
    """The whole page."""
    methods = document["x-methods"]
    plain = next(name for name, told in methods.items() if not told["capability"])
    needing = next(name for name, told in methods.items() if told["capability"])
    every = general_errors(document, plain)
    beside = [code for code in general_errors(document, needing) if code not in every]
    level = document["x-api-level"]
    parts = [_TOP.format(level=level, codes=_CODES, every=_quoted(every), with_capability=_quoted(beside))]
    services: dict[str, list[str]] = {}
    for name in methods:
        services.setdefault(name.partition(".")[0], []).append(name)
    parts.append(" ·\n".join(", ".join(map(link, names)) for names in services.values()) + "\n")
    for service, names in services.items():
        parts.append(f"\n## {service}\n")
        parts += [_method(document, name) for name in names]
    return "\n".join(part.rstrip("\n") + "\n" for part in parts)


def link(method: str, page: str = "") -> str:
    """To a method's heading."""
    return f"[`{method}`]({page}#{method.replace('.', '')})"


def table(head: str, lines: Iterable[tuple[object, ...]]) -> str:
    """A Markdown table; `head` names the columns, with ` | ` between them."""
    columns = head.split(" | ")
    written = [head, " | ".join("---" for _ in columns), *(" | ".join(map(_cell, line)) for line in lines)]
    return "".join(f"| {line} |\n" for line in written)


def _cell(value: object) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _method(document: Document, name: str) -> str:
    told = document["x-methods"][name]
    waits = "Waits" if told["waits"] else "Answers at once"
    lines = [f"### `{name}`", "", told["summary"], "", f"{waits}. {_needs(document, told['capability'])}", ""]
    lines += [_params(rows(document, told["params"])), _result(rows(document, told["result"]))]
    if told["errors"]:
        lines += [f"[Errors]({_CODES}) of its own: {_quoted(told['errors'])}.", ""]
    messages = ([0, 1, name, told["example"]], [1, 1, None, told["answer"]])
    lines += ["```json", *(json.dumps(message, ensure_ascii=False) for message in messages), "```", ""]
    return "\n".join(lines)


def _needs(document: Document, capability: str | None) -> str:
    if capability is None:
        return "Needs no capability."
    taken = _quoted(document["x-capabilities"][capability]["constraints"])
    return f"Needs the [capability](protocol.md#6-order-of-checks) `{capability}`, with the constraints {taken}."


def _params(fields: Sequence[Row]) -> str:
    if not fields:
        return "Parameters: none.\n"
    lines = ((f"`{f.name}`", f.type, f.bounds, f"`{f.default}`" if f.default else "refused", f.meaning) for f in fields)
    return "Parameters:\n\n" + table("name | type | bounds | left out | meaning", lines)


def _result(fields: Sequence[Row]) -> str:
    if not fields:
        return "Result: an empty map.\n"
    lines = ((f"`{field.name}`", field.type, field.meaning) for field in fields)
    return "Result:\n\n" + table("name | type | meaning", lines)
