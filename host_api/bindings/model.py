"""The host API as typed languages see it: methods, structs and fields, read from the schema document that is shipped.

What lives here: the one model that every language's bindings are written from. How a language spells it is in the file
of that language; nothing here knows one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from host_api.reference import Document, bound_words, definition, general_errors

Kind = Literal["text", "integer", "number", "boolean", "bytes", "any", "list", "map", "struct", "choice"]
_KINDS: Final[dict[str, Kind]] = {"string": "text", "integer": "integer", "number": "number", "boolean": "boolean"}
_REFERENCE: Final = "#/$defs/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Type:
    """What a field holds."""

    kind: Kind
    nullable: bool = False
    """nil is a value of it."""
    inner: Type | None = None
    """Of a list's items or a map's values."""
    struct: str = ""
    """Which struct, where `kind` says so."""
    choices: tuple[str, ...] = ()
    """The texts that it may be, where `kind` is `choice`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field of a struct."""

    name: str
    type: Type
    required: bool
    """It must be given, or always is."""
    default: Any
    """What holds where it is left out; None where it is required."""
    meaning: str
    bounds: str
    """In words, "" for none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Struct:
    """A map with known keys. Named `payment.create.params`, `payment.create.result`, or with a word such as `Money`."""

    name: str
    meaning: str
    fields: tuple[Field, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """What a program may ask for."""

    name: str
    summary: str
    capability: str | None
    waits: bool
    params: Struct
    result: Struct
    errors: tuple[str, ...]
    """Codes that it answers, the general ones too, in the order of their precedence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """All of it, in the document's order."""

    level: int
    methods: tuple[Method, ...]
    structs: tuple[Struct, ...]
    """Each after those that it holds: a method's params and result, and what lies in them."""
    errors: Mapping[str, Mapping[str, Any]]
    """Code → its number, `retryable`, `message` and `cure`."""


def read(document: Document) -> Api:
    """The model of a schema document (host_api.reference.load)."""
    structs: dict[str, Struct] = {}
    methods = tuple(_method(document, name, structs) for name in document["x-methods"])
    return Api(
        level=document["x-api-level"], methods=methods, structs=tuple(structs.values()), errors=document["x-errors"]
    )


def _method(document: Document, name: str, structs: dict[str, Struct]) -> Method:
    told = document["x-methods"][name]
    answered = {*told["errors"], *general_errors(document, name)}
    return Method(
        name=name,
        summary=told["summary"],
        capability=told["capability"] or None,
        waits=told["waits"],
        params=_struct(document, f"{name}.params", told["params"], structs),
        result=_struct(document, f"{name}.result", told["result"], structs),
        errors=tuple(code for code in document["x-errors"] if code in answered),
    )


def _struct(document: Document, name: str, schema: Mapping[str, Any], structs: dict[str, Struct]) -> Struct:
    """With all that it holds put into `structs` before it."""
    name = schema.get("$ref", _REFERENCE + name).removeprefix(_REFERENCE)
    if name in structs:
        return structs[name]
    found = definition(document, schema)
    for held in _held(found):
        _struct(document, held["$ref"], held, structs)
    required = found.get("required", ())
    structs[name] = Struct(
        name=name,
        meaning=found.get("description", ""),
        fields=tuple(_field(field, at, at in required) for at, field in found.get("properties", {}).items()),
    )
    return structs[name]


def _held(schema: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The structs in the fields of one."""
    for field in schema.get("properties", {}).values():
        for part in (field, *field.get("anyOf", ())):
            for place in (part, part.get("items", {}), part.get("additionalProperties", {})):
                if isinstance(place, dict) and _names_struct(place):
                    yield place


def _names_struct(schema: Mapping[str, Any]) -> bool:
    return "$ref" in schema and not schema["$ref"].startswith(f"{_REFERENCE}wire.")


def _field(schema: Mapping[str, Any], name: str, required: bool) -> Field:
    return Field(
        name=name, type=_type(schema), required=required, default=schema.get("default"),
        meaning=schema.get("description", ""), bounds=bound_words(schema),
    )  # fmt: skip


def _type(schema: Mapping[str, Any], *, nullable: bool = False) -> Type:
    if "anyOf" in schema:
        (part,) = (one for one in schema["anyOf"] if one.get("type") != "null")
        return _type(part, nullable=True)
    if "enum" in schema:
        return Type(kind="choice", nullable=nullable, choices=tuple(schema["enum"]))
    if _names_struct(schema):
        return Type(kind="struct", nullable=nullable, struct=schema["$ref"].removeprefix(_REFERENCE))
    if "$ref" in schema:
        return Type(kind="bytes" if schema["$ref"].endswith("bytes") else "any", nullable=nullable)
    if schema["type"] == "array":
        return Type(kind="list", nullable=nullable, inner=_type(schema["items"]))
    if schema["type"] == "object":
        values = schema.get("additionalProperties")
        inner = _type(values) if isinstance(values, dict) else Type(kind="any")
        return Type(kind="map", nullable=nullable, inner=inner)
    return Type(kind=_KINDS[schema["type"]], nullable=nullable)
