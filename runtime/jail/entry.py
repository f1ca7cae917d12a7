"""Entering the jail: the layers in the order that works, and what is told of those that this machine does not give.

The order matters. Root and namespaces first, while still allowed; what a change of user clears after it; landlock
needs a descriptor, so it comes before the limit on them; the filter is last, since it refuses the rest.
"""

from __future__ import annotations

import contextlib
import os
import platform
import signal
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, Literal, NamedTuple

from runtime.jail import landlock, privileges, seccomp
from runtime.jail.level import Grade, Level
from runtime.jail.syscalls import POLICIES, machine

Deny = Literal["kill", "errno"]
Work = Literal["run", "compile"]


class JailError(Exception):
    """The process is in no state to be jailed: a bug of its author's, and it must not go on."""


class _Layer(NamedTuple):
    """One wall. `take` raises OSError where it is not to be had, or gives a note about what it lacks."""

    name: str
    take: Callable[[], str | None]
    needed: bool
    without: str


def _landlock() -> str | None:
    version = landlock.restrict()
    if version >= landlock.SCOPES_ABI:
        return None
    return (
        f"landlock ABI {version} knows no signals or abstract sockets (Linux 6.12 does): the filter alone refuses them"
    )


_BEFORE: Final = (
    _Layer("user", privileges.drop_root, True, "the process stays root: it may not change its user"),
    _Layer("no_new_privs", privileges.no_new_privs, True, "no_new_privs cannot be set"),
    _Layer(
        "namespaces", privileges.own_namespaces, False,
        "no network and IPC namespace of its own (user namespaces are not permitted): the filter alone refuses sockets",
    ),
    _Layer("capabilities", privileges.drop_capabilities, True, "capabilities cannot be dropped"),
)  # fmt: skip
_WITHIN: Final = (
    _Layer("parent", privileges.end_with_parent, True, "it would outlive a parent that is killed"),
    _Layer("dumpable", privileges.not_dumpable, True, "its memory stays readable for its user"),
    _Layer("no_new_privs", privileges.no_new_privs, True, "no_new_privs cannot be set"),
    _Layer("landlock", _landlock, True, "no landlock (Linux 5.13, lsm=landlock): the filter alone refuses files"),
    _Layer("rlimits", privileges.rlimits, True, "resource limits cannot be set"),
)


def enter(*, deny: Deny = "kill", work: Work = "run", stepped_down: bool = False) -> Level:
    """Jails this process for the rest of its life and tells how far that went. Nothing undoes it.

    Called once, in a process of one thread, when all it needs is imported, opened and started (an event loop, its
    sockets, the engine, the ticker): there is no new descriptor and no new thread afterwards. Standard error must be a
    pipe or a terminal: no file can grow.

    `deny`: what a call that is not allowed meets: the end of the process (SIGSYS), or EPERM. `work`: which calls are.
    `stepped_down`: its parent has called `step_down`.

    Raises `JailError` before anything was done if there is a second thread: it would stay outside. Where there is no
    jail at all (another system or processor) it does nothing and says so; whether to go on is the caller's decision.

    The process is killed when the *thread* that started it ends, which a thread of a pool does early.
    """
    here = machine()
    if here is None:
        return nowhere()
    _one_thread()
    otherwise = seccomp.KILL_PROCESS if deny == "kill" else seccomp.REFUSE
    program = seccomp.build(POLICIES[work], here, otherwise, process=os.getpid())
    last = _Layer("seccomp", lambda: seccomp.install(program), True, "no seccomp: system calls are not refused")
    return _take((*(() if stepped_down else _BEFORE), *_WITHIN, last))


def step_down() -> Level:
    """The half of it that children inherit: user, capabilities, namespaces, no_new_privs, the end with the parent.

    For a process that forks children which `enter(stepped_down=True)`. It can still open files and start processes, so
    the level it reaches is `partial` at most; what is missing is told. Raises `JailError` like `enter`.
    """
    if machine() is None:
        return nowhere()
    _one_thread()
    reached = _take((*_BEFORE, *_WITHIN[:2]))
    return Level(Grade.PARTIAL, reached.missing, reached.notes)


def end_with(parent: int) -> None:
    """Ends this process with its parent, from now on: for a fork that is to be jailed later. At once if the parent has
    ended already, or else nobody would ever tell."""
    if machine() is not None:
        privileges.end_with_parent()
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def nowhere() -> Level:
    """The level of a system without a jail."""
    return Level(
        Grade.NONE,
        (f"there is no jail for {platform.system()} on {platform.machine()}: it takes Linux on x86-64 or arm64",),
    )


def _one_thread() -> None:
    """Landlock and the filter are put on threads, not on processes."""
    with contextlib.suppress(OSError):  # no /proc: Python's own count must do
        if len(list(Path("/proc/self/task").iterdir())) > 1:
            raise JailError("the process has a second thread, which would stay outside the jail")
    if threading.active_count() > 1:
        raise JailError("the process has a second Python thread, which would stay outside the jail")


def _take(layers: Iterable[_Layer]) -> Level:
    """Every one that is to be had, whichever are not."""
    missing: list[str] = []
    notes: list[str] = []
    absent: set[str] = set()
    for layer in layers:
        try:
            if note := layer.take():
                notes.append(note)
        except OSError as error:
            absent.add(layer.name)
            (missing if layer.needed else notes).append(f"{layer.without} ({error.strerror})")
    grade = Grade.NONE if {"landlock", "seccomp"} <= absent else Grade.PARTIAL if missing else Grade.FULL
    return Level(grade, tuple(missing), tuple(notes))
