"""Scenarios of a program that asks the host whatever it is told to: `sample_programs/echo` with every permission."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from trio.testing import MockClock

from runtime.bundle import Bundle, pack_contents
from runtime.scenarios.player import Failure, Played, play
from runtime.scenarios.project import Installed
from runtime.scenarios.scenario import read
from runtime.scenarios.stage import Library, Place
from runtime.settings import HostSettings
from tests.console import ROOT

ECHO = ROOT / "sample_programs/echo/bundle/program.wasm"
MANIFEST: dict[str, Any] = {
    "app_id": "org.example.all",
    "name": "All",
    "version": {"name": "1.0.0", "code": 1},
    "req_permissions": [
        {"name": "storage", "required": False, "reason": "To keep."},
        {"name": "payment", "required": False, "reason": "To be paid."},
        {
            "name": "http",
            "required": False,
            "reason": "To fetch.",
            "constraints": {"hosts": ["carrier.example", "other.example"]},
        },
        {"name": "user.phone", "required": False, "reason": "To ring."},
        {"name": "notify", "required": False, "reason": "To tell."},
    ],
    "notices": [{"id": "shipped", "text": "Order {order_no} is on its way"}],
    "program": {"module": "program.wasm", "abi": "hostel_v1"},
}
Plays = Callable[..., Awaitable[Played]]


@pytest.fixture
def settings(artifacts: Path) -> HostSettings:
    return HostSettings(slots=4, cache_dir=artifacts)


@pytest.fixture
def movable_clock() -> MockClock:
    """Real time, which faults of kind `slow` move on: as `hostel test` has it. A test asks for it to run by it."""
    return MockClock(rate=1.0)


def asks(_method: str, _user: str = "alice", _answers: tuple[str, ...] = (), **params: Any) -> dict[str, Any]:
    """A step whose program sends that request to the host; it answers {"result": …} or {"error": …}."""
    step: dict[str, Any] = {"call": "call", "user": _user, "params": {"method": _method, "params": params}}
    return step | ({"answers": list(_answers)} if _answers else {})


def echo(**manifest: Any) -> Bundle:
    told = json.dumps({**MANIFEST, **manifest}).encode()
    return Bundle.from_bytes(pack_contents({"manifest.json": told, "program.wasm": ECHO.read_bytes()}))


def echoes(value: Any, **more: Any) -> dict[str, Any]:
    """A step whose answer is this value."""
    return {"call": "echo", "params": {"value": value}, **more}


@pytest.fixture
def plays(settings: HostSettings) -> Plays:
    """Plays steps (and the rest of a head) on the program."""

    async def run(*steps: dict[str, Any], place: Place | None = None, **head: Any) -> Played:
        scenario = read(json.dumps({"about": "A test.", "steps": steps, **head}).encode(), "first.json")
        programs = [Installed(bundle=echo(), install=scenario.install)]
        return await play(scenario, programs, place or Library(settings=settings))

    return run


def failure(played: Played, number: int) -> Failure:
    """Why that step, and no earlier one, failed."""
    failed = played.failed
    assert failed is not None and failed.failure is not None, "it passed"
    assert failed.number == number, failed.failure
    return failed.failure


def passed(played: Played) -> Played:
    assert played.failed is None, played.failed
    return played
