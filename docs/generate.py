"""Writes what the documents take from the code; `--check` only says what is stale.

    python docs/generate.py [--check]

- host_api/api.schema.json: the JSON Schema of the host API, which the wheel carries too;
- docs/reference.md: a page of it;
- docs/refused.md: every code that hostel says no with, why, and what to do;
- docs/control.schema.json and docs/control.md: the same of the control protocol;
- the typed bindings of every language (host_api/bindings), beside its SDK;
- host_api/guest/vectors.json, which the codec of every SDK is held to;
- docs/protocol.md: its tables, each between `<!-- generated: name -->` and `<!-- /generated -->`; the text around them
  is written by hand.

What lives here: which files there are, and how a declaration becomes rows of the protocol. What an ending means stands
here, as no code says it in a sentence.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from docs.codec_vectors import vectors_file  # noqa: E402
from docs.control_page import control_page  # noqa: E402
from docs.reference_page import link, reference_page, table  # noqa: E402
from docs.refused_page import refused_page  # noqa: E402
from host_api import bindings, schema  # noqa: E402
from host_api.bindings import model  # noqa: E402
from host_api.capability import CAPABILITIES  # noqa: E402
from host_api.errors import ErrorCode  # noqa: E402
from host_api.field_docs import field_docs  # noqa: E402
from host_api.services import METHODS  # noqa: E402
from host_api.session import API_LEVEL  # noqa: E402
from runtime import errors, wire  # noqa: E402
from runtime.control import frames  # noqa: E402
from runtime.control import schema as control_schema  # noqa: E402
from runtime.control.methods import BY_NAME  # noqa: E402
from runtime.control.methods import METHODS as CONTROL_METHODS  # noqa: E402
from runtime.daemon.config_text import example  # noqa: E402
from runtime.errors import CALL_ERRORS, CallEnded, Ending, HostelError  # noqa: E402
from runtime.limits import CompileLimits, DeveloperLimits, Limits, ModuleCaps, specs  # noqa: E402

PROTOCOL: Final = ROOT / "docs/protocol.md"
REFERENCE: Final = ROOT / "docs/reference.md"
CONFIGURATION: Final = ROOT / "docs/hostel.toml"
CONTROL: Final = ROOT / "docs/control.md"
CONTROL_SCHEMA: Final = ROOT / "docs/control.schema.json"
REFUSED: Final = ROOT / "docs/refused.md"
SCHEMA: Final = ROOT / "host_api" / "api.schema.json"
VECTORS: Final = ROOT / "host_api" / "guest" / "vectors.json"
_BLOCK: Final = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- /generated -->)", re.DOTALL)

_WHEN: Final = {
    Ending.COMPLETED: "the guest answered with a result, or took a notification",
    Ending.FAILED: "the guest answered with an error, or had no room for the message",
    Ending.EXITED: "the guest called `proc_exit`",
    Ending.TRAPPED: "the guest trapped: unreachable code, an access outside its memory, a stack that ran out",
    Ending.CPU_EXCEEDED: "over `cpu_us`",
    Ending.FUEL_EXHAUSTED: "its instructions were over `fuel`",
    Ending.DEADLINE_EXCEEDED: "over `wall_ms`",
    Ending.PROTOCOL_VIOLATION: "the guest broke a sentence of §4 that says so",
    Ending.CANCELLED: "the host closed or was drained; a caller who cancels sees its own cancellation",
    Ending.REVOKED: "the program was uninstalled, or the user erased, while it ran",
    Ending.WORKER_LOST: "the worker that ran it was killed: it died, hung, or took too much memory",
    Ending.INTERNAL: "a fault of the host; `details.incident` finds it in the log",
}


def _number(value: int) -> str:
    return f"{value:,}"


def _range(least: int, most: int) -> str:
    """Bounds of a limit; 2^53 is where whole numbers end for many encoders, not a bound anybody chose."""
    return f"≥ {_number(least)}" if most == 2**53 else f"{_number(least)} – {_number(most)}"


def _yes(value: bool) -> str:
    return "yes" if value else "no"


# ---- errors and endings ----------------------------------------------------------------------------------------------
def api_errors() -> str:
    """The codes that a guest is answered, in the order of their precedence."""
    rows = ((f"`{code.code}`", code.number, _yes(code.retryable), code.cure) for code in ErrorCode)
    answered = {code for method in METHODS for code in method.errors}
    answered |= {*schema.OF_EVERY_METHOD, *schema.WITH_CAPABILITY}
    reserved = [f"`{code.code}`" for code in ErrorCode if code not in answered]
    told = f"\nReserved, answered by no method yet: {', '.join(reserved)}.\n" if reserved else ""
    return table("code | number | retryable | cure", rows) + told


def endings() -> str:
    """Each ending, and the error of the library that stands for it."""

    def row(ending: Ending) -> tuple[object, ...]:
        error = CALL_ERRORS.get(ending)
        if error is None:
            return f"`{ending}`", "–", 0, "no", _WHEN[ending]
        return f"`{ending}`", f"`{error.__name__}`", error.exit_code, _yes(error.retryable), _WHEN[ending]

    return table("ending | error | exit code | retryable | when", map(row, Ending))


def library_errors() -> str:
    """The errors of the library that are no ending."""
    found = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, HostelError)]
    found = [kind for kind in found if not issubclass(kind, CallEnded) and kind is not HostelError]
    found.sort(key=lambda kind: (kind.exit_code, inspect.getsourcelines(kind)[1]))
    return table(
        "error | code, where none is named below | exit code | retryable",
        ((f"`{kind.__name__}`", f"`{kind.code}`", kind.exit_code, _yes(kind.retryable)) for kind in found),
    )


# ---- limits ----------------------------------------------------------------------------------------------------------
def _limits(kind: type) -> str:
    default = kind()
    rows = (
        (
            f"`{name}`", _number(getattr(default, name)), spec.unit, _range(spec.least, spec.most), spec.scope,
            f"`{spec.error}`" if spec.error else "–", spec.text,
        )
        for name, spec in specs(kind).items()
    )  # fmt: skip
    return table("limit | default | unit | bounds | scope | over it | what", rows)


# ---- methods ---------------------------------------------------------------------------------------------------------
def methods() -> str:
    """Which there are; what each takes and gives is the schema's."""
    rows = (
        (
            link(method.name, "reference.md"), f"`{method.capability}`" if method.capability else "–",
            "waits" if method.waits else "at once", method.summary,
        )
        for method in METHODS
    )  # fmt: skip
    return table("method | capability | answers | what it does", rows)


