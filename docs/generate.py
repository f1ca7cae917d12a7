"""Writes the tables of docs/protocol.md from the code they describe; `--check` only says whether one is stale.

    python docs/generate.py [--check]

What lives here: how a declaration becomes rows. A table stands between `<!-- generated: name -->` and
`<!-- /generated -->`; the text around it is written by hand. What an ending means stands here, as no code says it in a
sentence.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import msgspec.inspect as types

ROOT: Final = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from host_api.contract import Method  # noqa: E402
from host_api.errors import ErrorCode  # noqa: E402
from host_api.services import METHODS  # noqa: E402
from runtime import errors  # noqa: E402
from runtime.errors import CALL_ERRORS, CallEnded, Ending, HostelError  # noqa: E402
from runtime.limits import CompileLimits, Limits, ModuleCaps, specs  # noqa: E402

PROTOCOL: Final = ROOT / "docs/protocol.md"
_BLOCK: Final = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- /generated -->)", re.DOTALL)

_WHEN: Final = {
    Ending.COMPLETED: "the guest answered with a result, or took a notification",
    Ending.FAILED: "the guest answered with an error, or had no room for the message",
    Ending.EXITED: "the guest called `proc_exit`",
    Ending.TRAPPED: "the guest trapped: unreachable code, an access outside its memory, a stack that ran out",
    Ending.CPU_EXCEEDED: "over `cpu_us`",
    Ending.FUEL_EXHAUSTED: "reserved: there is no fuel yet",
    Ending.DEADLINE_EXCEEDED: "over `wall_ms`",
    Ending.PROTOCOL_VIOLATION: "the guest broke a sentence of §4 that says so",
    Ending.CANCELLED: "the host closed; a caller who cancels sees its own cancellation",
    Ending.REVOKED: "reserved: calls are not revoked yet",
    Ending.WORKER_LOST: "reserved: there are no workers yet",
    Ending.INTERNAL: "a fault of the host; `details.incident` finds it in the log",
}


def _table(head: str, rows: Iterator[tuple[object, ...]]) -> str:
    columns = head.split(" | ")
    lines = [head, " | ".join("---" for _ in columns), *(" | ".join(map(str, row)) for row in rows)]
    return "".join(f"| {line} |\n" for line in lines)


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
    return _table("code | number | retryable | cure", rows)


def endings() -> str:
    """Each ending, and the error of the library that stands for it."""

    def row(ending: Ending) -> tuple[object, ...]:
        error = CALL_ERRORS.get(ending)
        if error is None:
            return f"`{ending}`", "–", 0, "no", _WHEN[ending]
        return f"`{ending}`", f"`{error.__name__}`", error.exit_code, _yes(error.retryable), _WHEN[ending]

    return _table("ending | error | exit code | retryable | when", map(row, Ending))


def library_errors() -> str:
    """The errors of the library that are no ending."""
    found = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, HostelError)]
    found = [kind for kind in found if not issubclass(kind, CallEnded) and kind is not HostelError]
    found.sort(key=lambda kind: (kind.exit_code, inspect.getsourcelines(kind)[1]))
    return _table(
        "error | code, where none is named below | exit code | retryable",
        ((f"`{kind.__name__}`", f"`{kind.code}`", kind.exit_code, _yes(kind.retryable)) for kind in found),
    )


# ---- limits ----------------------------------------------------------------------------------------------------------
def _limits(table: type) -> str:
    default = table()
    rows = (
        (
            f"`{name}`", _number(getattr(default, name)), spec.unit, _range(spec.least, spec.most), spec.scope,
            f"`{spec.error}`" if spec.error else "–", spec.text,
        )
        for name, spec in specs(table).items()
    )  # fmt: skip
    return _table("limit | default | unit | bounds | scope | over it | what", rows)


# ---- methods ---------------------------------------------------------------------------------------------------------
def methods() -> str:
    return "\n".join(map(_method, METHODS))


def _method(method: Method[Any, Any]) -> str:
    needs = f"capability `{method.capability}`" if method.capability else "no capability"
    lines = [
        f"### `{method.name}`\n",
        f"{method.summary} Needs {needs}; {'waits' if method.waits else 'answers at once'}.",
    ]
    if method.errors:
        lines[-1] += f" Errors: {', '.join(f'`{code.code}`' for code in method.errors)}."
    for title, struct in (("Parameters", method.params), ("Result", method.result)):
        fields = msgspec.structs.fields(struct)
        lines.append(f"\n{title}: {_told(struct) if fields else 'none'}".rstrip())
        lines += [_field(field) for field in fields]
    return "\n".join(lines) + f"\n\nExample: `{msgspec.json.encode(method.example).decode()}`\n"


def _told(struct: type) -> str:
    return " ".join((struct.__dict__.get("__doc__") or "").split())


def _field(field: msgspec.structs.FieldInfo) -> str:
    told = _type(types.type_info(field.type))
    if not field.required:
        default = field.default
        told += ", optional" if default is None else f", default `{msgspec.json.encode(default).decode()}`"
    return f"- `{field.encode_name}`: {told}"


def _bounds(least: int | None, most: int | None, unit: str) -> str:
    if least is None and most is None:
        return ""
    if most is None:
        return f", at least {_number(least or 0)}{unit}"
    if least == most:
        return f", {_number(most)}{unit}"
    return f", {_number(least or 0)} – {_number(most)}{unit}"


def _type(kind: types.Type) -> str:
    match kind:
        case types.Metadata(extra_json_schema={"description": str(told)}):
            return f"text, {told}"
        case types.Metadata(type=inner):
            return _type(inner)
        case types.IntType(ge=least, le=most):
            return f"whole number{_bounds(least, most, '')}"
        case types.StrType(min_length=least, max_length=most):
            return f"text{_bounds(least, most, ' characters')}"
        case types.BoolType():
            return "boolean"
        case types.AnyType():
            return "any value"
        case types.NoneType():
            return "nil"
        case types.LiteralType(values=values):
            return "one of " + ", ".join(f"`{value}`" for value in sorted(map(str, values)))
        case types.UnionType(types=parts):
            return " or ".join(map(_type, sorted(parts, key=lambda part: isinstance(part, types.NoneType))))
        case types.ListType(item_type=item) | types.VarTupleType(item_type=item):
            return f"list of {_type(item)}"
        case types.DictType():
            return "map"
        case types.StructType(cls=cls, fields=fields):
            told = "; ".join(f"`{field.encode_name}`: {_type(field.type)}" for field in fields)
            return f"{cls.__name__} {{{told}}}"
        case _:
            raise TypeError(f"no words for {kind}")


# ---- the file --------------------------------------------------------------------------------------------------------
TABLES: Final[dict[str, Callable[[], str]]] = {
    "api_errors": api_errors,
    "endings": endings,
    "library_errors": library_errors,
    "methods": methods,
    "limits": lambda: _limits(Limits),
    "module_caps": lambda: _limits(ModuleCaps),
    "compile_limits": lambda: _limits(CompileLimits),
}


def generated(text: str) -> str:
    """The text with every table as the code says it. Raises KeyError for a name there is no table of."""
    return _BLOCK.sub(lambda found: f"{found[1]}\n{TABLES[found[2]]()}\n{found[3]}", text)


def main() -> int:
    written = PROTOCOL.read_text(encoding="utf-8")
    wanted = generated(written)
    if wanted == written:
        return 0
    if "--check" in sys.argv[1:]:
        print("docs/protocol.md is stale: run python docs/generate.py")
        return 1
    PROTOCOL.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
