"""docs/protocol.md §4.6: every function of the WASI shim, and that there is none beside it."""

from __future__ import annotations

import struct
import time

import pytest

from runtime import Ending, GuestProtocolError
from runtime.sandbox import abi
from tests.runtime.abi.conftest import Conformance
from tests.runtime.abi.guests import DONE, RECORD, ROOM, Guest, Record, data, note

OK, EBADF, EINVAL, ENOSYS, ESPIPE = 0, 8, 28, 52, 70
AT = RECORD + 16
"""Where the functions write; place 4 of the record."""

ON_A_FILE = {
    **{name: EBADF for name, kind in abi.WASI_IMPORTS.items() if kind.params.startswith("i")},
    "args_get": OK, "args_sizes_get": OK, "environ_get": OK, "environ_sizes_get": OK, "sched_yield": OK,
    "random_get": OK, "clock_res_get": EINVAL, "clock_time_get": EINVAL, "poll_oneoff": EINVAL,
    "proc_raise": ENOSYS, "path_symlink": ENOSYS,
}  # fmt: skip
"""What each answers when its first argument is 3, the first descriptor a file could have, and the others are 0."""


def calling(name: str, *arguments: int) -> str:
    letters = abi.WASI_IMPORTS[name].params
    given = list(arguments) + [0] * (len(letters) - len(arguments))
    words = {"i": "i32.const", "I": "i64.const"}
    return (
        f"(call ${name} {' '.join(f'({words[letter]} {value})' for letter, value in zip(letters, given, strict=True))})"
    )


def on_a_file(name: str) -> tuple[int, ...]:
    return (3,) if abi.WASI_IMPORTS[name].params.startswith("i") else ()


async def told(conformance: Conformance, name: str, *arguments: int, **limits: int) -> Record:
    """The errno at place 0; what the function wrote at AT from place 4 on."""
    return await conformance.run(
        Guest(handle=f"{note(0, calling(name, *arguments))} {DONE}", wasi=(name,)), None, **limits
    )


async def test_there_is_no_file(conformance: Conformance) -> None:
    """All functions but proc_exit in one guest, on descriptor 3 or with nothing."""
    names = [name for name in abi.WASI_IMPORTS if name != "proc_exit"]
    errnos: list[int] = []
    for part in (names[:23], names[23:]):
        steps = [note(place, calling(name, *on_a_file(name))) for place, name in enumerate(part)]
        record = await conformance.run(Guest(handle=" ".join((*steps, DONE)), wasi=part))
        errnos += record.numbers(len(part))
    assert dict(zip(names, errnos, strict=True)) == {name: ON_A_FILE[name] for name in names}


@pytest.mark.parametrize("name", ["args_sizes_get", "environ_sizes_get"])
async def test_arguments_and_environment_are_empty(conformance: Conformance, name: str) -> None:
    fill = f"(i64.store (i32.const {AT}) (i64.const -1))"
    guest = Guest(handle=f"{fill} {note(0, calling(name, AT, AT + 4))} {DONE}", wasi=(name,))
    record = await conformance.run(guest)
    assert (record.numbers(1), record.reply.value[16:24]) == ((OK,), bytes(8))


@pytest.mark.parametrize(("stream", "level"), [(1, "info"), (2, "warning")])
async def test_output_is_log(conformance: Conformance, stream: int, level: str) -> None:
    vectors = struct.pack("<IIII", ROOM + 64, 6, ROOM + 70, 5) + bytes(48) + b"hello world"
    guest = Guest(
        handle=f"{note(0, calling('fd_write', stream, ROOM, 2, AT))} {note(1, f'(i32.load (i32.const {AT}))')}{DONE}",
        wasi=("fd_write",),
        more=data(ROOM, vectors),
    )
    record = await conformance.run(guest)
    assert (record.numbers(2), conformance.log.lines) == ((OK, 11), [(level, "hello world")])


async def test_a_write_takes_so_much_at_once(conformance: Conformance) -> None:
    vector = struct.pack("<II", 0, 5_000)
    guest = Guest(
        handle=f"{note(0, calling('fd_write', 1, ROOM, 1, AT))} {DONE}", wasi=("fd_write",),
        more=data(ROOM, vector),
    )  # fmt: skip
    assert (await conformance.run(guest)).numbers(5)[4] == 4_096


async def test_input_is_at_its_end(conformance: Conformance) -> None:
    assert (await told(conformance, "fd_read", 0, ROOM, 1, AT)).numbers(5)[::4] == (OK, 0)


