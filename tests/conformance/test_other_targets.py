"""The runner beside targets that are none, that are told to fail, or that were never started: each is told apart."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.conformance.test_this_host import CASES, HERE, conformance
from tests.console import HANG_S

ODD = """
for line in sys.stdin:
    one = json.loads(line)
    steps = [{"result": {"odd": 1}} for _ in one["steps"]]
    print(json.dumps({"case": one["case"], "steps": steps}), flush=True)
"""


def target(home: Path, source: str) -> str:
    """The command of a target that is this much Python."""
    file = home / "target.py"
    file.write_text(f"import json, os, sys, time\n{source}\n")
    return f"{sys.executable} {file}"


# ---- targets that are none -------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("if sys.stdin.readline(): sys.exit(3)", "it ended without a result (exit status 3)"),
        ("if sys.stdin.readline(): sys.exit('no store')", "its last words: no store"),
        ("print('hello', flush=True)", "what it wrote is no JSON"),
        ("print('[1, 2]', flush=True)", "no result with steps: [1, 2]"),
        ("print('{\"steps\": 1}', flush=True)", "no result with steps"),
        ("if sys.stdin.readline(): os.kill(os.getpid(), 9)", "exit status -9"),
    ],
)
def test_a_target_that_gives_no_result_is_broken(tmp_path: Path, source: str, reason: str) -> None:
    run = conformance(tmp_path, "--target", target(tmp_path, source), "15.4/", "--jobs", "1")
    assert run.code == 1 and set(run.outcomes().values()) == {"broken"}
    assert all(reason in one["reason"] for one in run.told["cases"])
    assert len(ElementTree.parse(run.files["junit"]).findall("*/failure")) == len(run.told["cases"])


def test_a_command_that_is_no_target_is_told_once(tmp_path: Path) -> None:
    """And not as a failure of every case."""
    run = conformance(tmp_path, "--target", target(tmp_path, "sys.exit(3)"), "15.4/", "--jobs", "1")
    assert run.code == 2 and run.told == {}
    assert "the target ends with exit status 3 before it reads a case" in run.err


def test_a_target_that_hangs_is_ended_with_all_it_started(tmp_path: Path) -> None:
    source = "print(os.getpid(), file=open('pid', 'w'), flush=True)\ntime.sleep(900)"
    done = subprocess.run(
        [sys.executable, HERE, "--target", target(tmp_path, source), "15.4/error", "--seconds", "3"],
        cwd=tmp_path, capture_output=True, text=True, timeout=HANG_S, check=False,
    )  # fmt: skip
    assert (
        done.returncode == 1 and "BROKEN  15.4/error-is-whole" in done.stdout and "no result after 3 s" in done.stdout
    )
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_a_target_may_end_after_each_case_and_skip(tmp_path: Path) -> None:
    source = (
        "one = json.loads(sys.stdin.readline())\nprint(json.dumps({'case': one['case'], 'skipped': 'no money here'}))"
    )
    run = conformance(tmp_path, "--target", target(tmp_path, source), "8.1/", "--jobs", "2")
    assert run.code == 0 and set(run.outcomes().values()) == {"skipped"}
    assert {one["reason"] for one in run.told["cases"]} == {"no money here"}


def test_a_target_is_told_nothing_of_what_is_expected(tmp_path: Path) -> None:
    source = "print(json.dumps({'skipped': sys.stdin.readline()}))"
    run = conformance(tmp_path, "--target", target(tmp_path, source), "15.4/", "--jobs", "1")
    for one in run.told["cases"]:
        told = json.loads(one["reason"])
        assert told["case"] == one["id"] and told["steps"]
        assert "expect" not in one["reason"] and one["about"] not in one["reason"]


def test_wrong_answers_fail_with_the_place(tmp_path: Path) -> None:
    run = conformance(tmp_path, "--target", target(tmp_path, ODD), "8.3/confirmed-payment", "15.4/error")
    assert run.code == 1 and set(run.outcomes().values()) == {"failed"}
    assert "wanted" in run.out and "/error" in run.told["cases"][1]["reason"]


# ---- what is known to fail -------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("known", "code", "said"),
    [
        ({"fail": {"15.4/error-is-whole": "old"}}, 1, "PASSED UNEXPECTEDLY  15.4/error-is-whole"),
        ({"fail": {"15.9/*": "old"}}, 1, "STALE  the expectation '15.9/*' fits no case"),
        ({"skip": {"15.4/*": "not yet"}}, 0, ""),
        ({"never": {}}, 2, "unknown field"),
    ],
)
def test_expectations_are_held_to_what_is(tmp_path: Path, known: dict[str, Any], code: int, said: str) -> None:
    (tmp_path / "known.json").write_text(json.dumps(known))
    run = conformance(tmp_path, "15.4/error-is-whole", "--expectations", str(tmp_path / "known.json"))
    assert run.code == code and said in run.out + run.err


def test_what_fails_as_expected_is_no_failure(tmp_path: Path) -> None:
    (tmp_path / "known.json").write_text(json.dumps({"fail": {"15.4/*": "it says nothing"}}))
    run = conformance(
        tmp_path, "15.4/", "--expectations", str(tmp_path / "known.json"), "--target", target(tmp_path, "")
    )
    assert run.code == 0 and set(run.outcomes().values()) == {"failed as expected"}


def test_what_is_wrong_with_the_command_line_is_told(tmp_path: Path) -> None:
    for words in (["15.99"], ["--target", "x", "--socket", "y"], ["--level", "MAY"]):
        run = conformance(tmp_path, *words)
        assert run.code == 2 and run.err.splitlines()[-1].startswith("hostel: not done: "), run.err


def test_the_list_is_there_at_once(tmp_path: Path) -> None:
    began = time.monotonic()
    run = conformance(tmp_path, "--list", "--level", "SHOULD")
    assert run.code == 0 and [line.split()[0] for line in run.out.splitlines()] == [
        one.id for one in CASES if one.level == "SHOULD"
    ]
    assert time.monotonic() - began < HANG_S
