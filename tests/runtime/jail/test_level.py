"""Levels compare by grade; the probe tells the truth about this machine; who cannot be jailed is told so."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from runtime import jail
from runtime.jail import probing
from runtime.jail.level import Grade, Level

ROOT = Path(__file__).resolve().parents[3]


def child(code: str) -> list[object]:
    """What a fresh interpreter printed as JSON."""
    done = subprocess.run([sys.executable, "-I", "-S", "-c", f"import sys; sys.path.append({str(ROOT)!r})\n{code}"],
                          capture_output=True, check=True, timeout=30)  # fmt: skip
    found = json.loads(done.stdout)
    assert isinstance(found, list)
    return found


def test_levels_are_ordered_by_grade_alone() -> None:
    none, partial, full = map(Level.named, ("none", "partial", "full"))
    assert none < partial < full
    assert [str(level) for level in (none, partial, full)] == ["none", "partial", "full"]
    assert Level(Grade.PARTIAL, missing=("a wall.",)) == partial
    with pytest.raises(ValueError, match="none, partial or full"):
        Level.named("total")


def test_the_probe_reaches_full_here_and_is_remembered() -> None:
    """Linux with landlock and seccomp, which the suite is for; elsewhere this test says what is missing."""
    level = jail.probe()
    assert level.missing == ()
    assert level >= Level.named("full")
    assert jail.probe() is level


def test_a_probe_that_fails_is_no_jail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent")
    level = probing.probe.__wrapped__()
    assert level == Level.named("none")
    assert "/nonexistent" in level.missing[0]


def test_a_system_without_a_jail_says_so_and_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    for level in (jail.enter(), jail.step_down(), probing.probe.__wrapped__()):
        assert level == Level.named("none")
        assert "riscv64" in level.missing[0]


def test_a_second_thread_is_refused_before_anything_is_done() -> None:
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    try:
        with pytest.raises(jail.JailError, match="second thread"):
            jail.enter()
    finally:
        stop.set()
        thread.join()
    assert "Seccomp:\t0" in Path("/proc/self/status").read_text()


@pytest.mark.parametrize(
    ("broken", "level", "said"),
    [
        ("landlock.abi", "partial", "no landlock"),
        ("seccomp.install", "partial", "no seccomp"),
        ("privileges.own_namespaces", "full", "no network and IPC namespace"),
    ],
)
def test_what_a_kernel_does_not_give_is_told(broken: str, level: str, said: str) -> None:
    found = child(f"""
import json, os
from runtime.jail import entry, landlock, privileges, seccomp
def none(*_): raise OSError(38, "Function not implemented")
landlock.abi = none if {broken!r} == "landlock.abi" else landlock.abi
seccomp.install = none if {broken!r} == "seccomp.install" else seccomp.install
if {broken!r} == "privileges.own_namespaces":
    entry._BEFORE = tuple(one._replace(take=none) if one.name == "namespaces" else one for one in entry._BEFORE)
level = entry.enter(deny="errno")
os.write(1, json.dumps([str(level), [*level.missing, *level.notes]]).encode())
os._exit(0)
""")
    assert found[0] == level
    assert isinstance(found[1], list)
    assert any(said in told and "Function not implemented" in told for told in found[1])


def test_a_wall_that_does_not_bite_counts_as_missing() -> None:
    """A filter that lets everything through installs well; the probe finds out."""
    found = child("""
import struct
from runtime.jail import entry, probing, seccomp
seccomp.build = lambda *_, **__: struct.pack("<HBBI", 6, 0, 0, seccomp.ALLOW)
probing.report()
""")
    assert found[0] == Grade.PARTIAL
    assert "inside the jail one can still send to the network" in str(found[1])


def test_an_old_landlock_leaves_a_note() -> None:
    found = child("""
import json, os
from runtime.jail import entry, landlock
landlock.abi = lambda: 1
level = entry.enter(deny="errno")
os.write(1, json.dumps([str(level), level.missing, level.notes]).encode())
os._exit(0)
""")
    assert found[:2] == ["full", []]
    assert "landlock ABI 1" in str(found[2])


def test_the_jail_needs_nothing_but_the_standard_library() -> None:
    found = child("""
import json, runtime.jail
print(json.dumps(sorted(name for name in sys.modules if name.split(".")[0] not in sys.stdlib_module_names)))
""")
    assert all(str(name).split(".")[0] in ("runtime", "__main__") for name in found), found
    assert [name for name in found if str(name).startswith("runtime.")] == sorted(
        f"runtime.{name}"
        for name in ("jail", "jail.entry", "jail.kernel", "jail.landlock", "jail.level", "jail.privileges",
                     "jail.probing", "jail.seccomp", "jail.syscalls")
    )  # fmt: skip


def test_landlock_alone_refuses_what_it_knows() -> None:
    """The wall behind the filter, with the filter and the limit on descriptors left out."""
    found = child("""
import json, os, socket
from runtime.jail import entry, seccomp
tcp, parent = socket.socket(), os.getppid()
listening = socket.create_server(("127.0.0.1", 0))
def refusal(act):
    try:
        act()
    except OSError as error:
        return type(error).__name__
    return "worked"
seccomp.install = lambda program: None
entry._WITHIN = tuple(one for one in entry._WITHIN if one.name != "rlimits")
entry.enter()
told = [refusal(act) for act in (
    lambda: os.open("/etc/passwd", os.O_RDONLY),
    lambda: tcp.connect(listening.getsockname()),
    lambda: os.kill(parent, 0),
)]
os.write(1, json.dumps(told).encode())
os._exit(0)
""")
    assert found == ["PermissionError"] * 3
