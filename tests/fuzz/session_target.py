"""The target `session`: the rules of a guest's host calls (docs/protocol.md §4.4), against a model of them.

Bytes are steps of the scripted guest, three a step, in a real sandbox: requests that are called, posted, waited for and
taken in any order, with msgids that are used again and rooms too small. The model says what each step answers, or that
it ends the call; the host has to agree step by step.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from runtime import CallEnded, Ending, HostSettings, wire
from runtime.blocking import BlockingHost
from runtime.registry import App
from tests.fuzz.search import Run, Target
from tests.hostile.guests import MEMORY, ROOM, Script, bundle, scripted
from tests.hostile.test_cycles import ENDLESS

STEPS_MOST: Final = 60
MSGIDS: Final = 24
POSTED: Final = 16
CAPACITIES: Final = (0, 1, 20, 300, 4_096, 0x6_0000)
NOTHING: Final = -1


class Ends(Exception):
    """The step ends the call as a violation of the protocol."""


@dataclass(slots=True)
class Model:
    """What the rules say. `given` and `refused`: bytes of a response, and of one that says `posted` is over."""

    given: int
    refused: int
    waiting: deque[tuple[int, int]] = field(default_factory=deque)
    """(msgid, length) of what was posted and not waited for."""
    kept: int | None = None

    def call(self, msgid: int, capacity: int) -> int:
        self.kept = None
        self._unused(msgid)
        return self._hand(self.given, capacity)

    def post(self, msgid: int) -> int:
        if len(self.waiting) >= POSTED:
            self.waiting.append((msgid, self.refused))
        else:
            self._unused(msgid)
            self.waiting.append((msgid, self.given))
        return 0

    def wait(self, capacity: int) -> int:
        self.kept = None
        return self._hand(self.waiting.popleft()[1], capacity) if self.waiting else NOTHING

    def take(self, capacity: int) -> int:
        return NOTHING if self.kept is None else self._hand(self.kept, capacity)

    def _hand(self, length: int, capacity: int) -> int:
        self.kept = length if length > capacity else None
        return length

    def _unused(self, msgid: int) -> None:
        if any(msgid == one for one, _ in self.waiting):
            raise Ends


def _get(msgid: int) -> bytes:
    return wire.request(msgid, "storage.get", {"key": "k"})


def played(data: bytes, model: Model) -> tuple[Script, list[int], bool]:
    """The script, what its steps tell, and whether the last of them ends the call."""
    script, told = Script(), list[int]()
    for at in range(0, min(len(data), 3 * STEPS_MOST) - 2, 3):
        step, first, second = data[at : at + 3]
        msgid, capacity = first % MSGIDS, CAPACITIES[second % len(CAPACITIES)]
        try:
            told.append(_step(script, model, step % 16, msgid, capacity))
        except Ends:
            return script, told, True
    return script, told, False


def _step(script: Script, model: Model, step: int, msgid: int, capacity: int) -> int:
    match step:
        case 0 | 1 | 2:
            script.call(_get(msgid), capacity=capacity)
            return model.call(msgid, capacity)
        case 3 | 4 | 5 | 6 | 7:
            script.post(_get(msgid))
            return model.post(msgid)
        case 8 | 9 | 10:
            script.wait(0, capacity=capacity)
            return model.wait(capacity)
        case 11 | 12 | 13:
            script.step("take", ROOM, capacity)
            return model.take(capacity)
    ends = (
        lambda: script.call(wire.notification("storage.get", {"key": "k"})),
        lambda: script.call(_get(msgid)[:-1]),
        lambda: script.step("call", MEMORY - 1, 2, ROOM, 8),
        lambda: script.step("call", ROOM, 8, MEMORY - 4, 5),
        lambda: script.step("wait", MEMORY - 4, 5, 0),
        lambda: script.step("take", MEMORY, 1),
        lambda: script.step("post", -1, 1),
    )
    ends[(msgid + step) % len(ends)]()
    raise Ends


@contextmanager
def opened() -> Iterator[Run]:
    with BlockingHost.open(settings=HostSettings(slots=4, allow_unsigned=True)) as host:
        app = host.install(bundle(scripted()), grant=["storage"], limits={**ENDLESS, "posted": POSTED})
        given, refused = _lengths(host, app)
        yield lambda data: _agree(host, app, data, Model(given, refused))


def _lengths(host: BlockingHost, app: App) -> tuple[int, int]:
    """Of a response, and of a refusal: as the host tells them, once. Which they are is other tests' question."""
    script = Script()
    for msgid in range(POSTED + 1):
        script.post(_get(msgid))
    for _ in range(POSTED + 1):
        script.wait(0)
    told = script.told(host.call(app, "run", script.params(), user="alice").value)
    return told[-2], told[-1]


def _agree(host: BlockingHost, app: App, data: bytes, model: Model) -> None:
    script, told, ends = played(data, model)
    try:
        reply = host.call(app, "run", script.params(), user="alice")
    except CallEnded as error:
        assert error.ending is Ending.PROTOCOL_VIOLATION and ends, f"{error.ending}: {error.message} after {told}"
        return
    assert not ends, f"the last step should have ended the call; {told}"
    assert script.told(reply.value) == told
    assert reply.receipt.usage.unclaimed == len(model.waiting)


def seeds() -> Iterator[bytes]:
    yield bytes((0, 1, 5, 3, 1, 0, 8, 0, 4, 11, 0, 0))
    yield bytes((3, 1, 0, 3, 2, 0, 0, 3, 0, 11, 0, 2, 11, 0, 5, 8, 0, 1, 8, 0, 5, 11, 0, 5))
    yield b"".join(bytes((3, msgid, 0)) for msgid in range(20)) + bytes((8, 0, 5)) * 21
    yield bytes((3, 1, 0, 3, 1, 0))
    yield from (bytes((0, 1, 5, 14, msgid, 0)) for msgid in range(7))


SESSION: Final = Target(
    name="session", about="the order of a guest's host calls", opened=opened, seeds=seeds, ci_examples=2_000
)
