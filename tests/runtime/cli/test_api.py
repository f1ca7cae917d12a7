"""`hostel api`: what it says of each method is what the shipped document says."""

from __future__ import annotations

from pathlib import Path

import pytest

from host_api import reference
from host_api.bindings import LANGUAGES
from tests.runtime.cli.conftest import Cli

DOCUMENT = reference.load()
ROOT = Path(__file__).resolve().parents[3]


def test_the_schema_is_the_shipped_file(cli: Cli) -> None:
    said = cli("api", "schema")
    assert (said.code, said.err) == (0, "")
    assert said.out.encode() == reference.shipped() == cli("api", "schema", "--json").out.encode()


def test_every_method_is_listed(cli: Cli) -> None:
    told = cli("api", "methods", "--json").json
    assert [method["name"] for method in told] == list(DOCUMENT["x-methods"])
    assert {"name": "storage.get", "capability": "storage", "waits": False, "summary": "Read one value."} in told
    listed = [line.split() for line in cli("api", "methods").out.splitlines()]
    assert ["storage.get", "storage", "at", "once", "Read", "one", "value."] in listed


@pytest.mark.parametrize("method", DOCUMENT["x-methods"])
def test_every_method_has_its_page(cli: Cli, method: str) -> None:
    told, page = cli("api", "show", method, "--json").json, cli("api", "show", method)
    assert (page.code, page.err) == (0, "")
    words = set(page.out.split())
    assert {row["name"] for row in (*told["params"], *told["result"])} <= words
    assert {*told["errors"], *told["constraints"]} <= words
    assert set(DOCUMENT["x-methods"][method]["errors"]) < set(told["errors"])
    assert told["summary"] in page.out and f'[0, 1, "{method}", ' in page.out


def test_a_page_shows_bounds_defaults_and_cures(cli: Cli) -> None:
    page = " ".join(cli("api", "show", "payment.create").out.split())
    assert "ttl_s whole number 60 – 86,400 900" in page
    assert "amount.currency text 3 characters refused ISO 4217" in page
    assert "busy yes wait retry_after_ms" in page
    told = cli("api", "show", "payment.create", "--json").json
    assert told["errors"]["key_reused"]["number"] == 140
    assert told["constraints"]["count"] == "payments created in any hour, per user"


@pytest.mark.parametrize(
    ("name", "hint"), [("payment.creat", "did you mean payment.create?"), ("x" * 500, "see hostel api methods")]
)
def test_an_unknown_method_is_refused_with_the_nearest(cli: Cli, name: str, hint: str) -> None:
    said = cli("api", "show", name)
    assert said.code == 2 and hint in said.err and said.err.count("\n") == 1


@pytest.mark.parametrize("lang", LANGUAGES)
def test_the_bindings_are_the_sdks_file(cli: Cli, lang: str) -> None:
    said = cli("api", "bindings", "--lang", lang)
    assert (said.code, said.err) == (0, "")
    assert said.out == (ROOT / LANGUAGES[lang].path).read_text(encoding="utf-8")
    assert cli("api", "bindings", "--lang", lang, "--json").json == {"lang": lang, "text": said.out}


def test_a_language_without_bindings_is_refused_with_those_there_are(cli: Cli) -> None:
    said = cli("api", "bindings", "--lang", "cobol")
    assert said.code == 2 and "there are c, " in said.err
