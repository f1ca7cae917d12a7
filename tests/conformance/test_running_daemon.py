"""The suite, played through the control sockets of daemons with jailed workers: what the library promises counts as
built only when it is met there too.

A short form of every section in CI; HOSTEL_LONG=1 plays every case.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.conformance.suite import case
from tests.conformance.test_this_host import conformance

HERE = Path(__file__).resolve().parent
CASES = list(case.read_all(HERE / "cases"))
IS_LONG = os.environ.get("HOSTEL_LONG", "") not in ("", "0")
AMONG_OTHERS = (
    "4.4/room", "4.5/fresh-sandbox-echo", "4.5/refused-memory-growth", "6.2/a-call", "6.2/a-delegat", "6.2/depth",
    "6.2/only", "8.6/cancelled-wait", "9.1/memory-bytes",
)  # fmt: skip
"""On one daemon, one after the other: every refusal of a capability, endings, memory, prompts."""
ALONE = (
    "2.6/a-key-that-is-not-valid-yet", "6.3/name-with-an-inner-address", "8.3/pending-order-expires",
    "8.8/acknowledged-writes-survive", "8.9/program-is-woken", "17.3/gray-share-only-adds",
)  # fmt: skip
"""Each on a daemon of its own: a keyring, names outside, a clock that is moved, a restart, a host that knows nobody,
the ladder."""


def test_each_way_a_daemon_is_asked_has_a_case() -> None:
    """A part that plays nothing proves nothing."""
    for start in (*AMONG_OTHERS, *ALONE):
        assert any(one.id.startswith(start) for one in CASES), start


@pytest.mark.slow
def test_through_the_socket_of_daemons_a_part_passes(tmp_path: Path) -> None:
    run = conformance(tmp_path, "--daemon", "--jobs", "1", *AMONG_OTHERS, *ALONE)
    assert run.code == 0, run.out + run.err
    assert set(run.outcomes().values()) == {"passed"}, run.out


@pytest.mark.skipif(not IS_LONG, reason="the whole suite on daemons takes minutes: HOSTEL_LONG=1")
def test_through_the_socket_of_daemons_every_case_passes(tmp_path: Path) -> None:
    run = conformance(tmp_path, "--daemon", "--jobs", "2")
    assert run.code == 0, run.out + run.err
    assert run.outcomes() == {one.id: "passed" for one in CASES}
