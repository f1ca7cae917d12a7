"""Targets that are none: what never gets as far as a case ends the suite; what breaks on a case breaks that case."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ECHO = "4.5/fresh-sandbox-echo"
DIES_AT_A_CASE = "import sys\nif sys.stdin.readline(): sys.exit(5)\n"


def suite(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(HERE), "--seconds", "30", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("/nowhere/such-a-target", "cannot be started"),
        (f"{sys.executable} /nowhere/target.py", "ends with exit status 2 before it reads a case"),
    ],
)
def test_a_target_that_cannot_start_is_told_once(target: str, why: str) -> None:
    done = suite("--target", target, "--jobs", "2", "4.5")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("conformance: ") == 1 and why in done.stderr


def test_a_target_that_dies_at_a_case_is_broken_at_it(tmp_path: Path) -> None:
    (tmp_path / "dies.py").write_text(DIES_AT_A_CASE)
    done = suite("--target", f"{sys.executable} {tmp_path / 'dies.py'}", ECHO)
    assert done.returncode == 1
    assert "broken" in done.stdout.lower() and "exit status 5" in done.stdout
