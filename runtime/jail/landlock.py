"""Landlock: every right this kernel knows is handled and none is given. No file, no TCP, no signal to the outside."""

from __future__ import annotations

import os
import struct
from typing import Final

from runtime.jail import kernel

_ASK_VERSION: Final = 1
_FILE_RIGHTS: Final = {1: 13, 2: 14, 3: 15, 4: 15}
"""How many there are, by the kernel's ABI; 16 from ABI 5 on."""
_TCP: Final = 0b11
"""bind and connect, from ABI 4 on."""
_SCOPES: Final = 0b11
"""Abstract Unix sockets and signals, from ABI 6 on."""
SCOPES_ABI: Final = 6


def abi() -> int:
    """The kernel's. Raises OSError where there is no landlock, or it is switched off."""
    return kernel.syscall("landlock_create_ruleset", None, 0, _ASK_VERSION)


def ruleset(version: int) -> bytes:
    """The argument of landlock_create_ruleset for an ABI; older kernels take a shorter one."""
    files = (1 << _FILE_RIGHTS.get(version, 16)) - 1
    if version < 4:
        return struct.pack("<Q", files)
    if version < SCOPES_ABI:
        return struct.pack("<QQ", files, _TCP)
    return struct.pack("<QQQ", files, _TCP, _SCOPES)


def restrict() -> int:
    """Denies it all to this thread and its children, and gives the ABI. Needs no_new_privs and one free descriptor."""
    version = abi()
    rules = ruleset(version)
    descriptor = kernel.syscall("landlock_create_ruleset", rules, len(rules), 0)
    try:
        kernel.syscall("landlock_restrict_self", descriptor, 0)
    finally:
        os.close(descriptor)
    return version
