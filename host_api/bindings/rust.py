"""The host API for Rust: a struct for each method, that can be called, and one for what it answers.

What lives here: how Rust spells the model. The macros that the file is written in are in host_api/guest/rust/typed.rs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from host_api.bindings.model import Api, Field, Method, Struct, Type

_HEAD: Final = """\
//! The methods of the host API, each a struct with its parameters: fill it in, then `call` it.
//!
//! Written by `python docs/generate.py` from the host's schema: a change here is lost. A parameter that is an `Option`
//! may be left out; a field of an answer that is one may be nil. `typed` tells what the macros make.

use crate::host::ask;
use crate::typed::{put, Field, Fields, Param, Record};
use crate::{post, HostError, Ticket, Value};

/// The level of the host API that these were written from; `session::Info` tells the host's own.
pub const API_LEVEL: i64 = %d;
"""
_HELD: Final[Mapping[str, str]] = {
    "text": "String", "choice": "String", "integer": "i64", "number": "f64", "boolean": "bool", "bytes": "Vec<u8>",
    "any": "Value",
}  # fmt: skip
_SENT: Final[Mapping[str, str]] = {**_HELD, "text": "&'a str", "bytes": "&'a [u8]", "map": "Value"}
_BOTH_WAYS: Final = "Money"
"""The one struct that is sent, too."""
_COLUMNS: Final = 116
"""Of a comment, before its mark and indentation."""

_Choices = Mapping[tuple[str, str], str]
"""(Method, parameter) → the name of its enum."""


def write(api: Api) -> str:
    """The whole of api.rs."""
    shared = [_answer(_told(api, struct), struct.name) for struct in api.structs if "." not in struct.name]
    services = dict.fromkeys(method.name.partition(".")[0] for method in api.methods)
    methods = [replace(method, result=_told(api, method.result)) for method in api.methods]
    modules = [_module(service, [m for m in methods if m.name.startswith(f"{service}.")]) for service in services]
    return "\n".join([_HEAD % api.level, _codes(api), *shared, _money(), *modules])


def _told(api: Api, struct: Struct) -> Struct:
    """With a meaning, also where the schema gives none: which methods answer it."""
    methods = ", ".join(f"`{method.name}`" for method in api.methods if method.result is struct)
    return struct if struct.meaning else replace(struct, meaning=f"The answer of {methods}")


def _codes(api: Api) -> str:
    lines = ["/// The codes of the host's errors, for `HostError::is`.", "pub mod codes {"]
    for code, told in api.errors.items():
        lines += [f"    /// {_sentence(told['cure'])}", f'    pub const {code.upper()}: &str = "{code}";']
    return "\n".join([*lines, "}", ""])


def _money() -> str:
    return "\n".join([
        f"impl Param for {_BOTH_WAYS} {{",
        "    fn sent(self) -> Option<Value> {",
        '        Some(crate::map! { "amount" => self.amount, "currency" => self.currency })',
        "    }",
        "}",
        "",
    ])  # fmt: skip


def _module(service: str, methods: Sequence[Method]) -> str:
    """All of a service."""
    parts, names = _choices(methods)
    for method in methods:
        parts.append(_method(method, names))
        if method.result.fields and "." in method.result.name:
            parts.append(_answer(method.result, _result(method)))
    body = "\n".join(f"    {line}" if line else "" for line in "\n".join(parts).rstrip().split("\n"))
    return f"/// The methods `{service}.*`.\npub mod {service} {{\n    use super::*;\n\n{body}\n}}\n"


def _choices(methods: Sequence[Method]) -> tuple[list[str], _Choices]:
    """The enums of the parameters that are a choice, or a list of them, and which is whose: one for equal ones; with
    the method's name before it where two parameters of one name differ, or a method has that name."""
    taken = {_pascal(method.name.partition(".")[2]) for method in methods}
    found = {
        (method.name, field.name): (type.choices, field.default)
        for method in methods
        for field in method.params.fields
        for type in [_inner(field.type) if field.type.kind == "list" else field.type]
        if type.kind == "choice"
    }
    names, written = {}, {}
    for (method, name), (choices, default) in found.items():
        alike = {other for (_, other_name), (other, _) in found.items() if other_name == name}
        bare = _pascal(name.removesuffix("s"))
        clear = len(alike) == 1 and bare not in taken
        names[method, name] = bare if clear else _pascal(method.partition(".")[2]) + bare
        written[names[method, name]] = _choice(names[method, name], choices, default or choices[0])
    return list(written.values()), names


