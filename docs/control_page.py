"""docs/control.md: every method of the control protocol, made of its schema document alone.

What lives here: Markdown of methods. What a field's type and bounds are called is host_api/reference.py's.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from docs.reference_page import table
from host_api.reference import Document, Row, rows

_TOP = """# Reference of the control protocol

Generated from the declared methods by `python docs/generate.py`. The same as data:
[control.schema.json](control.schema.json). How requests and answers travel, who may connect, and what errors there are:
[protocol.md §15](protocol.md#15-control-protocol). `runtime.Client` has each of these methods under its name.

Unknown parameters are refused; a client ignores fields of a result that it does not know. Every request may also have
`$deadline_ms`, `$trace` and `$token`, and `$key` where a method says so. Bytes are MessagePack bin, shown in JSON as
`{"$base64": text}`. Role: who may use it; operators may use all.

What stands below without a meaning means the same everywhere:

- `…_us` is a time in µs since 1970 where a moment is meant (`at_us`, `created_us`, `valid_until_us`; 0: never), else a
  length of time.
- `app`, `app_id` name a program, `code` is its version code, `release` the version's name.
- `user` is the host's own id of a user, `""` for nobody; `developer` a developer's id, and where it is asked for a name
  does too.
- Amounts are minor units of their currency.
- `limits` are those of [§9](protocol.md#9-limits) by name, `grants` capability → constraints
  ([reference.md](reference.md)).
- A receipt is told in [§10](protocol.md#10-receipts), `status`, `stage` and `share` of a release in
  [§17.3](protocol.md#173-the-ladder), what both keys of a rotation sign in
  [§17.1](protocol.md#171-developers-and-keys), the audit's `n` and `hash` in [§14](protocol.md#14-audit).
"""


def control_page(document: Document) -> str:
    """The whole page."""
    methods = document["x-methods"]
    overview = table(
        "method | role | changes something | what it does",
        (
            (f"[`{name}`](#{_anchor(name)})", told["role"] or "every", "yes" if told["effect"] else "no",
             told["summary"]) for name, told in methods.items()
        ),
    )  # fmt: skip
    return "\n".join([_TOP, overview, *(_method(document, name) for name in methods)])


def _anchor(name: str) -> str:
    return name.replace(".", "")


def _method(document: Document, name: str) -> str:
    told = document["x-methods"][name]
    lines = [f"## `{name}`", "", told["summary"], "", _facts(told), ""]
    lines += [_params(rows(document, told["params"])), _result("Result", rows(document, told["result"]))]
    if "items" in told:
        lines.append(_result("Items before it", rows(document, told["items"])))
    messages = ([0, 1, name, told["example"]], [1, 1, None, told["answer"]])
    lines += ["```json", *(json.dumps(message, ensure_ascii=False) for message in messages), "```", ""]
    return "\n".join(lines)


def _facts(told: Document) -> str:
    facts = [f"Role: {told['role'] or 'every'}.", "Changes something." if told["effect"] else "Changes nothing."]
    if told["keyed"]:
        facts.append("Takes `$key`: however often it is sent, it happens once.")
    if "items" in told:
        facts.append("Streams.")
    return " ".join(facts)


def _params(fields: Sequence[Row]) -> str:
    own = [field for field in fields if not field.name.startswith("$")]
    if not own:
        return "Parameters: none.\n"
    lines = ((f"`{f.name}`", f.type, f.bounds, f"`{f.default}`" if f.default else "refused", f.meaning) for f in own)
    return "Parameters:\n\n" + table("name | type | bounds | left out | meaning", lines)


def _result(what: str, fields: Sequence[Row]) -> str:
    if not fields:
        return f"{what}: an empty map.\n"
    lines = ((f"`{field.name}`", field.type, field.meaning) for field in fields)
    return f"{what}:\n\n" + table("name | type | meaning", lines)
