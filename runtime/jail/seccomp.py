"""The filter over system calls: built here as classic BPF, and installed for every thread of the process.

Building is pure: bytes from tables, so that a test can run the program against a model. A call from another calling
convention than the machine's own (32 bit, x32) ends the process whatever the mode: its numbers mean something else.
"""

from __future__ import annotations

import ctypes
import errno
import struct
from typing import Final

from runtime.jail import kernel
from runtime.jail.syscalls import ANSWERED, Condition, Machine, Policy, abort_of, number

ALLOW: Final = 0x7FFF_0000
ERRNO: Final = 0x0005_0000
KILL_PROCESS: Final = 0x8000_0000
REFUSE: Final = ERRNO | errno.EPERM

_NUMBER_AT, _ARCH_AT, _ARGUMENTS_AT = 0, 4, 16
_X32_BIT: Final = 0x4000_0000
_LOAD, _EQUAL, _AT_LEAST, _AND, _RETURN = 0x20, 0x15, 0x35, 0x54, 0x06
_SET_MODE_FILTER, _TSYNC = 1, 1


def build(policy: Policy, where: Machine, otherwise: int, *, process: int) -> bytes:
    """The program: `otherwise` is what a call that is not allowed meets, `KILL_PROCESS` or `REFUSE`; `process` is the
    number of the one that it is for."""
    program = [
        _op(_LOAD, _ARCH_AT), _op(_EQUAL, where.audit, 1, 0), _op(_RETURN, KILL_PROCESS),
        _op(_LOAD, _NUMBER_AT), _op(_AT_LEAST, _X32_BIT, 0, 1), _op(_RETURN, KILL_PROCESS),
    ]  # fmt: skip
    for name in policy.allowed:
        if (found := number(name, where)) is not None:
            program += _op(_EQUAL, found, 0, 1), _op(_RETURN, ALLOW)
    for name, error in ANSWERED.items():
        if (found := number(name, where)) is not None:
            program += _op(_EQUAL, found, 0, 1), _op(_RETURN, ERRNO | error)
    for name, conditions in (*policy.checked.items(), ("tgkill", abort_of(process))):
        if (found := number(name, where)) is not None:
            program += _checked(found, conditions, otherwise)
    return b"".join((*program, _op(_RETURN, otherwise)))


def _checked(found: int, conditions: tuple[Condition, ...], otherwise: int) -> list[bytes]:
    """Allowed if every condition holds. The last instruction but none is the refusal, where each failure jumps to."""
    ops = [_op(_EQUAL, found, 0, 3 * len(conditions) + 2)]
    for left, condition in zip(range(len(conditions), 0, -1), conditions, strict=True):
        ops += (
            _op(_LOAD, _ARGUMENTS_AT + 8 * condition.argument), _op(_AND, condition.mask),
            _op(_EQUAL, condition.value, 0, 3 * left - 2),
        )  # fmt: skip
    return [*ops, _op(_RETURN, ALLOW), _op(_RETURN, otherwise)]


def _op(code: int, value: int, when_true: int = 0, when_false: int = 0) -> bytes:
    return struct.pack("<HBBI", code, when_true, when_false, value)


def install(program: bytes) -> None:
    """For every thread of this process and all it could ever start; it cannot be taken off. Raises OSError.

    Needs no_new_privs, or the right to administer the system.
    """
    code = ctypes.create_string_buffer(program, len(program))
    described = struct.pack("<H6xQ", len(program) // 8, ctypes.addressof(code))
    if thread := kernel.syscall("seccomp", _SET_MODE_FILTER, _TSYNC, described):
        raise OSError(errno.EBUSY, f"seccomp: thread {thread} has another filter")