def _choice(name: str, choices: Sequence[str], default: str) -> str:
    lines = ["choice! {", f"    /// One of {', '.join(f'`{choice}`' for choice in choices)}.", f"    {name} {{"]
    for choice in choices:
        lines += ["        #[default]"] if choice == default else []
        lines += [f'        {_pascal(choice)} = "{choice}",']
    return "\n".join([*lines, "    }", "}", ""])


def _method(method: Method, choices: _Choices) -> str:
    name = _pascal(method.name.partition(".")[2])
    types = {field.name: _sent(field, choices.get((method.name, field.name))) for field in method.params.fields}
    life = "<'a>" if any("'a" in type for type in types.values()) else ""
    lines = ["method! {", f"    /// {_sentence(method.summary)}"]
    lines += ["    ///", f"    /// Needs the capability `{method.capability}`."] if method.capability else []
    head = f'    "{method.name}": {name}{life} -> {_result(method)}'
    if not types:
        return "\n".join([*lines, head, "}", ""])
    lines += [f"{head} {{"]
    for field in method.params.fields:
        default = (
            "" if field.required or field.default in (None, "", {}) else f" Left out: {json.dumps(field.default)}."
        )
        lines += _comment(_meaning(field) + default)
        lines += [f"        {field.name}: {types[field.name]},"]
    return "\n".join([*lines, "    }", "}", ""])


def _result(method: Method) -> str:
    """The type of what it answers."""
    if not method.result.fields:
        return "()"
    return f"{_pascal(method.name.partition('.')[2])}Result" if "." in method.result.name else method.result.name


def _sent(field: Field, choice: str | None) -> str:
    """The type of a parameter."""
    kind, inner = field.type.kind, _inner(field.type)
    if kind == "list":
        type = f"&'a [{choice or _SENT[inner.kind]}]"
    elif kind == "map" and inner.kind == "text":
        type = "&'a [(&'a str, &'a str)]"
    elif kind == "struct":
        type = f"crate::{field.type.struct}"
    else:
        type = choice or _SENT[kind]
    return type if field.required else f"Option<{type}>"


def _answer(struct: Struct, name: str) -> str:
    lines = ["answer! {", f"    /// {_sentence(struct.meaning)}", f"    {name} {{"]
    for field in struct.fields:
        type = _held(field.type)
        maybe = field.type.nullable or not field.required
        lines += [*_comment(_meaning(field)), f"        {field.name}: {f'Option<{type}>' if maybe else type},"]
    return "\n".join([*lines, "    }", "}", ""])


def _held(type: Type) -> str:
    """The type of a field of an answer, nil left aside."""
    inner = _inner(type)
    if type.kind == "struct":
        return f"crate::{type.struct}"  # a method of the module may have the same name
    if type.kind == "list":
        return f"Vec<{_held(inner)}>"
    if type.kind == "map" and inner.kind != "any":
        return f"Vec<(String, {f'Option<{_held(inner)}>' if inner.nullable else _held(inner)})>"
    return _HELD["any" if type.kind == "map" else type.kind]


def _inner(type: Type) -> Type:
    return type.inner if type.inner is not None else Type(kind="any")


def _meaning(field: Field) -> str:
    return _sentence(field.meaning or field.name) + (f" ({field.bounds})" if field.bounds else "")


def _comment(text: str) -> Iterator[str]:
    """A field's, in lines that a screen holds."""
    line = ""
    for word in text.split():
        if line and len(line) + len(word) >= _COLUMNS - 12:
            yield f"        /// {line}"
            line = ""
        line = f"{line} {word}" if line else word
    yield f"        /// {line}"


def _sentence(text: str) -> str:
    """One line, as rustdoc takes it."""
    line = " ".join(text.split()).replace("[", "\\[").replace("<", "\\<").removesuffix(".")
    return f"{line}."


def _pascal(name: str) -> str:
    return "".join(part[:1].upper() + (part[1:].lower() if part.isupper() else part[1:]) for part in name.split("_"))
