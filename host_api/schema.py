"""The host API as one JSON Schema document (draft 2020-12), made of the declared methods alone.

What lives here: declarations to plain values. Pure: what the source says of fields is handed in (field_docs.py).

The document is a schema of every message between a guest and its host, in the JSON that shows a MessagePack message.
JSON knows no bytes: they are shown as `{"$base64": text}`. It knows no difference between 1 and 1.0: the host does.
What a schema cannot say stands beside it under keywords of our own, which validators leave alone: `x-methods`,
`x-errors`, `x-capabilities`, `x-api-level`.
"""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any, Final, Protocol, TypeAlias

import msgspec
import msgspec.inspect as types

from host_api.capability import CAPABILITIES
from host_api.contract import Method
from host_api.errors import ErrorCode

Schema: TypeAlias = dict[str, Any]
FieldDocs: TypeAlias = Callable[[type], Mapping[str, str]]
"""A struct → what its fields mean."""

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
OF_EVERY_METHOD: Final = (
    ErrorCode.UNKNOWN_METHOD, ErrorCode.INVALID_PARAMS, ErrorCode.LIMIT_EXCEEDED, ErrorCode.INTERNAL,
)  # fmt: skip
"""What any method may answer, besides those it lists."""
WITH_CAPABILITY: Final = (
    ErrorCode.CAPABILITY_UNDECLARED, ErrorCode.CAPABILITY_NOT_GRANTED, ErrorCode.GRANT_EXPIRED,
)  # fmt: skip
"""What any method may answer that needs a capability."""

_VALUE, _BYTES, _MSGID, _ERROR = "wire.value", "wire.bytes", "wire.msgid", "wire.error"
_NIL: Final[Schema] = {"type": "null"}


def document(methods: Sequence[Method[Any, Any]], *, api_level: int, field_docs: FieldDocs) -> Schema:
    """Raises TypeError for a declared type that has no form on the wire."""
    structs = Structs(methods, field_docs)
    messages: Schema = {}
    for method in methods:
        messages |= _messages(method, structs)
    told = {method.name: _told(method, structs) for method in methods}
    return {
        "$schema": DIALECT,
        "title": "hostel host API",
        "description": "Every message between a guest and its host: MessagePack on the wire, shown here as JSON.",
        "anyOf": [_ref("wire.request"), _ref("wire.notification"), _ref("wire.response")],
        "x-api-level": api_level,
        "x-methods": told,
        "x-errors": {code.code: _error(code, methods) for code in ErrorCode},
        "x-capabilities": {name: {"constraints": dict(taken)} for name, taken in CAPABILITIES.items()},
        "$defs": {**_envelope(methods), **messages, **structs.definitions},
    }


def encoded(value: Schema) -> bytes:
    """The same bytes for the same methods."""
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()


# ---- messages --------------------------------------------------------------------------------------------------------
def _ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def _array(*items: Schema) -> Schema:
    return {"type": "array", "prefixItems": list(items), "items": False, "minItems": len(items)}


def _messages(method: Method[Any, Any], structs: Structs) -> Schema:
    """The three messages of a method."""
    name, params, result = method.name, structs.ref(method.params), structs.ref(method.result)
    answers = [_array({"const": 1}, _ref(_MSGID), _NIL, result), _array({"const": 1}, _ref(_MSGID), _ref(_ERROR), _NIL)]
    return {
        f"{name}.request": _array({"const": 0}, _ref(_MSGID), {"const": name}, params),
        f"{name}.notification": _array({"const": 2}, {"const": name}, params),
        f"{name}.response": {"oneOf": answers},
    }


def _envelope(methods: Sequence[Method[Any, Any]]) -> Schema:
    error = {
        "code": {"type": "string", "description": "One of x-errors; a newer host may answer others."},
        "message": {"type": "string", "description": "One line for a developer."},
        "retryable": {"type": "boolean", "description": "The same request may succeed later."},
        "retry_after_ms": {"anyOf": [{"type": "integer", "minimum": 0}, _NIL]},
        "details": {"type": "object", "description": "The numbers: limit, value, what was used, where it is."},
    }
    return {
        **values("The guest's own number."),
        _ERROR: {"description": "The host said no; the guest lives.", "type": "object", "properties": error,
                 "required": list(error)},
        "wire.request": {"anyOf": [_ref(f"{method.name}.request") for method in methods]},
        "wire.notification": {"anyOf": [_ref(f"{method.name}.notification") for method in methods]},
        "wire.response": {"anyOf": [_ref(f"{method.name}.response") for method in methods]},
    }  # fmt: skip


