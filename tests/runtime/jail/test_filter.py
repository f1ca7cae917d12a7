"""The filter over system calls, run by a small interpreter and held against the tables: every number, every mode."""

from __future__ import annotations

import errno
import mmap
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.jail import landlock
from runtime.jail.seccomp import ALLOW, ERRNO, KILL_PROCESS, REFUSE, build
from runtime.jail.syscalls import ANSWERED, MACHINES, POLICIES, Machine, abort_of, number

LOAD, EQUAL, AT_LEAST, AND, RETURN = 0x20, 0x15, 0x35, 0x54, 0x06
PROCESS = 4_711
MODES = (KILL_PROCESS, REFUSE)
U64 = st.integers(0, 2**64 - 1)
Call = tuple[int, int, tuple[int, ...]]
"""Number, architecture, arguments."""


def verdict(program: bytes, call: Call) -> int:
    """What the kernel would give: every jump forward and inside, every load aligned and inside."""
    instructions = list(struct.iter_unpack("<HBBI", program))
    nr, arch, arguments = call
    data = struct.pack("<IIQ6Q", nr, arch, 0, *arguments)
    accumulator, at = 0, 0
    while True:
        code, when_true, when_false, value = instructions[at]
        at += 1
        if code == LOAD:
            assert value % 4 == 0
            accumulator = struct.unpack_from("<I", data, value)[0]
        elif code == AND:
            accumulator &= value
        elif code == RETURN:
            return int(value)
        else:
            assert code in (EQUAL, AT_LEAST)
            at += when_true if (accumulator == value if code == EQUAL else accumulator >= value) else when_false


def wanted(work: str, where: Machine, otherwise: int, call: Call) -> int:
    """The tables, read as a sentence."""
    nr, arch, arguments = call
    if arch != where.audit or nr >= 0x4000_0000:
        return KILL_PROCESS
    policy = POLICIES[work]
    checked = {**policy.checked, "tgkill": abort_of(PROCESS)}
    names = {number(name, where): name for name in (*policy.allowed, *checked, *ANSWERED)}
    name = names.get(nr, "")
    if name in checked:
        low = [argument & 0xFFFF_FFFF for argument in arguments]
        return ALLOW if all(low[c.argument] & c.mask == c.value for c in checked[name]) else otherwise
    return ALLOW if name in policy.allowed else ERRNO | ANSWERED[name] if name in ANSWERED else otherwise


@pytest.mark.parametrize("where", MACHINES.values(), ids=MACHINES)
@pytest.mark.parametrize("work", POLICIES)
@pytest.mark.parametrize("otherwise", MODES)
def test_every_number_gets_what_the_tables_say(where: Machine, work: str, otherwise: int) -> None:
    program = build(POLICIES[work], where, otherwise, process=PROCESS)
    for arguments in ((0,) * 6, (2**64 - 1,) * 6):
        for nr in range(600):
            call = nr, where.audit, arguments
            assert verdict(program, call) == wanted(work, where, otherwise, call), call


@given(
    where=st.sampled_from(list(MACHINES.values())), work=st.sampled_from(list(POLICIES)),
    otherwise=st.sampled_from(MODES),
    nr=st.integers(0, 500) | st.integers(0, 2**32 - 1), arch=st.integers(0, 2**32 - 1) | st.none(),
    arguments=st.tuples(*[U64 | st.sampled_from((0, 1, 4, 0x22, 2**32))] * 6),
)  # fmt: skip
def test_any_call_gets_what_the_tables_say(
    where: Machine, work: str, otherwise: int, nr: int, arch: int | None, arguments: tuple[int, ...]
) -> None:
    call = nr, where.audit if arch is None else arch, arguments
    assert verdict(build(POLICIES[work], where, otherwise, process=PROCESS), call) == wanted(
        work, where, otherwise, call
    )


PRIVATE_ANONYMOUS = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
RW, RWX = mmap.PROT_READ | mmap.PROT_WRITE, mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC


