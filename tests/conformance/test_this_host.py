"""The suite, played on this host as its users play it: in process, and through the socket of a daemon with workers."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.conformance.suite import case
from tests.conformance.suite.contrary import changed, contrary, is_noticed, wanted_places
from tests.conformance.suite.expand import expand
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


def conformance(home: Path, *words: str, temporary: Path | None = None) -> Run:
    """`temporary`: where temporary files go; None: `home`."""
    files = {name: home / f"result.{name}" for name in ("json", "junit", "html")}
    for file in files.values():
        file.unlink(missing_ok=True)
    done = subprocess.run(
        [*command(), "conformance", *words, *(f"--{name}={file}" for name, file in files.items())],
        cwd=home, env=environment(home) | {"TMPDIR": str(temporary or home)}, capture_output=True, text=True,
        timeout=SUITE_S, check=False,
    )  # fmt: skip
    told = json.loads(files["json"].read_bytes()) if files["json"].exists() else {}
    return Run(done.returncode, done.stdout, done.stderr, told, files)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Every case of level MUST, in process."""
    return conformance(tmp_path_factory.mktemp("whole"), "--level", "MUST", "--jobs", "2")


@pytest.mark.slow
def test_this_host_passes_every_case_of_level_must(whole: Run) -> None:
    assert whole.code == 0, whole.out + whole.err
    assert whole.outcomes() == {one.id: "passed" for one in CASES if one.level == "MUST"}


@pytest.mark.slow
def test_each_case_turns_red_for_a_wrong_answer(whole: Run) -> None:
    """For one that nobody gives, at some step; and for each single value that it names."""
    blind, missed, values, by_id = [], [], 0, {one.id: one for one in CASES}
    for told in whole.told["cases"]:
        one, steps = by_id[told["id"]], [step["came"] for step in told["steps"]]
        expanded = expand(one, HERE / "guests")
        assert not is_noticed(one, expanded, steps), one.id
        others = ([*steps[:at], contrary(came), *steps[at + 1 :]] for at, came in enumerate(steps))
        if not any(is_noticed(one, expanded, other) for other in others):
            blind.append(one.id)
        for at in wanted_places(one, expanded, steps):
            values += 1
            if not is_noticed(one, expanded, changed(steps, at)):
                missed.append((one.id, at))
    assert blind == [] and missed == []
    assert values > 5_000


def test_junit_has_each_case(whole: Run) -> None:
    root = ElementTree.parse(whole.files["junit"]).getroot()
    assert root.tag == "testsuite" and int(root.attrib["tests"]) == len(whole.outcomes())
    assert [one.attrib["name"] for one in root] == [*whole.outcomes()]
    assert not list(root.iter("failure"))


def test_the_page_holds_each_case_and_loads_nothing(whole: Run) -> None:
    page = whole.files["html"].read_text(encoding="utf-8")
    shown = {unescape(one) for one in re.findall(r"<code>(.*?)</code>", page)}  # each sought for itself takes 9 s
    assert [one.id for one in CASES if one.level == "MUST" and one.id not in shown] == []
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
