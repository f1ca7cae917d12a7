"""A client has the methods of a host with the same parameters: what was written for one runs on the other."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.runtime.client.test_client import Pair, opened

PARTS = {
    "prompts": "ask authorities is_awaited refresh register sweep wait withdraw_program",
    "users": "",
    "consents": "decide of_session require require_all standings",
    "notices": "",
    "front_end": "session_of",
    "developers": "",
    "releases": "",
}
"""Attributes of both, with what is the host's own there: for its services, not for who operates it."""
OTHERWISE = {
    ("", "audit_records"): "the client's takes a filter, and says how far the host looked",
    ("", "survey"): "the client's is told of parts as they come over the wire",
    ("front_end", "end_sessions"): "the host's is used by an erasure too",
}
"""Where they differ, and why."""


@pytest.fixture
async def both(tmp_path: Path) -> AsyncIterator[Pair]:
    async with opened(tmp_path / "hostel.sock") as made:
        yield made


def methods(part: Any) -> dict[str, list[tuple[str, Any, Any]]]:
    """Name → its parameters: name, kind, default."""
    found = inspect.getmembers(part, inspect.isroutine)
    return {
        name: [(p.name, p.kind, p.default) for p in inspect.signature(method).parameters.values()]
        for name, method in found
        if not name.startswith("_")
    }


async def test_what_is_there_on_one_side_only(both: Pair) -> None:
    for part, only_of_host in PARTS.items():
        mine, its = methods(getattr(both.client, part)), methods(getattr(both.host, part))
        assert (mine.keys() - its.keys(), its.keys() - mine.keys()) == (set(), {*only_of_host.split()}), part
    assert methods(both.client).keys() - methods(both.host).keys() == {"connect", "over", "ping"}


async def test_the_same_parameters_in_the_same_order_with_the_same_defaults(both: Pair) -> None:
    compared = 0
    for part in ("", *PARTS):
        mine, its = (methods(getattr(side, part) if part else side) for side in (both.client, both.host))
        for name in mine.keys() & its.keys():
            compared += 1
            if (part, name) not in OTHERWISE:
                assert mine[name] == its[name], (part, name)
    assert compared > 70
    for part, name in OTHERWISE:
        mine, its = (methods(getattr(side, part) if part else side) for side in (both.client, both.host))
        assert mine[name] != its[name], "no exception any more"
        common = [one for one in its[name] if one in mine[name]]
        assert common == [one for one in mine[name] if one in its[name]] != [], (part, name)
