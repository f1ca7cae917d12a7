"""Random guests: whatever bytes and pointers they send, the host lives and every call has one ending."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from runtime import App, CallEnded, Ending, HostSettings, wire
from runtime.blocking import BlockingHost
from runtime.sandbox import abi
from tests.hostile.guests import MEMORY, ROOM, Script, bundle, scripted
from tests.hostile.test_cycles import ENDLESS

Guest = tuple[BlockingHost, App]


@pytest.fixture(scope="module")
def guest(artifacts: Path) -> Iterator[Guest]:
    """A host in a thread of its own, for tests that are no tasks."""
    chosen = HostSettings(slots=4, allow_unsigned=True, cache_dir=artifacts)
    with BlockingHost.open(settings=chosen) as host:
        yield (
            host,
            host.install(
                bundle(scripted()), grant=["storage", "payment"], limits={**ENDLESS, "wall_ms": 200, "cpu_us": 20_000}
            ),
        )


METHODS = st.sampled_from(
    ["session.info", "session.sleep", "log.write", "storage.get", "storage.put", "storage.list", "x"]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(max_size=8) | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
PARAMS = st.dictionaries(st.sampled_from(["key", "value", "ms", "level", "message", "scope", "$x"]), VALUES, max_size=4)
MESSAGES = st.binary(max_size=60) | st.tuples(
    st.sampled_from([0, 1, 2]), st.integers(-1, 2**32), METHODS, PARAMS
).map(lambda parts: wire.encode(list(parts) if parts[0] != 2 else [2, *parts[2:]]))  # fmt: skip


@given(request=MESSAGES)
@example(request=b"")
@example(request=wire.notification("session.sleep", {"ms": 0}))
@settings(max_examples=200, deadline=None)
def test_any_bytes_as_a_request_are_answered_or_end_the_call(guest: Guest, request: bytes) -> None:
    host, app = guest
    script = Script().ask(request)
    try:
        value = host.call(app, "run", script.params(), user="alice").value
    except CallEnded as error:
        assert error.ending in (Ending.PROTOCOL_VIOLATION, Ending.DEADLINE_EXCEEDED)
        return
    kind, msgid, error_told, result = script.responses(value)[0]
    assert (kind, msgid) == (1, wire.parse_request(request, 4_096)[0])
    assert error_told is None or result is None


NUMBERS = st.sampled_from(
    [0, 1, 8, ROOM, MEMORY - 8, MEMORY - 1, MEMORY, MEMORY + 1, -1, -8, 0x7FFF_FFFF]
) | st.integers(0, 2**32 - 1)
SMALL = {"spin": 1_000, "memory_fill": 1 << 16, "memory_grow": 1_000}
"""Steps whose operands are kept small, so that an example takes no long time."""
IMPORTS = [*abi.HOSTEL_IMPORTS, "fd_write", "poll_oneoff", "clock_time_get", "random_get", "sched_yield", "proc_exit"]
STEPS = st.sampled_from([*IMPORTS, *IMPORTS, "memory_grow", "table_grow", "load", "spin", "unreachable", "give"])
REQUESTS = st.sampled_from(
    [wire.request(1, "session.info", {}), wire.request(1, "session.sleep", {"ms": 1}),
     wire.request(2, "storage.put", {"key": "k", "value": 1}), wire.request(3, "storage.get", {"key": "k"}),
     wire.notification("session.sleep", {"ms": 0}), wire.notification("log.write", {"level": "info", "message": "x"})],
)  # fmt: skip


@st.composite
def scripts(draw: st.DrawFn) -> Script:
    script = Script()
    for _ in range(draw(st.integers(1, 12))):
        match draw(st.sampled_from(["call", "post", "wait", "any"])):
            case "call":
                script.call(draw(REQUESTS), capacity=draw(st.sampled_from([0, 20, 4_096])))
            case "post":
                script.post(draw(REQUESTS))
            case "wait":
                script.wait(draw(st.sampled_from([0, 1, 5])), capacity=draw(st.sampled_from([0, 4_096])))
            case _:
                name = draw(STEPS)
                most = SMALL.get(name, 2**32)
                script.step(name, *(draw(NUMBERS) % most for _ in range(4)))
    return script


@given(script=scripts())
@settings(max_examples=300, deadline=None)
def test_any_sequence_of_steps_has_one_ending(guest: Guest, script: Script) -> None:
    host, app = guest
    try:
        receipt = host.call(app, "run", script.params(), user="alice").receipt
    except CallEnded as error:
        assert error.ending is not Ending.INTERNAL
        assert error.receipt is not None
        receipt = error.receipt
    assert receipt.ending in Ending
    told = host.statistics()
    assert (told.calls_in_flight, told.sandboxes) == (0, 0)
