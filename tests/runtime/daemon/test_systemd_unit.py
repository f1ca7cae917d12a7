"""The unit file that the documentation ships: it leaves the jail its tools, and systemd itself has nothing to say."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from runtime.jail import syscalls

UNIT = Path(__file__).parents[3] / "docs" / "hostel.service"
EXPOSURE_MOST = 2.5
"""Of 10, as `systemd-analyze security` counts: it is 2.1, and a directive that is dropped by mistake shows."""
BREAKS = ("MemoryDenyWriteExecute", "ProcSubset", "PrivateUsers", "PrivateNetwork", "IPAddressDeny")
MADE_BY_THE_JAIL = {"unshare", "prctl", "clone", "setrlimit", "prlimit64", "timer_create", "landlock_add_rule"}
needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")


def directives() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r"^(\w+)=(.*)$", UNIT.read_text(), re.MULTILINE):
        found.setdefault(name, []).append(value)
    return found


def analyze(*words: str) -> str:
    done = subprocess.run(["systemd-analyze", *words], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.fixture
def unit(tmp_path: Path) -> str:
    """With a command that is there, or systemd has that to say."""
    path = tmp_path / "hostel.service"
    path.write_text(UNIT.read_text().replace("/opt/hostel/bin/hostel", shutil.which("true") or ""))
    return str(path)


def test_nothing_is_set_that_breaks_the_jail_or_its_watch() -> None:
    found = directives()
    assert not set(BREAKS) & set(found)
    assert set(found["RestrictNamespaces"][0].split()) == {"user", "net", "ipc"}  # privileges.own_namespaces
    assert all(each.startswith("~") for each in found["SystemCallFilter"])


def test_what_the_daemon_says_to_its_manager_is_listened_to() -> None:
    found = directives()
    assert (found["Type"], found["NotifyAccess"]) == (["notify"], ["main"])
    assert int(found["WatchdogSec"][0]) > 0 and found["OOMPolicy"] == ["continue"]
    assert set(found["RestartPreventExitStatus"][0].split()) == {"2", "8"}


@needs_systemd
def test_systemd_takes_it_as_it_is(unit: str) -> None:
    assert analyze("verify", unit) == ""


@needs_systemd
def test_how_much_it_leaves_open(unit: str) -> None:
    told = analyze("security", "--offline=true", "--no-pager", unit)
    (exposure,) = re.findall(r"Overall exposure level for hostel.service: ([\d.]+)", told)
    assert float(exposure) <= EXPOSURE_MOST


@needs_systemd
def test_no_call_of_the_jail_is_refused() -> None:
    """Those on its list, and those it makes to get in."""
    refused: set[str] = set()
    for group in " ".join(directives()["SystemCallFilter"]).removeprefix("~").split():
        words = re.findall(r"^ +(\w+)$", analyze("syscall-filter", group), re.MULTILINE)
        assert words, group
        refused.update(words)
    assert not refused & (set(syscalls._NUMBERS) | MADE_BY_THE_JAIL)
