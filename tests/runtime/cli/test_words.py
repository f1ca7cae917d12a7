"""Words of the command line: what they mean, and that any other words are a UsageError."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from host_api.money import Money
from runtime.cli.words import JSON_BYTES_MAX, read_grants, read_limits, read_money, read_object
from runtime.errors import BundleError, UsageError


@pytest.mark.parametrize(
    ("words", "grants"),
    [
        ([], {}),
        (["payment"], {"payment": {}}),
        (["payment", "storage"], {"payment": {}, "storage": {}}),
        (
            ["payment:amount_max=5000", "payment:currencies=CNY,EUR"],
            {"payment": {"amount_max": 5000, "currencies": ["CNY", "EUR"]}},
        ),
        (["storage:keys=cart,order/"], {"storage": {"keys": ["cart", "order/"]}}),
        (["http:hosts=a.example,b.example:8443"], {"http": {"hosts": ["a.example", "b.example:8443"]}}),
        (["program.call:programs=org.example.carrier"], {"program.call": {"programs": ["org.example.carrier"]}}),
        (['{"payment": {"amount_max": 1}, "storage": {}}'], {"payment": {"amount_max": 1}, "storage": {}}),
        (["payment:amount_max=many"], {"payment": {"amount_max": "many"}}),
    ],
)
def test_grants(words: list[str], grants: dict[str, Any]) -> None:
    assert read_grants(words) == grants


@pytest.mark.parametrize("word", ["payment:amount_max", "payment:", '{"payment": 1}', "{", '{"a": NaN}'])
def test_no_grants(word: str) -> None:
    with pytest.raises(UsageError, match="write"):
        read_grants([word])


@pytest.mark.parametrize(
    ("word", "amount", "currency"),
    [
        ("100.00CNY", 10_000, "CNY"),
        ("100CNY", 10_000, "CNY"),
        ("0.5 CNY", 50, "CNY"),
        ("1200JPY", 1_200, "JPY"),
        ("1.234KWD", 1_234, "KWD"),
    ],
)
def test_money(word: str, amount: int, currency: str) -> None:
    assert read_money(word) == Money(amount=amount, currency=currency)


@pytest.mark.parametrize(
    "word", ["", "100", "CNY", "100.001CNY", "1.5JPY", "-1CNY", "0CNY", "1e3CNY", "100ABC", "1,5CNY", "9" * 13 + "CNY"]
)
def test_no_money(word: str) -> None:
    with pytest.raises(UsageError):
        read_money(word)


def test_limits() -> None:
    assert read_limits(["cpu_us=200_000", "wall_ms=5"]) == {"cpu_us": 200_000, "wall_ms": 5}
    for word in ("cpu_us", "cpu_us=", "cpu_us=fast", "cpu_us=1.5"):
        with pytest.raises(UsageError, match="NAME=NUMBER"):
            read_limits([word])


def test_an_object_from_each_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "params.json").write_text('{"a": [1, 2.5, "ü", null]}')
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b'{"b": true}')))
    assert read_object(None, "params") == {}
    assert read_object('{"a": 1}', "params") == {"a": 1}
    assert read_object(f"@{tmp_path / 'params.json'}", "params") == {"a": [1, 2.5, "ü", None]}
    assert read_object("-", "params") == {"b": True}


@pytest.mark.parametrize(
    "word", ["", "[]", "1", "null", "{", '{"a": NaN}', '{"a": Infinity}', '{"a": 18446744073709551616}',
             '{"a": "\\ud800"}', "[" * 100_000, '{"a": 1' + "0" * 5_000 + "}"]
)  # fmt: skip
def test_no_object(word: str) -> None:
    with pytest.raises(UsageError, match="params"):
        read_object(word, "params")


@pytest.mark.parametrize("data", [b"\xff", b"{}" + b" " * JSON_BYTES_MAX], ids=["no_utf8", "too_large"])
def test_no_object_on_standard_input(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
    with pytest.raises(UsageError, match="params"):
        read_object("-", "params")


def test_a_file_is_read_to_its_limit_only(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b" " * (JSON_BYTES_MAX + 1))
    with pytest.raises(BundleError, match="json_bytes_max"):
        read_object(f"@{tmp_path / 'large'}", "params")


@given(st.text(max_size=60))
def test_any_word_is_a_value_or_a_usage_error(word: str) -> None:
    with contextlib.suppress(UsageError):
        assert read_money(word).amount > 0
    with contextlib.suppress(UsageError):
        assert all(type(value) is int for value in read_limits([word]).values())
    with contextlib.suppress(UsageError):
        assert json.dumps(read_grants([word]))
    if not word.startswith(("@", "-")):
        with contextlib.suppress(UsageError):
            assert isinstance(read_object(word, "params"), dict)