@pytest.mark.parametrize(("descriptor", "errno"), [(0, OK), (2, OK), (3, EBADF)])
async def test_standard_descriptors_are_a_terminal(conformance: Conformance, descriptor: int, errno: int) -> None:
    record = await told(conformance, "fd_fdstat_get", descriptor, AT)
    assert (record.numbers(1), record.reply.value[16]) == ((errno,), 0 if errno else 2)


@pytest.mark.parametrize(("name", "errno"), [("fd_seek", ESPIPE), ("fd_close", OK), ("fd_tell", ENOSYS)])
async def test_other_calls_on_standard_output(conformance: Conformance, name: str, errno: int) -> None:
    assert (await told(conformance, name, 1)).numbers(1) == (errno,)


async def test_the_start_up_scan_of_a_libc_ends_at_once(conformance: Conformance) -> None:
    assert (await told(conformance, "fd_prestat_get", 3, AT)).numbers(1) == (EBADF,)


@pytest.mark.parametrize("clock", [0, 1])
async def test_time_is_of_the_last_resume_in_steps_of_a_millisecond(conformance: Conformance, clock: int) -> None:
    spin = "(local $n i32) (loop $again (br_if $again (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1)))"
    spin += " (i32.const 3000000))))"
    twice = calling("clock_time_get", clock, 0, AT), calling("clock_time_get", clock, 0, AT + 8)
    head, _, loop = spin.partition("(loop")
    guest = Guest(handle=f"{head} {twice[0]} (drop) (loop{loop} {twice[1]} (drop) {DONE}", wasi=("clock_time_get",))
    before = time.time_ns()
    first, second = struct.unpack_from("<QQ", (await conformance.run(guest)).reply.value, 16)
    assert first % 1_000_000 == second % 1_000_000 == 0
    assert before - 2_000_000 <= first <= second <= time.time_ns()


async def test_the_clocks_resolution_is_a_millisecond(conformance: Conformance) -> None:
    assert struct.unpack_from("<Q", (await told(conformance, "clock_res_get", 0, AT)).reply.value, 16) == (1_000_000,)


async def test_random_bytes_come_from_the_host(conformance: Conformance) -> None:
    seen = {(await told(conformance, "random_get", AT, 32)).reply.value[16:48] for _ in range(2)}
    assert len(seen) == 2
    assert (await told(conformance, "random_get", 0, 65_537)).numbers(1) == (EINVAL,)


def sleeping(ms: int) -> Guest:
    """poll_oneoff with one clock of so many milliseconds."""
    told = struct.pack("<QB7xI4xQQH6x", 77, 0, 1, ms * 1_000_000, 0, 0)
    step = note(0, calling("poll_oneoff", ROOM, ROOM + 64, 1, AT))
    copied = f"(i64.store (i32.const {AT + 8}) (i64.load (i32.const {ROOM + 64})))"
    return Guest(handle=f"{step} {copied} {DONE}", wasi=("poll_oneoff",), more=data(ROOM, told))


async def test_poll_sleeps_and_tells_which(conformance: Conformance) -> None:
    record = await conformance.run(sleeping(20), cpu_us=10_000)
    assert record.numbers(7)[::2] == (OK, 0, 1, 77)
    assert record.reply.receipt.usage.wall_us >= 20_000


async def test_poll_sleeps_at_most_to_the_deadline(conformance: Conformance) -> None:
    app = await conformance.install(sleeping(60_000), limits={"wall_ms": 30})
    with pytest.raises(Exception, match="deadline") as caught:
        await conformance.host.call(app, "run")
    assert getattr(caught.value, "ending", None) is Ending.DEADLINE_EXCEEDED


async def test_a_pointer_outside_the_memory_ends_the_call(conformance: Conformance) -> None:
    with pytest.raises(GuestProtocolError, match="outside the memory"):
        await told(conformance, "random_get", 65_535, 2)


async def test_the_shim_may_be_used_before_handle_but_not_in_start(conformance: Conformance) -> None:
    step = f"{calling('random_get', AT, 8)} (drop)"
    record = await conformance.run(Guest(initialize=step, wasi=("random_get",)))
    assert record.reply.value[16:24] != bytes(8)
    with pytest.raises(GuestProtocolError, match="start function"):
        await conformance.run(Guest(start=step, wasi=("random_get",)))
