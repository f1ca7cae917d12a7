"""The schema document: that it says what the host does, for every method, and the same bytes each time."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import jsonschema
import msgspec
import pytest

from host_api import schema, services
from host_api.capability import CAPABILITIES
from host_api.contract import Method, Params, Result
from host_api.errors import ApiError, ErrorCode
from host_api.field_docs import field_docs
from host_api.reference import rows
from host_api.session import API_LEVEL
from runtime import wire

DOCUMENT = schema.document(services.METHODS, api_level=API_LEVEL, field_docs=field_docs)
Validator = jsonschema.Draft202012Validator
MESSAGES = Validator(DOCUMENT)
methods = pytest.mark.parametrize("method", services.METHODS, ids=lambda method: method.name)


def fits(definition: str, value: Any) -> bool:
    return Validator({**DOCUMENT, "anyOf": [{"$ref": f"#/$defs/{definition}"}]}).is_valid(schema.as_json(value))


def taken(kind: type, params: Any) -> bool:
    """Whether the host takes it, as the broker asks."""
    try:
        msgspec.convert(params, kind, builtin_types=(bytes,))
    except (msgspec.ValidationError, ApiError):
        return False
    return True


# ---- the document ----------------------------------------------------------------------------------------------------
def test_it_is_a_schema_and_every_reference_leads_somewhere() -> None:
    Validator.check_schema(DOCUMENT)
    places = [node["$ref"] for node in nodes(DOCUMENT) if "$ref" in node]
    assert {place.removeprefix("#/$defs/") for place in places} <= DOCUMENT["$defs"].keys()


def nodes(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from nodes(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from nodes(inner)


def test_its_bytes_are_the_same_each_time() -> None:
    again = schema.document(services.METHODS, api_level=API_LEVEL, field_docs=field_docs)
    assert schema.encoded(again) == schema.encoded(DOCUMENT)
    assert json.loads(schema.encoded(DOCUMENT)) == DOCUMENT


def test_no_pattern_is_pythons_own() -> None:
    patterns = [node["pattern"] for node in nodes(DOCUMENT) if isinstance(node.get("pattern"), str)]
    assert patterns and not [
        pattern for pattern in patterns if "\\A" in pattern or "\\Z" in pattern or "(?P" in pattern
    ]


def test_the_envelope_has_the_bounds_of_the_wire() -> None:
    assert DOCUMENT["$defs"]["wire.msgid"]["maximum"] == wire.MSGID_MAX
    keys = [
        node["propertyNames"]["maxLength"] for node in nodes(DOCUMENT["$defs"]["wire.value"]) if "propertyNames" in node
    ]
    assert keys == [wire.KEY_BYTES_MAX]
    told = ApiError(ErrorCode.BUSY, "later", retry_after_ms=5).as_wire()
    assert fits("wire.error", told) and set(told) == set(DOCUMENT["$defs"]["wire.error"]["required"])


# ---- methods ---------------------------------------------------------------------------------------------------------
@methods
def test_the_example_and_the_answer_are_messages_of_the_schema(method: Method[Any, Any]) -> None:
    msgspec.convert(dict(method.example), method.params)
    msgspec.convert(dict(method.answer), method.result)
    error = ApiError(ErrorCode.INTERNAL, "a fault").as_wire()
    for message in (
        [0, 1, method.name, method.example], [2, method.name, method.example], [1, 1, None, method.answer],
        [1, 1, error, None],
    ):  # fmt: skip
        MESSAGES.validate(schema.as_json(message))
    assert fits(f"{method.name}.response", [1, 1, None, method.answer])
    assert not fits(f"{method.name}.response", [1, 1, error, method.answer])
    assert not fits(f"{method.name}.request", [0, 2**32, method.name, method.example])


@methods
def test_the_answer_has_every_field_of_the_result(method: Method[Any, Any]) -> None:
    assert set(method.answer) == {field.encode_name for field in msgspec.structs.fields(method.result)}


@methods
def test_every_field_says_what_it_means(method: Method[Any, Any]) -> None:
    told = DOCUMENT["x-methods"][method.name]
    found = [row for which in ("params", "result") for row in rows(DOCUMENT, told[which])]
    assert [row.name for row in found if not row.meaning] == []


@methods
def test_schema_and_host_refuse_the_same(method: Method[Any, Any]) -> None:
    """For each parameter, values at its bounds, one over and of every other kind. Where a struct has rules of its own
    between its fields the host may refuse more."""
    definition = DOCUMENT["x-methods"][method.name]["params"]["$ref"].removeprefix("#/$defs/")
    stricter = any("__post_init__" in kind.__dict__ for kind in structs(method.params))
    tried = list(attempts(method, DOCUMENT["$defs"][definition]))
    for params in tried:
        ours, schemas = taken(method.params, params), fits(definition, params)
        assert ours == schemas or (stricter and not ours), params
    assert any(fits(definition, params) for params in tried) and not all(fits(definition, params) for params in tried)


def structs(kind: type) -> list[type]:
    """A struct and those it holds."""
    held = [inner.type for inner in msgspec.structs.fields(kind)]
    return [kind, *(each for inner in held if isinstance(inner, type) and issubclass(inner, msgspec.Struct)
                    for each in structs(inner))]  # fmt: skip


def attempts(method: Method[Any, Any], struct: dict[str, Any]) -> Iterator[dict[str, Any]]:
    good = dict(method.example)
    yield good
    yield {**good, "surprise": 1}
    for name, field in struct["properties"].items():
        yield {key: value for key, value in good.items() if key != name}
        for value in values(field):
            yield {**good, name: value}


def values(field: dict[str, Any]) -> Iterator[Any]:
    parts = (field, *field.get("anyOf", ()))
    yield from (None, True, 1.5, "", "a", "not it", [], {}, -1, [1], {"a": 1}, 2**63)
    if not any(part.get("type") == "object" for part in parts):  # as JSON, bytes are a map themselves
        yield b""
    for part in parts:
        for bound in ("minimum", "maximum"):
            if bound in part:
                yield from (part[bound] - 1, part[bound], part[bound] + 1)
        for bound in ("minLength", "maxLength"):
            if bound in part:
                yield from ("x" * max(0, part[bound] + by) for by in (-1, 0, 1))
        yield from part.get("enum", ())
        if "default" in part:
            yield part["default"]


def test_results_are_open_and_params_are_not() -> None:
    for told in DOCUMENT["x-methods"].values():
        params, result = (
            DOCUMENT["$defs"][told[which]["$ref"].removeprefix("#/$defs/")] for which in ("params", "result")
        )
        assert params["additionalProperties"] is False
        assert "additionalProperties" not in result


# ---- errors and capabilities -----------------------------------------------------------------------------------------
RESERVED = {ErrorCode.IN_PROGRESS}
"""Answered by no method yet: their numbers are kept."""


def test_every_code_is_answered_by_a_method() -> None:
    answered = {code for method in services.METHODS for code in method.errors}
    assert set(ErrorCode) - answered - {*schema.OF_EVERY_METHOD, *schema.WITH_CAPABILITY} == RESERVED


def test_every_code_is_told() -> None:
    told = DOCUMENT["x-errors"]
    assert list(told) == [code.code for code in ErrorCode]
    assert all((told[c.code]["number"], told[c.code]["cure"]) == (c.number, c.cure) for c in ErrorCode)
    assert told["unknown_method"]["answered_by"] == "every method"
    assert told["version_conflict"]["answered_by"] == ["storage.put", "storage.delete"]


def test_every_capability_is_needed_and_every_constraint_has_a_meaning() -> None:
    assert {method.capability for method in services.METHODS} == {*CAPABILITIES, None}
    told = DOCUMENT["x-capabilities"]
    assert {name: set(told[name]["constraints"]) for name in told} == {
        name: set(CAPABILITIES[name]) for name in CAPABILITIES
    }
    assert all(len(meaning) > 10 for taken in CAPABILITIES.values() for meaning in taken.values())


# ---- types that no method of today has -------------------------------------------------------------------------------
class Held(msgspec.Struct):
    """Holds itself."""

    inner: Held | None = None
    """Another."""


class OddParams(Params, frozen=True, kw_only=True):
    body: Annotated[bytes, msgspec.Meta(max_length=10)]
    """What is sent."""
    kind: Annotated[Literal["b", "a"], msgspec.Meta(description="one of two")]
    """Which"""
    held: Held
    many: Annotated[tuple[Held, ...], msgspec.Meta(max_length=3)] = ()
    names: dict[Annotated[str, msgspec.Meta(max_length=3)], int] | None = None
    share: Annotated[float, msgspec.Meta(ge=0, le=1)] | msgspec.UnsetType = msgspec.UNSET


class OddResult(Result, frozen=True, kw_only=True):
    """Nothing."""


ODD = Method(name="odd.do", capability=None, params=OddParams, result=OddResult, errors=(), waits=False,
             summary="Do something odd.", answer={},
             example={"body": b"a", "kind": "a", "held": {"inner": {}}})  # fmt: skip


def test_types_of_every_kind_have_a_form() -> None:
    document = schema.document([ODD], api_level=1, field_docs=field_docs)
    Validator(document).validate(schema.as_json([0, 1, "odd.do", ODD.example]))
    properties = document["$defs"]["odd.do.params"]["properties"]
    assert properties["body"] == {"description": "What is sent.", "$ref": "#/$defs/wire.bytes", "x-max-bytes": 10}
    assert properties["kind"] == {"description": "Which; one of two", "enum": ["a", "b"]}
    assert properties["many"]["items"] == {"$ref": "#/$defs/Held"} and properties["many"]["maxItems"] == 3
    assert properties["names"]["anyOf"][0]["propertyNames"] == {"maxLength": 3}
    assert "default" not in properties["share"] and properties["names"]["default"] is None


class Closed(msgspec.Struct, forbid_unknown_fields=True):
    """Given."""


class Shared(Closed):
    """Taken and given."""


class GivenResult(Result, frozen=True, kw_only=True):
    """Both."""

    closed: Closed
    shared: Shared


class TakenParams(Params, frozen=True, kw_only=True):
    """One."""

    shared: Shared


def test_what_is_only_given_is_open_to_later_fields() -> None:
    method = dataclasses.replace(ODD, params=TakenParams, result=GivenResult)
    definitions = schema.document([method], api_level=1, field_docs=field_docs)["$defs"]
    assert "additionalProperties" not in definitions["Closed"]
    assert definitions["Shared"]["additionalProperties"] is False


class SetParams(Params, frozen=True, kw_only=True):
    """Of a type that MessagePack does not have."""

    found: set[int]


def test_a_type_without_a_form_on_the_wire_is_refused() -> None:
    with pytest.raises(TypeError, match="no form on the wire"):
        schema.document([dataclasses.replace(ODD, params=SetParams)], api_level=1, field_docs=field_docs)


def test_what_stands_under_a_field_is_found_in_base_classes_too() -> None:
    class More(OddParams, frozen=True, kw_only=True):
        extra: int = 0

    assert field_docs(More)["body"] == "What is sent."
    assert "extra" not in field_docs(More)
