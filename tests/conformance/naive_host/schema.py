"""Params of methods, checked against docs/api.schema.json, which §7 of the protocol makes the declaration of them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from .wire import Refused

SCHEMA = json.loads((Path(__file__).resolve().parents[3] / "docs/api.schema.json").read_bytes())
METHODS: dict[str, Any] = SCHEMA["x-methods"]
CAPABILITIES: dict[str, Any] = SCHEMA["x-capabilities"]
_TYPES: dict[str, tuple[type, ...]] = {
    "null": (type(None),), "boolean": (bool,), "string": (str,), "array": (list,), "object": (dict,),
    "integer": (int,), "number": (int, float),
}  # fmt: skip


def params(method: str, given: dict[str, Any]) -> dict[str, Any]:
    """With defaults for what is left out. Raises Refused as `invalid_params`."""
    if wrong := _wrong(METHODS[method]["params"], given, ""):
        place, why = f"${wrong[0]}", wrong[1]
        raise Refused("invalid_params", f"{place[:64]!a}: {why}", path=place)
    told = _found(METHODS[method]["params"])["properties"]
    return {**{name: one["default"] for name, one in told.items() if "default" in one}, **given}


def _found(schema: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        schema = SCHEMA["$defs"][schema["$ref"].removeprefix("#/$defs/")]
    return schema


def _wrong(schema: dict[str, Any], value: Any, at: str) -> tuple[str, str] | None:
    if schema.get("$ref") in ("#/$defs/wire.value", "#/$defs/wire.bytes"):
        return None if schema["$ref"].endswith("value") or isinstance(value, bytes) else (at, "must be bytes")
    schema = _found(schema)
    if "anyOf" in schema:
        return (
            None if any(_wrong(one, value, at) is None for one in schema["anyOf"]) else (at, "fits none of its forms")
        )
    if "enum" in schema:
        return None if isinstance(value, str) and value in schema["enum"] else (at, f"is one of {schema['enum']}")
    kind = schema.get("type", "")
    if not isinstance(value, _TYPES.get(kind, (object,))) or (isinstance(value, bool) and kind != "boolean"):
        return at, f"must be of type {kind}"
    size = len(value) if isinstance(value, str | list | dict) else value
    for low, high in (
        ("minimum", "maximum"),
        ("minLength", "maxLength"),
        ("minItems", "maxItems"),
        ("", "maxProperties"),
    ):
        if (low in schema and size < schema[low]) or (high in schema and size > schema[high]):
            return at, f"must be between {schema.get(low, 0)} and {schema.get(high)}"
    if "pattern" in schema and not re.search(schema["pattern"].replace("$", r"\Z"), value):
        return at, f"must fit {schema['pattern']}"
    return _wrong_inside(schema, value, at)


def _wrong_inside(schema: dict[str, Any], value: Any, at: str) -> tuple[str, str] | None:
    inner: list[tuple[dict[str, Any], Any, str]] = []
    if isinstance(value, list):
        inner = [(schema.get("items", {}), item, f"{at}[{number}]") for number, item in enumerate(value)]
    elif isinstance(value, dict):
        for name in schema.get("required", ()):
            if name not in value:
                return f"{at}.{name}", "is missing"
        for name, item in value.items():
            told = schema.get("properties", {}).get(name, schema.get("additionalProperties", {}))
            if told is False:
                return f"{at}.{name}", "is not known"
            inner.append((schema.get("propertyNames", {}), name, f"{at}.{name}"))
            inner.append((told, item, f"{at}.{name}"))
    return next((wrong for one in inner if (wrong := _wrong(*one)) is not None), None)
