"""The host API for Zig: one namespace a service, one struct for what a method takes and one for what it gives.

What lives here: how a type, a default and a name are spelled in Zig. What reads and writes them is values.zig.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Final

from host_api.bindings.model import Api, Field, Method, Struct, Type

_HEAD: Final = """\
//! The methods of the host, typed: `hostel.api.storage.get(call, .{ .key = "cart" })`.
//!
//! Generated from the declared methods by `python docs/generate.py` (host_api/bindings/zig.py). API level %d.
//! Fields that may be left out have their defaults here; of a result, fields that are not here are ignored.

const hostel = @import("hostel.zig");
const Bytes = hostel.Bytes;
const Call = hostel.Call;
const Error = hostel.Error;
const Map = hostel.Map;
const Raw = hostel.Raw;
"""
_WORDS: Final = {
    "text": "[]const u8", "choice": "[]const u8", "integer": "i64", "number": "f64", "boolean": "bool",
    "bytes": "Bytes", "any": "Raw",
}  # fmt: skip
_KEYWORDS: Final = frozenset({
    "align", "and", "const", "continue", "defer", "else", "enum", "error", "export", "extern", "fn", "for", "if",
    "inline", "null", "or", "packed", "pub", "resume", "return", "struct", "suspend", "switch", "test", "try",
    "union", "unreachable", "var", "void", "volatile", "while", "true", "false", "undefined", "type",
})  # fmt: skip
_COLUMNS: Final = 120


def write(api: Api) -> str:
    """The whole of api.zig."""
    of_methods = {struct.name for method in api.methods for struct in (method.params, method.result)}
    shared = [struct for struct in api.structs if struct.name not in of_methods or "." not in struct.name]
    lines = [_HEAD % api.level]
    for struct in shared:
        lines += [*_struct(struct, struct.name, ""), ""]
    for service, methods in groupby(api.methods, lambda method: method.name.partition(".")[0]):
        lines += [f"pub const {service} = struct {{", *_service(tuple(methods)), "};", ""]
    return "\n".join(lines)


def _service(methods: tuple[Method, ...]) -> Iterator[str]:
    for number, method in enumerate(methods):
        if number:
            yield ""
        yield from _method(method)


def _method(method: Method) -> Iterator[str]:
    name = method.name.partition(".")[2]
    for struct in (method.params, method.result):
        if struct.fields and "." in struct.name:
            yield from _struct(struct, _type_name(struct.name), "    ")
            yield ""
    result = _type_name(method.result.name) if method.result.fields else "void"
    takes = f", params: {_type_name(method.params.name)}" if method.params.fields else ""
    gives = "params" if method.params.fields else "Raw.empty_map"
    needs = f" Capability: {method.capability}." if method.capability else ""
    yield from _comment(f"{method.summary}{needs} Errors: {', '.join(method.errors)}.", "    ")
    yield f"    pub fn {_name(name)}(from: *Call{takes}) Error!{result} {{"
    yield f'        return from.ask({result}, "{method.name}", {gives});'
    yield "    }"


def _struct(struct: Struct, name: str, indent: str) -> Iterator[str]:
    yield from _comment(struct.meaning, indent)
    yield f"{indent}pub const {name} = struct {{"
    for field in struct.fields:
        yield from _comment(_told(field), f"{indent}    ")
        yield f"{indent}    {_name(field.name)}: {_type(field.type, params=_takes(struct))}{_default(field)},"
    yield f"{indent}}};"


def _takes(struct: Struct) -> bool:
    """A program writes it: a choice is then an enum. What the host answers may have a word more one day."""
    return struct.name.endswith(".params")


def _told(field: Field) -> str:
    choices = " · ".join(_choices(field.type))
    return " ".join(part for part in (field.meaning, f"One of {choices}." if choices else "", _bounds(field)) if part)


def _bounds(field: Field) -> str:
    return f"({field.bounds})" if field.bounds else ""


def _choices(kind: Type) -> tuple[str, ...]:
    return kind.choices or (_choices(kind.inner) if kind.inner else ())


def _type(kind: Type, *, params: bool) -> str:
    if kind.kind == "struct":
        told = kind.struct
    elif kind.kind == "choice" and params:
        told = f"enum {{ {', '.join(map(_name, kind.choices))} }}"
    elif kind.inner is not None and kind.kind == "list":
        told = f"[]const {_type(kind.inner, params=params)}"
    elif kind.inner is not None:
        told = "Raw" if kind.inner.kind == "any" else f"Map({_type(kind.inner, params=params)})"
    else:
        told = _WORDS[kind.kind]
    return f"?{told}" if kind.nullable and told != "Raw" else told


def _default(field: Field) -> str:
    """` = 900`; nothing where it must be given, or always is."""
    if field.required:
        return ""
    if field.default is None:
        return " = .nil" if _type(field.type, params=True) == "Raw" else " = null"
    match field.type.kind:
        case "choice":
            return f" = .{_name(str(field.default))}"
        case "text":
            return f' = "{field.default}"'
        case "integer" | "number":
            return f" = {field.default}"
        case "boolean":
            return f" = {str(field.default).lower()}"
        case "map" if _type(field.type, params=True) == "Raw":
            return " = .empty_map"
        case _:
            return " = .{}"


def _type_name(name: str) -> str:
    """CreateParams for payment.create.params; a word such as Money as it is."""
    parts = name.split(".")[1:] or [name]
    return "".join(part[:1].upper() + part[1:] for word in parts for part in word.split("_"))


def _name(name: str) -> str:
    return f'@"{name}"' if name in _KEYWORDS else name


def _comment(text: str, indent: str) -> Iterator[str]:
    """Doc comments, broken at the column where every file's lines end."""
    line = ""
    for word in text.split():
        if line and len(indent) + 4 + len(line) + 1 + len(word) > _COLUMNS:
            yield f"{indent}/// {line}"
            line = word
        else:
            line = f"{line} {word}".strip()
    if line:
        yield f"{indent}/// {line}"
