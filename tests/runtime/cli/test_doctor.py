"""`hostel doctor`: what is there, what is missing, how it is had."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime import StartupError
from runtime.cli import doctor
from runtime.toolchains import TOOLCHAINS
from tests.runtime.cli.conftest import Cli


def test_a_machine_that_runs_the_tests_is_well(cli: Cli, cache: Path) -> None:
    said = cli("doctor", "--json")
    assert said.code == 0, said.err
    found = {line["what"]: line for line in said.json["found"]}
    assert found["wasmtime"]["verdict"] == found["ticker"]["verdict"] == "well"
    assert {"kernel", "sandbox level", "cache", "vm.max_map_count", "python"} <= found.keys()
    assert {f"programs in {name}" for name in TOOLCHAINS} <= found.keys()
    assert all(line["cure"] for line in said.json["found"] if line["verdict"] == "less")
    assert found["cache"]["found"].startswith(str(cache))
    assert "sandbox level" in cli("doctor").out


def test_what_is_required_and_missing_has_an_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("platform.system", lambda: "Windows")
    with pytest.raises(StartupError, match="missing here: system") as refused:
        doctor.doctor()
    assert refused.value.exit_code == 8
    assert refused.value.details["found"]
    assert "Windows" in capsys.readouterr().out


def test_an_old_kernel_and_few_mappings_are_less(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.release", lambda: "5.10.0-28-amd64")
    monkeypatch.setattr(doctor, "MAPPINGS_DEFAULT", 1 << 60)
    kernel, mappings = list(doctor._system())
    assert (kernel.verdict, mappings.verdict) == ("less", "less")
    assert kernel.cure and mappings.cure.startswith("sysctl vm.max_map_count=")
