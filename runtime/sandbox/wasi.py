"""The shim under `wasi_snapshot_preview1`, so that ordinary toolchains link: standard output is the log, there are
no files.

Arguments and environment are empty; random comes from the host; time is that of the guest's last resume, in 1 ms steps;
descriptors but 0–2 answer EBADF (libc ends its start-up scan on that); poll_oneoff sleeps, at most to the deadline;
proc_exit ends the call; everything else answers ENOSYS. docs/protocol.md §4.6.

A function here takes the sandbox and its arguments as unsigned ints and gives an errno, or an awaitable of one. Work
done here runs on the guest's CPU bill. Pointers are checked where memory is touched (Fiber.check).
"""

from __future__ import annotations

import struct
from collections.abc import Awaitable, Callable, Mapping
from hashlib import shake_128
from itertools import count
from typing import TYPE_CHECKING

import trio

from runtime.errors import Ending
from runtime.sandbox import abi
from runtime.sandbox.fiber import Over

if TYPE_CHECKING:
    from runtime.sandbox.sandbox import Sandbox

OK, EBADF, EINVAL, ENOSYS, ESPIPE = 0, 8, 28, 52, 70
STEP_US = 1_000
IOVECS_MOST, WRITE_MOST, LINES_MOST, RANDOM_MOST, SUBSCRIPTIONS_MOST = 64, 4_096, 64, 65_536, 64

_U32 = struct.Struct("<I")
_U64 = struct.Struct("<Q")
_SUBSCRIPTION = struct.Struct("<QB7xI4xQQH6x")
_EVENT = struct.Struct("<QHB5xQH6x")
_FDSTAT_TERMINAL = struct.pack("<BxH4xQQ", 2, 0, 1 << 6, 0)  # a character device that may be written

Wasi = Callable[..., "int | Awaitable[int]"]


def seeded(seed: bytes) -> Callable[[int], bytes]:
    """Random bytes that follow from a seed, for `Sandbox.random`: the same for the same seed and lengths, in turn."""
    drawn = count()
    return lambda length: shake_128(seed + next(drawn).to_bytes(8, "little")).digest(length)


def _empty_sizes(sandbox: Sandbox, count_at: int, size_at: int) -> int:
    sandbox.fiber.write(count_at, bytes(4))
    sandbox.fiber.write(size_at, bytes(4))
    return OK


def _ok(sandbox: Sandbox, *_: int) -> int:
    return OK


def _clock_res_get(sandbox: Sandbox, clock: int, into: int) -> int:
    if clock > 1:
        return EINVAL
    sandbox.fiber.write(into, _U64.pack(STEP_US * 1_000))
    return OK


