"""The control protocol as one JSON Schema document, made of the declared methods alone.

What lives here: declarations to plain values, with the means of host_api/schema.py. The document shows params, results
and the items of streams as JSON; how they are framed is docs/protocol.md §15.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from host_api.schema import DIALECT, FieldDocs, Schema, Structs, as_json, values
from runtime.control.calling import PROTOCOL
from runtime.control.method import ControlMethod, Nothing


@dataclass(frozen=True, slots=True)
class _Items:
    """A stream, as one more thing there is to define."""

    name: str
    result: type
    params: type = Nothing


def document(methods: Sequence[ControlMethod[Any, Any]], *, field_docs: FieldDocs) -> Schema:
    """Raises TypeError for a declared type that has no form on the wire."""
    streams = [_Items(f"{method.name}.item", method.stream) for method in methods if method.stream is not None]
    structs = Structs([*methods, *streams], field_docs)
    told = {method.name: _told(method, structs) for method in methods}
    return {
        "$schema": DIALECT,
        "title": "hostel control protocol",
        "description": "Params, results and stream items of every control method: MessagePack on the wire, shown here"
        " as JSON.",
        "x-protocol": PROTOCOL,
        "x-methods": told,
        "$defs": {**values("The client's own number."), **structs.definitions},
    }


def _told(method: ControlMethod[Any, Any], structs: Structs) -> Schema:
    made = {
        "summary": method.summary,
        "role": None if method.role is None else method.role.value,
        "effect": method.effect,
        "keyed": method.keyed,
        "params": structs.ref(method.params),
        "result": structs.ref(method.result),
        "example": as_json(method.example),
        "answer": as_json(method.answer),
    }
    return made if method.stream is None else {**made, "items": structs.ref(method.stream)}