def capabilities() -> str:
    """What may be granted, how far, and for which methods."""

    common = set.intersection(*(set(taken.items()) for taken in CAPABILITIES.values()))

    def row(name: str) -> tuple[object, ...]:
        own = [f"`{constraint}`: {told}" for constraint, told in CAPABILITIES[name].items()
               if (constraint, told) not in common]  # fmt: skip
        return f"`{name}`", ", ".join(f"`{m.name}`" for m in METHODS if m.capability == name), "; ".join(own)

    shared = "; ".join(f"`{constraint}`: {told}" for constraint, told in sorted(common))
    return table("capability | needed by | constraints", map(row, CAPABILITIES)) + f"\nAll of them take {shared}.\n"


def exchange() -> str:
    """One request and its response, byte for byte."""
    method = next(method for method in METHODS if method.name == "storage.put")
    parts: list[tuple[str, object, str]] = [
        ("94", "", "request: an array of 4"), ("", 0, "kind"), ("", 1, "msgid"), ("", method.name, f'"{method.name}"'),
        ("", method.example, _json(method.example)), ("94", "", "response: an array of 4"), ("", 1, "kind"),
        ("", 1, "msgid"), ("", None, "no error"), ("", method.answer, _json(method.answer)),
    ]  # fmt: skip
    lines = [(head or wire.encode(value).hex(), told) for head, value, told in parts]
    said = bytes.fromhex("".join(code for code, _ in lines))
    if said != wire.request(1, method.name, method.example) + wire.response(1, dict(method.answer)):
        raise ValueError("the parts are not the messages")
    return "```\n" + "".join(f"{code}  {told}\n" for code, told in lines) + "```\n"


def control_exchange() -> str:
    """One exchange of the control protocol, byte for byte: what a client sends and what it is sent."""
    method = BY_NAME["ping"]
    requests = ((1, "hello", {"client": "example 1"}), (2, method.name, {"$deadline_ms": 1000}))
    lines = []
    for msgid, name, params in requests:
        sent = frames.frame(wire.request(msgid, name, params))
        lines.append(f"{sent[:4].hex()} {sent[4:].hex()}  → [0, {msgid}, {_json(name)}, {_json(params)}]")
    for msgid, result in ((1, BY_NAME["hello"].answer), (2, method.answer)):
        sent = frames.frame(wire.response(msgid, dict(result)))
        lines.append(f"{sent[:4].hex()} {sent[4:].hex()}  ← [1, {msgid}, nil, {_json(result)}]")
    return "```\n" + "\n".join(lines) + "\n```\n"


def control_methods() -> str:
    """Which there are, and for whom."""
    rows = (
        (link(m.name, "control.md"), m.role or "every", "streams" if m.stream else "", m.summary)
        for m in CONTROL_METHODS
    )
    return table("method | role | | what it does", rows)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


# ---- the file --------------------------------------------------------------------------------------------------------
TABLES: Final[dict[str, Callable[[], str]]] = {
    "api_errors": api_errors,
    "endings": endings,
    "library_errors": library_errors,
    "methods": methods,
    "capabilities": capabilities,
    "exchange": exchange,
    "control_exchange": control_exchange,
    "control_methods": control_methods,
    "limits": lambda: _limits(Limits),
    "module_caps": lambda: _limits(ModuleCaps),
    "compile_limits": lambda: _limits(CompileLimits),
    "developer_limits": lambda: _limits(DeveloperLimits),
}


def generated(text: str) -> str:
    """The text with every table as the code says it. Raises KeyError for a name there is no table of."""
    return _BLOCK.sub(lambda found: f"{found[1]}\n{TABLES[found[2]]()}\n{found[3]}", text)


def documents() -> dict[Path, bytes]:
    """Every generated file as the code says it."""
    control = control_schema.document(CONTROL_METHODS, field_docs=field_docs)
    document = schema.document(METHODS, api_level=API_LEVEL, field_docs=field_docs)
    api = model.read(document)
    return {
        SCHEMA: schema.encoded(document),
        REFERENCE: reference_page(document).encode(),
        REFUSED: refused_page().encode(),
        CONTROL_SCHEMA: schema.encoded(control),
        CONTROL: control_page(control).encode(),
        PROTOCOL: generated(PROTOCOL.read_text(encoding="utf-8")).encode(),
        CONFIGURATION: example().encode(),
        VECTORS: vectors_file(),
        **{ROOT / language.path: language.write(api).encode() for language in bindings.LANGUAGES.values()},
    }


def main() -> int:
    stale = {path: data for path, data in documents().items() if not path.exists() or path.read_bytes() != data}
    if "--check" in sys.argv[1:]:
        for path in stale:
            print(f"{path.relative_to(ROOT)} is stale: run python docs/generate.py")
        return 1 if stale else 0
    for path, data in stale.items():
        path.write_bytes(data)
    return 0


if __name__ == "__main__":
    sys.exit(main())
