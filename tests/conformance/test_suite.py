"""The suite itself: its files are what they should be, and it knows nothing of the host it judges."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conformance.suite import case
from tests.conformance.suite.matching import PatternError, differences

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
