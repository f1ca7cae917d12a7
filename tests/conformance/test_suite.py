"""The suite itself: its files are what they should be, and it knows nothing of the host it judges."""

from __future__ import annotations

import ast
import base64
import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import wasmtime

from tests.conformance.suite import archive, case
from tests.conformance.suite.expand import expand
from tests.conformance.suite.matching import PatternError, at_pointer, differences, filled
from tests.conformance.suite.verdict import Outcome, judge

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CASES = sorted((HERE / "cases").glob("*/*.json"))
REQUIREMENTS = frozenset(
    re.findall(r"^- \*\*\[(P[\d.]+-\d+)\]\*\*", (ROOT / "docs/protocol.md").read_text(encoding="utf-8"), re.MULTILINE)
)


def shipped() -> list[Path]:
    return [file for file in HERE.rglob("*.py") if not file.name.startswith("test_")]


def test_the_suite_knows_no_host() -> None:
    imported = set()
    for file in shipped():
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                imported |= {name.name.partition(".")[0] for name in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                imported.add(node.module.partition(".")[0])
    assert imported & {"runtime", "host_api", "tests"} == set()


@pytest.mark.parametrize("file", CASES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_a_case_is_valid_and_written_in_one_way(file: Path) -> None:
    read = case.read(file)
    assert {*read.must} <= REQUIREMENTS
    assert (
        file.read_text(encoding="utf-8")
        == json.dumps(json.loads(file.read_text()), indent=1, ensure_ascii=False) + "\n"
    )


def modules_with_text(told: object) -> Iterator[dict[str, str]]:
    """What a case writes as bytes with the text of the same module beside them."""
    if isinstance(told, dict):
        if "wat" in told:
            yield told
        told = list(told.values())
    if isinstance(told, list):
        for inner in told:
            yield from modules_with_text(inner)


def test_modules_are_what_their_text_says() -> None:
    texts = [(file.stem, told) for file in CASES for told in modules_with_text(json.loads(file.read_text()))]
    assert len(texts) > 100
    assert [name for name, told in texts if bytes(wasmtime.wat2wasm(told["wat"])).hex() != told["$hex"]] == []


def test_contents_of_members() -> None:
    pieces = ["a", {"$hex": "00ff", "times": 2}, {"$repeat": "xy", "times": 2}, {"$numbered": "-#", "times": 2}]
    assert archive.content_of(pieces) == b"a\0\xff\0\xffxyxy-0000-0001"
    assert archive.content_of({"$bytes": "AAE="}) == b"\0\1"


def test_a_keyring_is_told_by_its_keys() -> None:
    told = {
        "id": "1/a",
        "about": "",
        "level": "SHOULD",
        "steps": [{"ask": "ping"}],
        "keyring": {"one": {"revoked": True}},
    }
    expanded = expand(msgspec.convert(told, case.Case), HERE / "guests")
    assert expanded.message["keyring"] == [{"public_key": archive.key_text("one"), "revoked": True}]


def test_the_schema_is_that_of_the_cases() -> None:
    assert (HERE / "case.schema.json").read_bytes() == case.schema()


def test_the_guests_fit_their_sources() -> None:
    done = subprocess.run([sys.executable, HERE / "guests/build.py", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("pattern", "value", "wrong"),
    [
        ({"a": 1}, {"a": 1, "b": 2}, 0),
        ({"a": 1}, {"a": True}, 1),
        ({"a": 1}, {"a": 1.0}, 1),
        ({"a": 1, "b": 2}, {}, 2),
        ({"a": {"$absent": True}}, {"a": None}, 1),
        ({"a": {"$absent": True}}, {}, 0),
        ({"$exactly": {"a": 1}}, {"a": 1, "b": 2}, 1),
        ([1, {"$any": True}], [1, None], 0),
        ([1], [1, 2], 1),
        ({"$has": {"a": 1}}, [{"a": 2}, {"a": 1}], 0),
        ({"$has": {"a": 1}}, [{"a": 2}], 1),
        ({"$type": "integer"}, True, 1),
        ({"$type": "bytes"}, {"$bytes": "AA=="}, 0),
        ({"$bytes": "AA=="}, {"$bytes": "AQ=="}, 1),
        ({"$between": [1, 3]}, 3, 0),
        ({"$between": [1, 3]}, 4, 1),
        ({"$match": "^a"}, "ba", 1),
        ({"$one_of": [1, "x"]}, "x", 0),
        ({"$not": None}, None, 1),
        ({"$length": 2}, [1], 1),
    ],
)
def test_patterns(pattern: object, value: object, wrong: int) -> None:
    assert len(list(differences(pattern, value))) == wrong


def test_a_pattern_that_does_not_exist_is_told() -> None:
    with pytest.raises(PatternError):
        list(differences({"$such": 1}, 1))


def test_what_was_kept_stands_in_a_pattern() -> None:
    assert filled({"a": [{"$not": {"$kept": "id"}}]}, {"id": "x"}) == {"a": [{"$not": "x"}]}
    with pytest.raises(PatternError, match="nothing was kept as 'other'"):
        filled({"$kept": "other"}, {"id": "x"})


def test_a_hash_is_over_its_parts_with_their_lengths() -> None:
    digest = hashlib.sha256(b"a\0" + b"\0\0\0\x02\xc3\xa9" + b'{"a":["\\u00e9"],"b":1}').digest()
    pattern = {"$sha256": ["a\0", {"sized": {"$kept": "text"}}, {"json": {"b": 1, "a": ["é"]}}]}
    assert filled(pattern, {"text": "é"}) == {"$bytes": base64.b64encode(digest).decode()}


@pytest.mark.parametrize("pointer", ["/b", "/a/1", "/a/-", "/a/x", "/a/0/b"])
def test_a_pointer_to_nothing(pointer: str) -> None:
    value = {"a": [1], "c/d": 2}
    assert (at_pointer(value, ""), at_pointer(value, "/a/0"), at_pointer(value, "/c~1d")) == (value, 1, 2)
    with pytest.raises(LookupError):
        at_pointer(value, pointer)


def test_what_is_to_be_kept_and_is_not_there_is_a_failure() -> None:
    told = {"id": "1/a", "about": "", "level": "SHOULD", "steps": [{"ask": "ping", "keep": {"name": "/now"}}]}
    one = msgspec.convert(told, case.Case)
    expanded = expand(one, HERE / "guests")
    outcomes = [judge(one, expanded, {"steps": [{"result": result}]}, 0.0).outcome for result in ({"now": 1}, {})]
    assert outcomes == [Outcome.PASSED, Outcome.FAILED]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--list", "4.4"], ""),
        (
            ["--target", "true", "4.4", "4.4/no-such"],
            "no case has an id that begins with 4.4/no-such: --list shows them",
        ),
        (["--socket", "none.sock", "4.4"], "no host answers at none.sock: No such file or directory"),
    ],
)
def test_what_would_be_played_for_nothing_is_told_before(words: list[str], said: str, tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, HERE, *words], capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stderr) == ((2, f"conformance: {said}\n") if said else (0, ""))
