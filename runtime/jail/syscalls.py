"""System calls by number, and which of them a jailed process may still make. Tables only.

Every call here is one that something needs; why, is said beside those that are not plain. Whatever is not here is
refused. Landlock, rlimits and the rest stand behind this list, not in place of it.
"""

from __future__ import annotations

import errno
import mmap
import platform
import signal
import sys
from collections.abc import Mapping
from typing import Final, NamedTuple


class Machine(NamedTuple):
    """A processor that the tables know."""

    name: str
    column: int
    audit: int
    """AUDIT_ARCH_…: what the filter is told about the calling convention."""


MACHINES: Final = {"x86_64": Machine("x86_64", 0, 0xC000003E), "aarch64": Machine("aarch64", 1, 0xC00000B7)}

_NUMBERS: Final[Mapping[str, tuple[int | None, int | None]]] = {  # x86-64, arm64; None: not there, or not needed there
    "read": (0, 63), "write": (1, 64), "close": (3, 57), "mmap": (9, 222), "mprotect": (10, 226), "munmap": (11, 215),
    "brk": (12, 214), "rt_sigaction": (13, 134), "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139),
    "ioctl": (16, 29), "sched_yield": (24, 124), "mremap": (25, 216), "madvise": (28, 233), "getpid": (39, 172),
    "sendto": (44, 206), "recvfrom": (45, 207), "exit": (60, 93), "getrusage": (98, 165), "capset": (126, 91),
    "sigaltstack": (131, 132), "gettid": (186, 178), "futex": (202, 98), "restart_syscall": (219, 128),
    "timer_settime": (223, 110), "clock_gettime": (228, 113), "clock_nanosleep": (230, 115), "exit_group": (231, 94),
    "epoll_wait": (232, None), "epoll_ctl": (233, 21), "tgkill": (234, 131), "openat": (257, 56),
    "newfstatat": (262, 79),
    "epoll_pwait": (281, 22), "seccomp": (317, 277), "getrandom": (318, 278), "memfd_create": (319, 279),
    "membarrier": (None, 283), "clone3": (435, 435), "landlock_create_ruleset": (444, 444),
    "landlock_restrict_self": (446, 446),
}  # fmt: skip


class Condition(NamedTuple):
    """The low half of an argument, masked, must be this. All checked flags live in the low half."""

    argument: int
    mask: int
    value: int


_BASE: Final = (
    "read", "write", "close", "mprotect", "munmap", "mremap", "madvise", "brk", "rt_sigaction", "rt_sigprocmask",
    "rt_sigreturn", "sigaltstack", "sched_yield", "getpid", "gettid", "exit", "exit_group", "futex", "getrandom",
    "getrusage", "clock_nanosleep",
    "restart_syscall",  # the kernel makes it, when a stopped process goes on in the middle of a wait
    "membarrier",  # arm64: fresh code must be seen by the processor that runs it
)  # fmt: skip
_LOOP: Final = ("epoll_wait", "epoll_ctl", "epoll_pwait", "timer_settime")
_CHECKED: Final[Mapping[str, tuple[Condition, ...]]] = {
    # No file is mapped, whichever was open before; and nothing is both written and run without an mprotect between.
    "mmap": (Condition(3, mmap.MAP_ANONYMOUS, mmap.MAP_ANONYMOUS), Condition(2, mmap.PROT_EXEC, 0)),
    # The clocks of this process and the machine; those of other processes have numbers below zero.
    "clock_gettime": (Condition(0, 0xFFFF_FFF0, 0),),
}
_LOOP_CHECKED: Final[Mapping[str, tuple[Condition, ...]]] = {
    # No address: to the peer of a socket that was connected before. No flags in either direction: Python gives none,
    # and one that few use (MSG_OOB on Unix sockets, CVE-2025-38236) has been a way into the kernel from such a jail.
    "sendto": (Condition(3, 0xFFFF_FFFF, 0), Condition(5, 0xFFFF_FFFF, 0)),
    "recvfrom": (Condition(3, 0xFFFF_FFFF, 0),),
}
ANSWERED: Final[Mapping[str, int]] = {
    "memfd_create": errno.ENOSYS,  # the engine then copies a module's data instead of mapping it; EPERM would stop it
    "clone3": errno.ENOSYS,  # libc falls back on clone, which is refused
    # Refused, but not with the end of the process: Python tries them when it prints a traceback of our own fault.
    "openat": errno.EACCES,
    "newfstatat": errno.EACCES,
    "ioctl": errno.ENOTTY,
}


class Policy(NamedTuple):
    """What one kind of work may call."""

    allowed: tuple[str, ...]
    checked: Mapping[str, tuple[Condition, ...]]


POLICIES: Final[Mapping[str, Policy]] = {
    "run": Policy(_BASE + _LOOP, {**_CHECKED, **_LOOP_CHECKED}),
    "compile": Policy(_BASE, _CHECKED),
}
"""`run`: an executor worker, an event loop over its one socket. `compile`: reads, works, writes, ends."""


def abort_of(process: int) -> tuple[Condition, ...]:
    """tgkill, as abort(3) makes it: SIGABRT to the process itself. So that a fault of native code can be told apart."""
    return Condition(0, 0xFFFF_FFFF, process), Condition(2, 0xFFFF_FFFF, signal.SIGABRT)


def machine() -> Machine | None:
    """This one, if there is a jail for it."""
    return MACHINES.get(platform.machine()) if sys.platform == "linux" and sys.maxsize > 2**32 else None


def number(name: str, where: Machine) -> int | None:
    """None: that processor has no such call, or nothing in a jail there makes it."""
    return _NUMBERS[name][where.column]
