"""`hostel test`: what it prints, what it ends with, and what it leaves for continuous integration."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.console import ROOT
from tests.runtime.cli.conftest import Cli

PASSES = {"call": "echo", "params": {"value": {"n": 1}}, "expect": {"n": 1}}
FAILS = {"say": "It is two.", "call": "echo", "params": {"value": {"n": 1}}, "expect": {"n": 2}}


@pytest.fixture
def project(home: Path) -> Callable[..., Path]:
    """A project of the echo program; each keyword is a scenario's steps."""

    def make(**scenarios: Any) -> Path:
        folder = home / "shop"
        shutil.copytree(ROOT / "sample_programs/echo/bundle", folder / "bundle")
        (folder / "scenarios").mkdir()
        for name, steps in scenarios.items():
            (folder / f"scenarios/{name}.json").write_text(json.dumps({"about": "A test.", "steps": steps}))
        return folder

    return make


def test_scenarios_that_pass(cli: Cli, project: Callable[..., Path]) -> None:
    folder = project(first=[PASSES], second=[PASSES, {"advance": "1h"}])
    said = cli("test", folder)
    assert (said.code, said.err) == (0, "")
    lines = said.out.splitlines()
    assert lines[0] == "first: A test." and lines[1].startswith("  ok     1  echo  (")
    assert lines[-2].startswith("  ok     2  3600 s later  (") and lines[-1] == "2 scenarios passed through library"
    told = cli("test", folder, "--only", "second", "--json").json["scenarios"]
    assert [(one["name"], one["passed"], len(one["steps"])) for one in told] == [("second", True, 2)]
    assert told[0]["steps"][0]["receipt"]["ending"] == "completed"


def test_a_scenario_that_fails_says_where(cli: Cli, project: Callable[..., Path], home: Path) -> None:
    folder = project(first=[PASSES], second=[PASSES, FAILS, PASSES])
    said = cli("test", folder, "--junit", "results.xml")
    assert said.code == 25
    assert "hostel: failed: 1 of 2 scenarios failed: second (scenario_failed)" in said.err
    at = said.out.splitlines().index(next(line for line in said.out.splitlines() if "FAIL   2  It is two." in line))
    assert [line.strip() for line in said.out.splitlines()[at + 1 :]] == [
        "the answer is not what was expected at /n", "expected: 2", "came:     1", 'all of it: {"n": 1}'
    ]  # fmt: skip
    suites = ElementTree.parse(home / "results.xml").getroot()
    counts = [(suite.get("name"), suite.get("tests"), suite.get("failures")) for suite in suites]
    assert counts == [("first", "1", "0"), ("second", "2", "1")]
    failure = suites.find("testsuite/testcase/failure")
    assert failure is not None and failure.get("message") == "the answer is not what was expected at /n"
    told = cli("test", folder, "--json").json["error"]
    assert (told["code"], told["exit_code"]) == ("scenario_failed", 25)
    step = told["details"]["scenarios"][1]["steps"][1]
    assert (step["path"], step["expected"], step["came"]) == ("/n", 2, 1)


def test_what_is_no_project(cli: Cli, project: Callable[..., Path], home: Path) -> None:
    for words, said in (
        (["nothing"], "is no folder"),
        ([home], "holds no scenario"),
        ([project(first=[{"cal": "list"}])], "first.json: steps[0]: no step; write one of call"),
        (["shop", "--only", "secnd"], "no scenario 'secnd'; there are first"),
        (["shop", "--through", "air"], "--through"),
    ):
        refused = cli("test", *words)
        assert (refused.code, said in refused.err) == (2, True), refused.err


def test_a_bundle_that_is_refused_is_no_failed_scenario(cli: Cli, project: Callable[..., Path]) -> None:
    folder = project(first=[PASSES])
    (folder / "bundle/program.wasm").write_bytes(b"\0asm\1\0\0\0")
    assert cli("test", folder).code == 5
    (folder / "bundle/manifest.json").write_text("{}")
    assert cli("test", folder).code == 3


def test_a_module_that_was_never_built_is_told_with_the_command_that_builds_it(
    cli: Cli, project: Callable[..., Path]
) -> None:
    folder = project()
    (folder / "source").mkdir()
    (folder / "source/main.c").write_text("int x;")
    (folder / "bundle/program.wasm").unlink()
    for name in ("test", "pack", "check"):
        said = cli(name, folder)
        assert said.code == 2 and f"hostel build {folder} makes it" in said.err


def test_a_source_that_is_newer_than_the_module_is_told(cli: Cli, project: Callable[..., Path]) -> None:
    folder = project(first=[PASSES])
    (folder / "source").mkdir()
    source = folder / "source/main.c"
    source.write_text("int main;")
    module = folder / "bundle/program.wasm"
    os.utime(module, ns=(1, source.stat().st_mtime_ns - 1))
    said = cli("test", folder)
    assert said.code == 0 and "a source is newer than bundle/program.wasm" in said.err
    packed = cli("pack", folder, "-o", "stale.ma", "--json")
    assert packed.code == 0 and packed.json["warnings"] == [said.err.strip().partition("warning: ")[2]]
    assert "a source is newer" in cli("check", folder).err
    record = {"sources": {"source/main.c": hashlib.sha256(source.read_bytes()).hexdigest()}}
    (folder / "program.sources.json").write_text(json.dumps(record))  # as a checkout leaves the samples
    assert cli("test", folder).err == cli("pack", folder, "-o", "kept.ma").err == ""
    source.write_text("int other;")
    assert "a source is newer" in cli("test", folder).err
    os.utime(module, ns=(1, source.stat().st_mtime_ns + 1))
    assert cli("test", folder).err == ""


def test_hostile_texts_stay_in_their_lines(cli: Cli, project: Callable[..., Path], home: Path) -> None:
    """Of a program: escape sequences reach neither the terminal nor the XML."""
    hostile = "\x1b[31mred\nnew \x00"
    folder = project(first=[{"call": "echo", "params": {"value": hostile}, "expect": "white", "say": "A \x1b title"}])
    said = cli("test", folder, "--junit", "results.xml")
    assert said.code == 25 and "\x1b" not in said.out + said.err and "\x00" not in said.out
    ElementTree.parse(home / "results.xml")
