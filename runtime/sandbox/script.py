"""A script on the host's own engine module: how a fresh instance comes to have it loaded (docs/protocol.md §4.8).

What lives here: the module that jobs name where a program is a script, the loading itself, under the call's limits and
before there is a message, and the memory that loading leaves. Loading asks for nothing, so what it leaves follows from
the engine and the script alone: it is kept, and laid over later instances in place of loading once more
(docs/decisions/0026). What a script image is stands in runtime/bundle/script.py; which engine runs it is decided above.
A module of a bundle that exports `hostel_load` is a module like any other: nothing here is ever asked for it.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from runtime.errors import Ending
from runtime.limits import KIB, MIB
from runtime.sandbox.binding import U32
from runtime.sandbox.fiber import Over

if TYPE_CHECKING:
    from runtime.sandbox.pool import Module
    from runtime.sandbox.sandbox import Sandbox

REPORT_BYTES_MAX: Final = 4_096
"""What the engine tells of a script that does not load."""
LOOKED_AT_MAX: Final = 4 * MIB
"""Memory of an instance that is compared; a script that takes more is loaded for each call."""
LEFT_MAX: Final = 1 * MIB
"""Of what one script left; the same."""
KEPT_MAX: Final = 64 * MIB
"""Of what all scripts left in this process; those used least recently go first."""
PAGE: Final = 4 * KIB
"""What is compared at once."""


class Left(NamedTuple):
    """The memory of an instance in which a script was loaded, as it differs from the engine's own."""

    limit: int
    """`memory_bytes` it was loaded under: a script may notice how much it gets."""
    size: int
    """Of the whole memory, bytes."""
    runs: tuple[tuple[int, bytes], ...]
    report: bytes
    """What the engine told."""


class Scripts:
    """What scripts left in one pool's instances, kept by use up to KEPT_MAX."""

    def __init__(self) -> None:
        self._left: OrderedDict[Script, tuple[Left, int]] = OrderedDict()
        self.kept_bytes = 0

    def find(self, script: Script, limit: int) -> Left | None:
        found = self._left.get(script)
        if found is None or found[0].limit != limit:
            return None
        self._left.move_to_end(script)
        return found[0]

    def keep(self, script: Script, left: Left) -> None:
        size = sum(len(data) for _, data in left.runs)
        if size > LEFT_MAX:
            return
        self._drop(script)
        self._left[script] = left, size
        self.kept_bytes += size
        while self.kept_bytes > KEPT_MAX:
            self._drop(next(iter(self._left)))

    def _drop(self, script: Script) -> None:
        if (found := self._left.pop(script, None)) is not None:
            self.kept_bytes -= found[1]


class Script:
    """A script image, as this process holds it for one engine."""

    __slots__ = ("image", "scripts")

    def __init__(self, image: bytes, scripts: Scripts | None) -> None:
        """`scripts`: where what it leaves is kept; None: it is loaded each time."""
        self.image, self.scripts = image, scripts


def scripted(engine: Module, image: bytes) -> Module:
    """The engine module with a script: the same code, loaded once for all scripts. Where fuel is counted, loading is
    part of every call's count."""
    return replace(engine, script=Script(image, None if engine.metered else engine.scripts))


async def load(sandbox: Sandbox, script: Script) -> bytes:
    """Makes an instance that has done nothing yet one that has loaded the script: b"", or what the engine tells of why
    it does not load (it answers messages with that as an error). Raises Over."""
    scripts, limit = script.scripts, sandbox.limits.memory_bytes
    if scripts is None:
        return await _load(sandbox, script.image)
    fiber = sandbox.fiber
    if (left := scripts.find(script, limit)) is None:
        before = fiber.read(0, fiber.size)
        report = await _load(sandbox, script.image)
        if (size := fiber.grown()) <= LOOKED_AT_MAX:
            scripts.keep(script, Left(limit, size, _differences(before, fiber.read(0, size)), report))
        return report
    fiber.grow(left.size)
    for at, data in left.runs:
        fiber.write(at, data)
    return left.report


async def _load(sandbox: Sandbox, image: bytes) -> bytes:
    fiber = sandbox.fiber
    pointer = await sandbox.allocate(len(image))
    fiber.write(pointer, image)
    sandbox.loading = True
    fiber.begin(b"hostel_load", pointer, len(image))
    await sandbox.run()
    sandbox.loading = False
    at, length = fiber.result >> 32, fiber.result & U32
    if length > REPORT_BYTES_MAX:
        raise Over(Ending.PROTOCOL_VIOLATION, f"hostel_load told {length} bytes, over {REPORT_BYTES_MAX}")
    return fiber.read(at, length) if length else b""


def _differences(before: bytes, after: bytes) -> tuple[tuple[int, bytes], ...]:
    """Where `after` is not `before` with zeros behind it, in whole pages; neighbours are one."""
    before = before.ljust(len(after), b"\0")
    runs: list[tuple[int, int]] = []
    for at in range(0, len(after), PAGE):
        if after[at : at + PAGE] == before[at : at + PAGE]:
            continue
        if runs and runs[-1][1] == at:
            runs[-1] = runs[-1][0], at + PAGE
        else:
            runs.append((at, at + PAGE))
    return tuple((begin, after[begin:end]) for begin, end in runs)
