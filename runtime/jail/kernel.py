"""Calls into the kernel that Python has no name for, through libc. A failure is an OSError that says which call."""

from __future__ import annotations

import ctypes
import os
from typing import Any, Final

from runtime.jail.syscalls import machine, number

_LIBC: Final = ctypes.CDLL(None, use_errno=True)


def syscall(name: str, *arguments: int | bytes | None) -> int:
    """By its number on this machine; integers are passed as 64 bits, bytes as a pointer to them."""
    here = machine()
    found = number(name, here) if here else None
    if found is None:
        raise OSError(38, f"{name}: no such call on this machine")
    return _checked(name, _LIBC.syscall(ctypes.c_long(found), *map(_word, arguments)))


def prctl(option: int, value: int) -> None:
    _checked("prctl", _LIBC.prctl(option, *map(ctypes.c_ulong, (value, 0, 0, 0))))


def unshare(flags: int) -> None:
    _checked("unshare", _LIBC.unshare(flags))


def _word(argument: int | bytes | None) -> Any:
    return ctypes.c_long(argument) if isinstance(argument, int) else argument


def _checked(name: str, result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")
    return result