def values(msgid: str) -> Schema:
    """What stands for any value, for bytes and for a message's number, whose meaning is `msgid`."""
    scalars = [{"type": kind} for kind in ("null", "boolean", "number", "string")]
    return {
        _VALUE: {
            "description": "Any value of the wire: whole numbers of int64 or uint64, floats finite, keys texts.",
            "anyOf": [
                *scalars,
                _ref(_BYTES),
                {"type": "array", "items": _ref(_VALUE)},
                {"type": "object", "propertyNames": {"maxLength": 256}, "additionalProperties": _ref(_VALUE)},
            ],
        },
        _BYTES: {
            "description": "MessagePack bin; in JSON its base64.",
            "type": "object",
            "properties": {"$base64": {"type": "string", "contentEncoding": "base64"}},
            "required": ["$base64"],
            "additionalProperties": False,
        },
        _MSGID: {"description": msgid, "type": "integer", "minimum": 0, "maximum": 2**32 - 1},
    }


# ---- what is no schema -----------------------------------------------------------------------------------------------
def _told(method: Method[Any, Any], structs: Structs) -> Schema:
    return {
        "summary": method.summary,
        "capability": method.capability,
        "waits": method.waits,
        "errors": [code.code for code in ErrorCode if code in method.errors],
        "params": structs.ref(method.params),
        "result": structs.ref(method.result),
        "example": as_json(method.example),
        "answer": as_json(method.answer),
    }


def as_json(value: Any) -> Any:
    """A value of the wire as the document shows it."""
    match value:
        case bytes():
            return {"$base64": base64.b64encode(value).decode()}
        case Mapping():
            return {name: as_json(inner) for name, inner in value.items()}
        case list() | tuple():
            return [as_json(inner) for inner in value]
    return value


def _error(code: ErrorCode, methods: Sequence[Method[Any, Any]]) -> Schema:
    if code in OF_EVERY_METHOD:
        by: str | list[str] = "every method"
    elif code in WITH_CAPABILITY:
        by = "every method with a capability"
    else:
        by = [method.name for method in methods if code in method.errors]
    return {"number": code.number, "retryable": code.retryable, "cure": code.cure, "answered_by": by}


class Declared(Protocol):
    """What there is to define of a method."""

    @property
    def name(self) -> str: ...
    @property
    def params(self) -> type: ...
    @property
    def result(self) -> type: ...


