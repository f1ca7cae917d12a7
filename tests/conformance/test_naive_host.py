"""A second host, written from the documents alone, and with known holes: the suite finds those and nothing else."""

from __future__ import annotations

import ast
import json
import shlex
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
NAIVE = HERE / "naive_host"
EXPECTED = NAIVE / "expected.json"
FOREIGN = {"wasmtime", "msgpack", "naive_host"}
CASE_S, SUITE_S = 60, 900


@dataclass(frozen=True, slots=True)
class Run:
    code: int
    out: str
    cases: list[dict[str, Any]]

    def count(self, outcome: str) -> int:
        return sum(one["outcome"] == outcome for one in self.cases)


def played(home: Path, expectations: Path, *ids: str) -> Run:
    told = home / "result.json"
    done = subprocess.run(
        [
            sys.executable, HERE, *ids, "--target", shlex.join((sys.executable, str(NAIVE))),
            "--expectations", expectations, "--json", told, "--jobs", "2", "--seconds", str(CASE_S),
        ],
        capture_output=True, text=True, timeout=SUITE_S, check=False,
    )  # fmt: skip
    return Run(
        done.returncode, done.stdout + done.stderr, json.loads(told.read_bytes())["cases"] if told.exists() else []
    )


def weaknesses() -> dict[str, list[str]]:
    """Name → patterns of cases."""
    because: dict[str, list[str]] = json.loads(EXPECTED.read_text(encoding="utf-8"))["because"]
    return {why.partition(":")[0]: patterns for why, patterns in because.items()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return played(tmp_path_factory.mktemp("whole"), EXPECTED)


@pytest.mark.slow
def test_it_fails_what_its_weaknesses_predict_and_nothing_else(whole: Run) -> None:
    print(whole.out)  # the score card
    assert whole.code == 0, whole.out
    outcomes = Counter(one["outcome"] for one in whole.cases)
    assert set(outcomes) == {"passed", "failed as expected", "skipped"}


def test_the_suite_tells_it_from_a_host_without_holes(whole: Run) -> None:
    assert whole.count("passed") > 350 and whole.count("failed as expected") > 400
    assert "section" in whole.out and "MUST" in whole.out


def test_each_weakness_is_written_down_and_found(whole: Run) -> None:
    found = Counter(one["reason"].partition(":")[0] for one in whole.cases if one["outcome"] == "failed as expected")
    assert set(found) == set(weaknesses())
    written = (NAIVE / "README.md").read_text(encoding="utf-8")
    assert [name for name in weaknesses() if f"| `{name}` |" not in written] == []


def test_no_case_has_two_reasons() -> None:
    patterns = [pattern for many in weaknesses().values() for pattern in many]
    assert [pattern for pattern, times in Counter(patterns).items() if times > 1] == []


def test_a_case_that_fails_for_no_written_reason_fails_the_run(tmp_path: Path) -> None:
    (tmp_path / "none.json").write_text("{}")
    run = played(tmp_path, tmp_path / "none.json", "4.5/cpu-time-is-limited-in-handle", "4.5/fresh-sandbox-echo")
    assert run.code == 1 and "FAILED  4.5/cpu-time-is-limited-in-handle" in run.out
    assert run.count("passed") == 1


def test_a_weakness_that_is_none_fails_the_run(tmp_path: Path) -> None:
    (tmp_path / "stale.json").write_text(
        json.dumps({"because": {"echoes: it answers nothing": ["4.5/fresh-sandbox-*"]}})
    )
    run = played(tmp_path, tmp_path / "stale.json", "4.5/fresh-sandbox-echo")
    assert run.code == 1 and "PASSED UNEXPECTEDLY  4.5/fresh-sandbox-echo" in run.out
    (tmp_path / "stale.json").write_text(json.dumps({"because": {"echoes: it answers nothing": ["4.99/*"]}}))
    run = played(tmp_path, tmp_path / "stale.json", "4.5/fresh-sandbox-echo")
    assert run.code == 1 and "STALE  the expectation '4.99/*' fits no case" in run.out


def test_it_is_written_from_the_documents_alone() -> None:
    for file in NAIVE.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            roots = {name.partition(".")[0] for name in names}
            assert roots <= FOREIGN | sys.stdlib_module_names, f"{file.name}: {roots}"
            assert not any(part.startswith("_") for name in names for part in name.split(".") if name != "__future__")
