"""The OpenAPI 3.1 document, made from the endpoints' declarations: nothing about an endpoint is written twice."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Any, Final

import msgspec

from runtime.daemon.http.endpoint import Answer, Endpoint
from runtime.daemon.http.statuses import STATUSES

VERSION: Final = "1.0.0"
"""Of the HTTP interface: the first number changes with /v1, the second with what is added."""
_REF: Final = "#/components/schemas/{name}"
_FAILURE: Final = {"$ref": "#/components/responses/Failure"}
_PARAMETER: Final = re.compile(r"\{(\w+)\}")
_DESCRIPTIONS: Final = {
    "app_id": "A program.",
    "path": "Of a member of the bundle, as it was packed, such as pages/cart.css.",
    "method": "A method of the program, 1 to 64 characters.",
    "id": "As it was listed.",
    "scope": "A scope that consent is for, such as phone.",
    "currency": "ISO 4217, such as EUR.",
}


class Error(Answer, frozen=True, kw_only=True):
    """The error value of docs/protocol.md §5.2."""

    code: str
    """For programs; stable."""
    message: str
    """One line, for developers."""
    retryable: bool
    retry_after_ms: int | None
    details: dict[str, Any]


class Failure(Answer, frozen=True, kw_only=True):
    """Why there is no result."""

    error: Error
    receipt: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    """What the call cost, where one had begun."""


@cache
def document(endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    """For `endpoints`, hashable: a tuple."""
    types = [Failure, *(t for each in endpoints for t in (each.answer, each.body) if t is not None)]
    refs, schemas = msgspec.json.schema_components(types, ref_template=_REF)
    by_type = dict(zip(types, refs, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint, by_type)
    paths |= {path: {"get": operation} for path, operation in _operators().items()}
    return {
        "openapi": "3.1.0",
        "info": {"title": "hostel", "version": VERSION, "description": "The HTTP door of a host of mini-programs."},
        "security": [{"session": []}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": {"Failure": _failure(by_type)},
            "securitySchemes": {
                "session": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A token that the platform's backend had issued for its user.",
                }
            },
        },
    }


def _operation(endpoint: Endpoint, by_type: dict[type, dict[str, Any]]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": endpoint.name,
        "summary": endpoint.summary,
        "parameters": [
            {"name": name, "in": "path", "required": True, "description": _DESCRIPTIONS[name],
             "schema": {"type": "string"}}
            for name in _PARAMETER.findall(endpoint.path)
        ],
        "responses": {"200": _result(endpoint, by_type), "default": _FAILURE},
    }  # fmt: skip
    if endpoint.takes_body:
        schema = {"type": "object"} if endpoint.body is None else by_type[endpoint.body]
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return operation


def _result(endpoint: Endpoint, by_type: dict[type, dict[str, Any]]) -> dict[str, Any]:
    if endpoint.answer is not None:
        return _json("The result.", by_type[endpoint.answer])
    return {"description": "The bytes, by their type.", "content": {"*/*": {}}}


def _operators() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for path, name, summary, kind in (
        ("/healthz", "isAlive", "The process lives.", "application/json"),
        ("/readyz", "isReady", "New work may come here.", "application/json"),
        ("/metrics", "metrics", "Figures for Prometheus; with a token of their own.", "text/plain"),
        ("/openapi.json", "openapi", "This document.", "application/json"),
    ):
        schema = {"type": "string" if kind == "text/plain" else "object"}
        found[path] = {
            "operationId": name,
            "summary": summary,
            "security": [],
            "responses": {
                "200": {"description": "So it is.", "content": {kind: {"schema": schema}}},
                "default": _FAILURE,
            },
        }
    return found


def _failure(by_type: dict[type, dict[str, Any]]) -> dict[str, Any]:
    answer = _json("Refused, or ended: error.code says why.", by_type[Failure])
    codes: dict[str, list[str]] = {}
    for code, status in STATUSES.items():
        codes.setdefault(str(status), []).append(code)
    return {**answer, "x-codes": codes}


def _json(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}
