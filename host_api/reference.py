"""The host API as a reader is told it: rows and words of the schema document (schema.py).

What lives here: reading the document that is shipped beside this file, and what stands in the tables of the reference
page and of `hostel api show`. Nothing here imports a service, so that looking something up is quick.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final

FILE: Final = "api.schema.json"
"""Written by docs/generate.py."""

Document = Mapping[str, Any]
_UNITS: Final = (
    ("minLength", "maxLength", " characters"),
    ("minItems", "maxItems", " entries"),
    ("minProperties", "maxProperties", " entries"),
    ("x-min-bytes", "x-max-bytes", " bytes"),
    ("minimum", "maximum", ""),
)
_WORDS: Final = {
    "string": "text", "integer": "whole number", "number": "number", "boolean": "boolean", "null": "nil",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One field of a method's parameters or result; fields of what it holds follow it."""

    name: str
    """Where it stands: `amount.currency`; `keys[].bytes` in each item of a list."""
    type: str
    bounds: str
    default: str
    """As JSON; "" where it must be given, or always is."""
    meaning: str


def shipped() -> bytes:
    """The document of this release: JSON in UTF-8."""
    return files("host_api").joinpath(FILE).read_bytes()


def load() -> Document:
    """What `shipped` says."""
    document: Document = json.loads(shipped())
    return document


def definition(document: Document, schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a schema refers to; itself where it refers to nothing."""
    place = schema.get("$ref")
    if place is None:
        return schema
    found: Mapping[str, Any] = document["$defs"][place.removeprefix("#/$defs/")]
    return found


def general_errors(document: Document, method: str) -> list[str]:
    """Codes that it may answer as every method like it may, without listing them."""
    every = {"every method"}
    if document["x-methods"][method]["capability"]:
        every.add("every method with a capability")
    return [code for code, told in document["x-errors"].items() if str(told["answered_by"]) in every]


def rows(document: Document, schema: Mapping[str, Any]) -> list[Row]:
    """The fields of a struct, in their order, each followed by the fields of what it holds."""
    return list(_rows(document, schema, "", ()))


def _rows(document: Document, schema: Mapping[str, Any], at: str, outer: tuple[str, ...]) -> Iterator[Row]:
    for name, field in definition(document, schema).get("properties", {}).items():
        place = at + name
        yield Row(
            name=place,
            type=type_words(field),
            bounds=bound_words(field),
            default=json.dumps(field["default"], ensure_ascii=False) if "default" in field else "",
            meaning=field.get("description", "") or _of_struct(document, field),
        )
        for inner, suffix in _held(field):
            if inner["$ref"] not in outer:
                yield from _rows(document, inner, f"{place}{suffix}.", (*outer, inner["$ref"]))


def _of_struct(document: Document, field: Mapping[str, Any]) -> str:
    """What the struct says of itself that is the field's type, where the field says nothing."""
    return "".join(definition(document, held).get("description", "") for held, at in _held(field) if at == "")


def _held(schema: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], str]]:
    """The structs in a field, and how the place of their fields is written."""
    if "$ref" in schema and not schema["$ref"].startswith("#/$defs/wire."):
        yield schema, ""
    for part in schema.get("anyOf", ()):
        yield from _held(part)
    for kind, suffix in (("items", "[]"), ("additionalProperties", ".*")):
        if isinstance(schema.get(kind), dict):
            yield from ((inner, suffix + rest) for inner, rest in _held(schema[kind]))


# ---- words -----------------------------------------------------------------------------------------------------------
def type_words(schema: Mapping[str, Any]) -> str:
    """`list of text`, `whole number or nil`, `Money`."""
    if "anyOf" in schema:
        return " or ".join(map(type_words, schema["anyOf"]))
    if "enum" in schema:
        return "one of " + ", ".join(f"`{value}`" for value in schema["enum"])
    if "$ref" in schema:
        name: str = schema["$ref"].removeprefix("#/$defs/")
        return {"wire.value": "any value", "wire.bytes": "bytes"}.get(name, name)
    match schema["type"]:
        case "array" if "prefixItems" in schema:
            return f"list of {', '.join(map(type_words, schema['prefixItems']))}"
        case "array":
            return f"list of {type_words(schema['items'])}"
        case "object":
            values = type_words(schema["additionalProperties"])
            return "map" if values == "any value" else f"map of {values}"
        case kind:
            return _WORDS[kind]


def bound_words(schema: Mapping[str, Any]) -> str:
    """`1 – 256 characters`; of each alternative and of what is inside a list or map too."""
    found = [_range(schema.get(least), schema.get(most), unit) for least, most, unit in _UNITS]
    if "pattern" in schema:
        found.append(f"`{schema['pattern']}`")
    if isinstance(schema.get("propertyNames"), dict) and (keys := bound_words(schema["propertyNames"])):
        found.append(f"each key {keys}")
    for kind in ("items", "additionalProperties"):
        if isinstance(schema.get(kind), dict) and (each := bound_words(schema[kind])):
            found.append(f"each {each}")
    found += map(bound_words, schema.get("anyOf", ()))
    return "; ".join(text for text in found if text)


def _range(least: float | None, most: float | None, unit: str) -> str:
    match least, most:
        case None, None:
            return ""
        case _, None:
            return f"≥ {least:,}{unit}"
        case None, _:
            return f"≤ {most:,}{unit}"
    return f"{least:,}{unit}" if least == most else f"{least:,} – {most:,}{unit}"
