"""The OpenAPI document: its structure, and that it says what was declared."""

from __future__ import annotations

import re
from typing import Any

import jsonschema

from runtime.daemon.http.app import ENDPOINTS
from runtime.daemon.http.openapi import document


def resolved(schema: Any, whole: dict[str, Any]) -> dict[str, Any]:
    return {**schema, "components": whole["components"]}


def test_the_document_is_openapi_3_1() -> None:
    whole = document(ENDPOINTS)
    assert whole["openapi"].startswith("3.1.") and {"title", "version"} <= whole["info"].keys()
    refs = set(re.findall(r"'\$ref': '#/components/(\w+)/(\w+)'", repr(whole)))
    assert refs and all(name in whole["components"][kind] for kind, name in refs)
    names = []
    for path, item in whole["paths"].items():
        for operation in item.values():
            names.append(operation["operationId"])
            assert {p["name"] for p in operation.get("parameters", ())} == set(re.findall(r"\{(\w+)\}", path))
            assert all(p["in"] == "path" and p["required"] for p in operation.get("parameters", ()))
            assert "200" in operation["responses"] and "default" in operation["responses"]
    assert len(names) == len(set(names)) == len(ENDPOINTS) + 4
    for name, schema in whole["components"]["schemas"].items():
        jsonschema.Draft202012Validator.check_schema(schema)
        assert schema.get("type") == "object", name


def test_each_endpoint_is_in_it_as_declared() -> None:
    whole = document(ENDPOINTS)
    for endpoint in ENDPOINTS:
        operation = whole["paths"][endpoint.path][endpoint.method.lower()]
        assert (operation["operationId"], operation["summary"]) == (endpoint.name, endpoint.summary)
        assert ("requestBody" in operation) is (endpoint.method == "POST")
