"""The corpus against its checklist: every row is tried by tests that exist, one of them beside a neighbour.

checklist.json has the rows: what a hostile program does, what must come of it, the tests that try it beside a neighbour
who is answered meanwhile, and more that try it. docs/hostile-corpus.md shows the same to readers, and is held to it.
"""

from __future__ import annotations

import ast
import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
CHECKLIST: list[dict[str, Any]] = json.loads((Path(__file__).parent / "checklist.json").read_text(encoding="utf-8"))
PAGE = ROOT / "docs/hostile-corpus.md"
ROWS = 51
BEGIN = "| # | what a hostile program does | what must come of it | tried beside a neighbour by |\n|---|---|---|---|\n"


@cache
def functions(path: str) -> dict[str, ast.FunctionDef | ast.AsyncFunctionDef]:
    """The tests of a file, by name."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return {node.name: node for node in tree.body if isinstance(node, kinds) and node.name.startswith("test_")}


def meets_a_neighbour(test: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """It has `neighbour.beside` called, on the fixture or on one of its own."""
    called = [node.func for node in ast.walk(test) if isinstance(node, ast.Call)]
    return any(
        isinstance(func, ast.Attribute) and func.attr == "beside"
        and isinstance(func.value, ast.Name) and func.value.id == "neighbour"
        for func in called
    )  # fmt: skip


def shown(row: dict[str, Any]) -> str:
    """The row as the page has it."""
    tests = ", ".join(f"`{test.removeprefix('tests/hostile/test_').replace('.py::test_', '::')}`"
                      for test in row["beside_neighbour"])  # fmt: skip
    return f"| {row['row']} | {row['act']} | {row['result']} | {tests or row['reason']} |\n"


def test_every_row_is_there_once() -> None:
    assert [row["row"] for row in CHECKLIST] == list(range(1, ROWS + 1))
    assert len({row["act"] for row in CHECKLIST}) == ROWS


@pytest.mark.parametrize("row", CHECKLIST, ids=lambda row: str(row["row"]))
def test_its_tests_exist_and_one_has_a_neighbour(row: dict[str, Any]) -> None:
    """A row that does not apply says why instead."""
    if "reason" in row:
        assert not row["beside_neighbour"] and len(row["reason"]) > 20
        return
    assert row["act"] and row["result"] and row["beside_neighbour"]
    for test in (*row["beside_neighbour"], *row["more"]):
        path, _, name = test.partition("::")
        assert name in functions(path), f"{test} does not exist"
    for test in row["beside_neighbour"]:
        path, _, name = test.partition("::")
        assert meets_a_neighbour(functions(path)[name]), f"{test} has no neighbour"


def test_no_test_beside_a_neighbour_is_without_a_row() -> None:
    listed = {test for row in CHECKLIST for test in row["beside_neighbour"]}
    found = {
        f"{path.relative_to(ROOT)}::{name}"
        for path in Path(__file__).parent.glob("test_*.py")
        for name, test in functions(str(path.relative_to(ROOT))).items() if meets_a_neighbour(test)
    }  # fmt: skip
    assert found == listed


def test_the_page_has_the_same_rows() -> None:
    assert BEGIN + "".join(map(shown, CHECKLIST)) in PAGE.read_text(encoding="utf-8")
