"""The suite, played on this host as its users play it: in process, and through the socket of a daemon with workers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.conformance.suite import case
from tests.console import HANG_S, command, environment

HERE = Path(__file__).resolve().parent
SUITE_S = 1_200
DAEMON = "[host]\nallow_unsigned = true\nhttp = false\n[workers]\ncount = 2\n"
SAMPLE = (
    "2.1/an-ordinary", "4.4/ta", "4.4/room", "4.5/fresh-sandbox-echo", "5.2/", "8.1/", "8.3/confirmed-payment-is-paid",
    "12/values-are", "13/erased", "13/calls-in-flight", "14/hash-is", "15.1/m", "15.2/", "15.4/", "15.5/",
)  # fmt: skip
"""Programs, users, payments, erasures, streams and raw bytes: what a daemon does otherwise than a host in process."""
CASES = list(case.read_all(HERE / "cases"))
ODD = """
for line in sys.stdin:
    one = json.loads(line)
    steps = [{"result": {"odd": 1}} for _ in one["steps"]]
    print(json.dumps({"case": one["case"], "steps": steps}), flush=True)
"""


@dataclass(frozen=True, slots=True)
class Run:
    """What one run of `hostel conformance` said, and wrote."""

    code: int
    out: str
    err: str
    told: dict[str, Any]
    files: dict[str, Path]

    def outcomes(self) -> dict[str, str]:
        return {one["id"]: one["outcome"] for one in self.told.get("cases", ())}


def conformance(home: Path, *words: str) -> Run:
    files = {name: home / f"result.{name}" for name in ("json", "junit", "html")}
    for file in files.values():
        file.unlink(missing_ok=True)
    done = subprocess.run(
        [*command(), "conformance", *words, *(f"--{name}={file}" for name, file in files.items())],
        cwd=home, env=environment(home), capture_output=True, text=True, timeout=SUITE_S, check=False,
    )  # fmt: skip
    told = json.loads(files["json"].read_bytes()) if files["json"].exists() else {}
    return Run(done.returncode, done.stdout, done.stderr, told, files)


def target(home: Path, source: str) -> str:
    """The command of a target that is this much Python."""
    file = home / "target.py"
    file.write_text(f"import json, os, sys, time\n{source}\n")
    return f"{sys.executable} {file}"


# ---- this host -------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Every case of level MUST, in process."""
    return conformance(tmp_path_factory.mktemp("whole"), "--level", "MUST", "--jobs", "2")


def test_this_host_passes_every_case_of_level_must(whole: Run) -> None:
    assert whole.code == 0, whole.out + whole.err
    assert whole.outcomes() == {one.id: "passed" for one in CASES if one.level == "MUST"}


def test_junit_has_each_case(whole: Run) -> None:
    root = ElementTree.parse(whole.files["junit"]).getroot()
    assert root.tag == "testsuite" and int(root.attrib["tests"]) == len(whole.outcomes())
    assert [one.attrib["name"] for one in root] == [*whole.outcomes()]
    assert not list(root.iter("failure"))


def test_the_page_holds_each_case_and_loads_nothing(whole: Run) -> None:
    page = whole.files["html"].read_text(encoding="utf-8")
    assert [one.id for one in CASES if one.level == "MUST" and f"<code>{escape(one.id)}</code>" not in page] == []
    assert "src=" not in page and "<link" not in page and "<script" not in page
    passed = len(whole.outcomes())
    assert f"{passed} of {passed} cases of level MUST passed" in page


@pytest.fixture(scope="module")
def socket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Of a daemon that runs calls in jailed workers."""
    home = tmp_path_factory.mktemp("daemon")
    (home / "hostel.toml").write_text(DAEMON)
    process = subprocess.Popen(
        [*command(), "serve", "--state", "state"], cwd=home, env=environment(home), stderr=subprocess.PIPE
    )
    try:
        assert process.stderr is not None and json.loads(process.stderr.readline())["event"] == "ready"
        yield home / "state" / "hostel.sock"
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=HANG_S)
    assert process.returncode == 0


def test_a_daemon_with_workers_passes_what_it_can_be_asked(tmp_path: Path, socket: Path) -> None:
    first = conformance(tmp_path, "--socket", str(socket), *SAMPLE)
    assert first.code == 0, first.out + first.err
    assert sum(outcome == "passed" for outcome in first.outcomes().values()) > 40
    again = conformance(tmp_path, "--socket", str(socket), "8.3/confirmed", "13/erased-fields")
    assert set(again.outcomes().values()) == {"passed"}  # on what the first run left behind


# ---- targets that are none -------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("sys.exit(3)", "it ended without a result (exit status 3)"),
        ("sys.stdin.readline(); sys.exit('no store')", "its last words: no store"),
        ("print('hello', flush=True)", "what it wrote is no JSON"),
        ("print('[1, 2]', flush=True)", "no result with steps: [1, 2]"),
        ("print('{\"steps\": 1}', flush=True)", "no result with steps"),
        ("os.kill(os.getpid(), 9)", "exit status -9"),
    ],
)
def test_a_target_that_gives_no_result_is_broken(tmp_path: Path, source: str, reason: str) -> None:
    run = conformance(tmp_path, "--target", target(tmp_path, source), "15.4/", "--jobs", "1")
    assert run.code == 1 and set(run.outcomes().values()) == {"broken"}
    assert all(reason in one["reason"] for one in run.told["cases"])
    assert len(ElementTree.parse(run.files["junit"]).findall("*/failure")) == len(run.told["cases"])


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