# ---- types -----------------------------------------------------------------------------------------------------------
class Structs:
    """The structs that methods take and give: each defined once, under a name that says whose it is.

    What is taken is closed, also where it is given as well; what is only given stays open, as later releases may add to
    it.
    """

    def __init__(self, methods: Sequence[Declared], field_docs: FieldDocs) -> None:
        self.definitions: Schema = {}
        self._field_docs = field_docs
        used = Counter(struct for method in methods for struct in (method.params, method.result))
        named = [(m.params, f"{m.name}.params") for m in methods] + [(m.result, f"{m.name}.result") for m in methods]
        self._names: dict[type, str] = {struct: name for struct, name in named if used[struct] == 1}
        self._taken = True
        for method in methods:
            self.ref(method.params)
        self._taken = False
        for method in methods:
            self.ref(method.result)

    def ref(self, struct: type) -> Schema:
        """A reference to the struct, which is defined from then on."""
        name = self._names.get(struct)
        if name is None:
            name = struct.__name__ if struct.__name__ not in self._names.values() else _full_name(struct)
            self._names[struct] = name
        if name not in self.definitions:
            self.definitions[name] = {}  # a struct may hold itself
            self.definitions[name] = self._struct(struct)
        return _ref(name)

    def _struct(self, struct: type) -> Schema:
        info = types.type_info(struct)
        if isinstance(info, types.StructType) and (info.array_like or info.tag_field):
            raise TypeError(f"{struct.__name__} is no plain struct")
        if not isinstance(info, types.StructType | types.DataclassType):
            raise TypeError(f"{struct.__name__} is no struct")
        told = " ".join((struct.__dict__.get("__doc__") or "").split())
        docs = self._field_docs(struct)
        made: Schema = {"description": told} if told else {}
        made["type"] = "object"
        made["properties"] = {field.encode_name: self._field(field, docs.get(field.name, "")) for field in info.fields}
        made["required"] = [field.encode_name for field in info.fields if field.required]
        if isinstance(info, types.StructType) and info.forbid_unknown_fields and self._taken:
            made["additionalProperties"] = False
        return made

    def _field(self, field: types.Field, told: str) -> Schema:
        made = self._type(field.type)
        parts = [made, *made.get("anyOf", ())]
        form = next((text for text in [part.pop("description", "") for part in parts] if text), "")
        if told or form:
            made = {"description": f"{told.rstrip('.')}; {form}" if told and form else told or form, **made}
        if field.default_factory is not msgspec.NODEFAULT:
            made["default"] = msgspec.to_builtins(field.default_factory())
        elif field.default is not msgspec.NODEFAULT and field.default is not msgspec.UNSET:
            made["default"] = msgspec.to_builtins(field.default)
        return made

    def _type(self, kind: types.Type) -> Schema:
        match kind:
            case types.Metadata(type=inner, extra_json_schema=extra):
                return {**(extra or {}), **self._type(inner)}
            case types.StructType(cls=struct) | types.DataclassType(cls=struct):
                return self.ref(struct)
            case types.TupleType(item_types=items):
                return _array(*(self._type(item) for item in items))
            case types.UnionType(types=parts):
                return {"anyOf": [self._type(part) for part in parts]}
            case types.ListType(item_type=item) | types.VarTupleType(item_type=item):
                bounds = _bounds(minItems=kind.min_length, maxItems=kind.max_length)
                return {"type": "array", "items": self._type(item), **bounds}
            case types.DictType(key_type=key, value_type=value):
                names = {name: bound for name, bound in self._type(key).items() if name not in ("type", "$ref")}
                bounds = _bounds(minProperties=kind.min_length, maxProperties=kind.max_length)
                made = {"type": "object", "additionalProperties": self._type(value), **bounds}
                return {**made, "propertyNames": names} if names else made
            case _:
                return _scalar(kind)


def _scalar(kind: types.Type) -> Schema:
    match kind:
        case types.AnyType():
            return _ref(_VALUE)
        case types.NoneType():
            return dict(_NIL)
        case types.BoolType():
            return {"type": "boolean"}
        case types.IntType() | types.FloatType():
            bounds = _bounds(minimum=kind.ge, maximum=kind.le, exclusiveMinimum=kind.gt, exclusiveMaximum=kind.lt)
            return {"type": "integer" if isinstance(kind, types.IntType) else "number", **bounds}
        case types.StrType(min_length=least, max_length=most, pattern=pattern):
            return {"type": "string", **_bounds(minLength=least, maxLength=most, pattern=pattern and _ecma(pattern))}
        case types.BytesType(min_length=least, max_length=most):
            return {**_ref(_BYTES), **_bounds(**{"x-min-bytes": least, "x-max-bytes": most})}
        case types.LiteralType(values=values):
            return {"enum": sorted(values, key=str)}
        case types.EnumType(cls=enum) if issubclass(enum, Enum):
            return {"enum": [each.value for each in enum]}
    raise TypeError(f"{kind} has no form on the wire")


def _bounds(**given: Any) -> Schema:
    return {name: value for name, value in given.items() if value is not None}


def _ecma(pattern: str) -> str:
    r"""Python's \A and \Z as the dialect of JSON Schema writes them."""
    return pattern.replace(r"\A", "^").replace(r"\Z", "$")


def _full_name(struct: type) -> str:
    return f"{struct.__module__}.{struct.__qualname__}"
