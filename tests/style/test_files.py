"""House rules on files and names that a machine can check."""

from __future__ import annotations

import ast
import re

from tests.style.source import ROOT, SHIPPED, sources

LINES_MOST, TEST_LINES_MOST = 400, 500
FUNCTION_LINES_MOST = 60
EVERYTHING = (*SHIPPED, "tests", "sample_programs", "benchmarks", "docs")
NOT_IN_TYPE_NAMES = re.compile(r"manager|context|util|helper|handler|engine", re.IGNORECASE)


def test_every_file_opens_with_what_lives_in_it() -> None:
    assert [s.path for s in sources(*EVERYTHING) if s.text.strip() and not ast.get_docstring(s.tree)] == []


def test_files_stay_readable() -> None:
    sizes = {s.path: len(s.text.splitlines()) for s in sources(*EVERYTHING)}
    long = {path: n for path, n in sizes.items() if n > (TEST_LINES_MOST if path.startswith("tests/") else LINES_MOST)}
    assert long == {}


def test_functions_fit_on_a_screen() -> None:
    long = [
        f"{source.path}:{node.lineno} {node.name}: {(node.end_lineno or 0) - node.lineno + 1} lines"
        for source in sources(*SHIPPED)
        for node in ast.walk(source.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno >= FUNCTION_LINES_MOST
    ]
    assert long == []


def test_types_have_names_of_the_field() -> None:
    names = [n.name for s in sources(*SHIPPED) for n in ast.walk(s.tree) if isinstance(n, ast.ClassDef)]
    assert [name for name in names if NOT_IN_TYPE_NAMES.search(name)] == []


def test_nothing_is_asserted_where_input_may_be_hostile() -> None:
    found = [f"{s.path}:{n.lineno}" for s in sources(*SHIPPED) for n in ast.walk(s.tree) if isinstance(n, ast.Assert)]
    assert found == []


def test_only_the_command_line_prints() -> None:
    printing = {
        source.path
        for source in sources(*SHIPPED)
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    }
    assert printing == set()


def test_nothing_is_left_for_later() -> None:
    words = re.compile(r"\b(TODO|FIXME|XXX)\b|NotImplementedError")
    assert [s.path for s in sources(*SHIPPED) if words.search(s.text)] == []


def test_the_licence_is_there() -> None:
    assert "Apache License" in (ROOT / "LICENSE").read_text()[:200]