def _clock_time_get(sandbox: Sandbox, clock: int, precision: int, into: int) -> int:
    if clock > 1:
        return EINVAL
    sandbox.fiber.write(into, _U64.pack(sandbox.resumed_us // STEP_US * STEP_US * 1_000))
    return OK


def _random_get(sandbox: Sandbox, into: int, length: int) -> int:
    if length > RANDOM_MOST:
        return EINVAL
    sandbox.fiber.check(into, length)
    sandbox.fiber.write(into, sandbox.random(length))
    return OK


def _fd_write(sandbox: Sandbox, descriptor: int, vectors_at: int, count: int, written_at: int) -> int:
    """Lines of log, at most WRITE_MOST bytes and LINES_MOST lines at once: a short write, which every libc carries on.
    Between two writes others get their turn, and a line costs as much as hundreds of its bytes."""
    if descriptor not in (1, 2):
        return EBADF
    if count > IOVECS_MOST:
        return EINVAL
    fiber, room, parts = sandbox.fiber, WRITE_MOST, []
    vectors = fiber.read(vectors_at, 8 * count)
    for at in range(0, 8 * count, 8):
        pointer, length = struct.unpack_from("<II", vectors, at)
        fiber.check(pointer, length)
        if length and room:
            parts.append(fiber.read(pointer, min(length, room)))
            room -= len(parts[-1])
    data = b"".join(parts)
    if data.count(b"\n") > LINES_MOST:
        data = data[: len(data) - len(data.split(b"\n", LINES_MOST)[-1])]
    fiber.write(written_at, _U32.pack(len(data)))
    sandbox.host.log(descriptor, data)
    return OK


def _fd_read(sandbox: Sandbox, descriptor: int, vectors_at: int, count: int, read_at: int) -> int:
    if descriptor != 0:
        return EBADF
    sandbox.fiber.write(read_at, bytes(4))  # the end of an empty file
    return OK


def _fd_fdstat_get(sandbox: Sandbox, descriptor: int, into: int) -> int:
    if descriptor > 2:
        return EBADF
    sandbox.fiber.write(into, _FDSTAT_TERMINAL)
    return OK


def _fd_close(sandbox: Sandbox, descriptor: int) -> int:
    return OK if descriptor <= 2 else EBADF


def _fd_seek(sandbox: Sandbox, descriptor: int, *_: int) -> int:
    return ESPIPE if descriptor <= 2 else EBADF


def _no_directory(sandbox: Sandbox, *_: int) -> int:
    return EBADF


def _other_descriptor(sandbox: Sandbox, descriptor: int, *_: int) -> int:
    return ENOSYS if descriptor <= 2 else EBADF


def _not_here(sandbox: Sandbox, *_: int) -> int:
    return ENOSYS


def _proc_exit(sandbox: Sandbox, code: int) -> int:
    raise Over(Ending.EXITED, f"the guest called proc_exit({code})", exit_code=code)


def _poll_oneoff(
    sandbox: Sandbox, subscriptions_at: int, events_at: int, count: int, ready_at: int
) -> int | Awaitable[int]:
    """Clocks sleep until the earliest; descriptors are always ready (0 is at its end, 1 and 2 take text)."""
    if not 1 <= count <= SUBSCRIPTIONS_MOST:
        return EINVAL
    fiber, ready, clocks = sandbox.fiber, [], []
    told = fiber.read(subscriptions_at, _SUBSCRIPTION.size * count)
    fiber.check(events_at, _EVENT.size * count)
    for userdata, tag, clock, timeout_ns, _, flags in _SUBSCRIPTION.iter_unpack(told):
        if tag:
            ready.append((userdata, OK if clock <= 2 else EBADF, tag))
        elif clock > 1:
            ready.append((userdata, EINVAL, tag))
        else:
            now_ns = sandbox.resumed_us * 1_000
            clocks.append((max(0, timeout_ns - now_ns) if flags & 1 else timeout_ns, userdata))

    def answer(due_ns: int = -1) -> int:
        events = ready + [(userdata, OK, 0) for wait_ns, userdata in clocks if wait_ns <= due_ns]
        fiber.write(events_at, b"".join(_EVENT.pack(userdata, errno, tag, 0, 0) for userdata, errno, tag in events))
        fiber.write(ready_at, _U32.pack(len(events)))
        return OK

    if ready or not clocks:
        return answer()

    async def sleep() -> int:
        wait_ns = min(clocks)[0]
        await trio.sleep(wait_ns / 1e9)
        return answer(wait_ns)

    return sleep()


_OWN: Mapping[str, Wasi] = {
    "args_sizes_get": _empty_sizes, "environ_sizes_get": _empty_sizes, "args_get": _ok, "environ_get": _ok,
    "clock_res_get": _clock_res_get, "clock_time_get": _clock_time_get, "random_get": _random_get,
    "sched_yield": _ok, "fd_write": _fd_write, "fd_read": _fd_read, "fd_close": _fd_close, "fd_seek": _fd_seek,
    "fd_fdstat_get": _fd_fdstat_get, "fd_prestat_get": _no_directory, "fd_prestat_dir_name": _no_directory,
    "poll_oneoff": _poll_oneoff, "proc_exit": _proc_exit,
    "path_symlink": _not_here, "proc_raise": _not_here,
}  # fmt: skip
FUNCTIONS: Mapping[str, Wasi] = {name: _OWN.get(name, _other_descriptor) for name in abi.WASI_IMPORTS}
"""Name → function. All others begin with a descriptor."""


def layout(signature: abi.Signature) -> struct.Struct:
    """How C lays the arguments out: 32 bytes a value, an i32 read as u32."""
    return struct.Struct("<" + "".join("8xI20x" if letter == "i" else "8xQ16x" for letter in signature.params))


LAYOUTS: Mapping[str, struct.Struct] = {name: layout(signature) for name, signature in abi.WASI_IMPORTS.items()}