BY_HAND = [  # x86-64, arm64: numbers written out here, so that a wrong table is noticed; None: it has no such call
    (9, 222, (0, 4096, RW, PRIVATE_ANONYMOUS, 2**64 - 1, 0), ALLOW),
    (9, 222, (0, 4096, RWX, PRIVATE_ANONYMOUS, 2**64 - 1, 0), KILL_PROCESS),
    (9, 222, (0, 4096, RW, mmap.MAP_PRIVATE, 3, 0), KILL_PROCESS),  # a file that was open before
    (44, 206, (3, 0, 1, 0, 0, 0), ALLOW),
    (44, 206, (3, 0, 1, 0, 0x7000, 16), KILL_PROCESS),  # to an address
    (44, 206, (3, 0, 1, 1, 0, 0), KILL_PROCESS),  # out of band
    (45, 207, (3, 0, 1, 1, 0, 0), KILL_PROCESS),
    (45, 207, (3, 0, 1, 0, 0, 0), ALLOW),
    (228, 113, (3, 0, 0, 0, 0, 0), ALLOW),  # this thread's CPU time
    (228, 113, (0xFFFF_FF86, 0, 0, 0, 0, 0), KILL_PROCESS),  # another process's
    (234, 131, (PROCESS, 1, 6, 0, 0, 0), ALLOW),  # its own abort
    (234, 131, (PROCESS, 1, 9, 0, 0, 0), KILL_PROCESS),
    (234, 131, (PROCESS + 1, 1, 6, 0, 0, 0), KILL_PROCESS),
    (319, 279, (0,) * 6, ERRNO | errno.ENOSYS),  # memfd_create
    (435, 435, (0,) * 6, ERRNO | errno.ENOSYS),  # clone3
    (56, 220, (0x0001_0000,) * 6, KILL_PROCESS),  # clone, even of a thread
    (57, None, (0,) * 6, KILL_PROCESS),  # fork
    (257, 56, (0,) * 6, ERRNO | errno.EACCES),  # openat
    (59, 221, (0,) * 6, KILL_PROCESS),  # execve
    (41, 198, (1, 1, 0, 0, 0, 0), KILL_PROCESS),  # socket
    (101, 117, (16, 1, 0, 0, 0, 0), KILL_PROCESS),  # ptrace
    (62, 129, (1, 9, 0, 0, 0, 0), KILL_PROCESS),  # kill
    (0, 63, (0,) * 6, ALLOW),
    (231, 94, (0,) * 6, ALLOW),  # exit_group
    (232, None, (3, 0, 1, 0, 0, 0), ALLOW),  # epoll_wait
    (281, 22, (3, 0, 1, 0, 0, 8), ALLOW),  # epoll_pwait, which is what arm64 waits by
    (223, 110, (0,) * 6, ALLOW),  # timer_settime
    (324, 283, (0,) * 6, None),  # membarrier
]


@pytest.mark.parametrize("where", MACHINES.values(), ids=MACHINES)
def test_by_hand(where: Machine) -> None:
    program = build(POLICIES["run"], where, KILL_PROCESS, process=PROCESS)
    for *numbers, arguments, answer in BY_HAND:
        if (nr := numbers[where.column]) is None:
            continue
        wanted = answer or (ALLOW if where.name == "aarch64" else KILL_PROCESS)
        assert verdict(program, (nr, where.audit, arguments)) == wanted, (nr, arguments)


@pytest.mark.parametrize("where", MACHINES.values(), ids=MACHINES)
def test_a_call_by_another_convention_ends_the_process(where: Machine) -> None:
    """32 bit on either processor, the other processor's, and x32: `read` by its number there."""
    program = build(POLICIES["run"], where, REFUSE, process=PROCESS)
    audits = {machine.audit for machine in MACHINES.values()} - {where.audit} | {0x4000_0003, 0x4000_0028}
    for nr, arch in [*((number("read", where) or 0, audit) for audit in audits), (0x4000_0000, where.audit)]:
        assert verdict(program, (nr, arch, (0,) * 6)) == KILL_PROCESS, (nr, hex(arch))


@pytest.mark.parametrize(
    ("where", "numbers"),
    [(MACHINES["x86_64"], (44, 45, 223, 232, 233, 281)), (MACHINES["aarch64"], (206, 207, 110, 21, 22))],
    ids=MACHINES,
)
def test_a_compile_child_has_no_loop_and_no_socket(where: Machine, numbers: tuple[int, ...]) -> None:
    compiles, runs = (build(POLICIES[work], where, KILL_PROCESS, process=PROCESS) for work in ("compile", "run"))
    for nr in numbers:
        assert verdict(compiles, (nr, where.audit, (0,) * 6)) == KILL_PROCESS
        assert verdict(runs, (nr, where.audit, (0,) * 6)) == ALLOW


def test_the_program_is_one_the_kernel_takes() -> None:
    for work in POLICIES:
        for where in MACHINES.values():
            program = build(POLICIES[work], where, KILL_PROCESS, process=PROCESS)
            assert len(program) % 8 == 0 and len(program) // 8 < 4_096
            assert struct.unpack_from("<HBBI", program, len(program) - 8)[0] == RETURN


@pytest.mark.parametrize(
    ("abi", "size", "files"),
    [(1, 8, 13), (2, 8, 14), (3, 8, 15), (4, 16, 15), (5, 16, 16), (6, 24, 16), (7, 24, 16), (99, 24, 16)],
)
def test_landlock_handles_all_that_its_kernel_knows(abi: int, size: int, files: int) -> None:
    rules = landlock.ruleset(abi)
    words = struct.unpack(f"<{size // 8}Q", rules)
    assert len(rules) == size
    assert words == (2**files - 1, 3, 3)[: len(words)]
