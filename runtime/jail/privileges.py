"""What a process is, not what it calls: user, capabilities, namespaces, traceability, its end with its parent's."""

from __future__ import annotations

import os
import resource
import signal
import struct
from typing import Final

from runtime.jail import kernel

NOBODY: Final = 65_534
_PDEATHSIG, _DUMPABLE, _NO_NEW_PRIVS = 1, 4, 38
_CAPABILITIES_V3: Final = 0x2008_0522
_NEW_USER, _NEW_IPC, _NEW_NET = 0x1000_0000, 0x0800_0000, 0x4000_0000
_RLIMITS: Final = ("FSIZE", "CORE", "NPROC", "NOFILE", "MEMLOCK")


def drop_root() -> None:
    """To nobody, in no group. Nothing to do for who is not root."""
    if os.geteuid() == 0 or os.getuid() == 0:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)


def no_new_privs() -> None:
    kernel.prctl(_NO_NEW_PRIVS, 1)


def own_namespaces() -> None:
    """A network without interfaces and IPC of its own, in a user namespace that gives the right to make them.

    Only for one thread; sockets made before go on working. No pid namespace: it takes a second process.
    """
    kernel.unshare(_NEW_USER | _NEW_IPC | _NEW_NET)


def drop_capabilities() -> None:
    """All of them, also those that a fresh user namespace gave."""
    kernel.syscall("capset", struct.pack("<Ii", _CAPABILITIES_V3, 0), bytes(24))


def end_with_parent() -> None:
    """SIGKILL when the thread that started this process ends. After the last change of user, which clears it."""
    kernel.prctl(_PDEATHSIG, signal.SIGKILL)


def not_dumpable() -> None:
    """Nobody of the same user traces it or reads its memory."""
    kernel.prctl(_DUMPABLE, 0)


def rlimits() -> None:
    """No file to write, no core, no process, no new descriptor, no locked memory.

    Address space is not limited here: the pool reserves far more than it uses, and would abort.
    """
    for name in _RLIMITS:
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (0, 0))
