"""Functions of WASI (§4.6) that have to do with the host; all others are wasmtime's own, without any folder."""

from __future__ import annotations

from typing import Any

from .call import Call, Ended

_EBADF, _EINVAL = 8, 28
LEVELS = {1: "info", 2: "warning"}


def write_log(call: Call, level: str, text: str) -> None:
    """Up to `log_bytes`; what comes after is cut."""
    room = call.limits["log_bytes"] - call.usage["log_bytes"]
    data = text.encode()[: max(room, 0)]
    if len(data) < len(text.encode()):
        call.usage["log_cut"] = True
    if data:
        call.log.append((level, data.decode(errors="ignore")))
        call.usage["log_bytes"] += len(data)


def _number(data: bytes) -> int:
    return int.from_bytes(data, "little")


def fd_write(call: Call, fd: int, vectors: int, count: int, written: int) -> int:
    if fd not in LEVELS:
        return _EBADF
    call.within(written, 4)
    text = b""
    for at in range(vectors, vectors + 8 * min(count & 0xFFFFFFFF, 64), 8):
        text += call.read(_number(call.read(at, 4)), _number(call.read(at + 4, 4)))
    for line in text[:4096].decode(errors="replace").splitlines():
        write_log(call, LEVELS[fd], line)
    call.write(written, min(len(text), 4096).to_bytes(4, "little"))
    return 0


def clock_time_get(call: Call, clock: int, precision: int, at: int) -> int:
    if clock not in (0, 1):
        return _EINVAL
    call.write(at, (call.clock.now_us // 1000 * 1_000_000).to_bytes(8, "little"))
    return 0


def clock_res_get(call: Call, clock: int, at: int) -> int:
    if clock not in (0, 1):
        return _EINVAL
    call.write(at, (1_000_000).to_bytes(8, "little"))
    return 0


def proc_exit(call: Call, code: int) -> None:
    raise Ended("exited", f"it exited with {code}", exit_code=code)


def poll_oneoff(call: Call, given: int, events: int, count: int, told: int) -> int:
    raise Ended("protocol_violation", "this host has no poll_oneoff")


FUNCTIONS: dict[str, tuple[str, int, Any]] = {
    "fd_write": ("iiii", 1, fd_write),
    "clock_time_get": ("iIi", 1, clock_time_get),
    "clock_res_get": ("ii", 1, clock_res_get),
    "proc_exit": ("i", 0, proc_exit),
    "poll_oneoff": ("iiii", 1, poll_oneoff),
}
