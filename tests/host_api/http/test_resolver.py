"""The system's resolver: complete names, every address once, and threads that are bounded whoever gives up."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest
import trio

from host_api.http.resolver import LOOKUPS_MAX, LOOKUPS_PER_PROGRAM_MAX, SystemResolver

Found = list[tuple[Any, ...]]
V4, V6 = (socket.AF_INET, 1, 6, ""), (socket.AF_INET6, 1, 6, "")


async def test_a_complete_name_and_every_address_once() -> None:
    asked = []

    def lookup(*given: Any, **more: Any) -> Found:
        asked.append(given)
        return [(*V4, ("1.1.1.1", 0)), (*V4, ("1.1.1.1", 0)), (*V6, ("2606:4700::1111", 0, 0, 0))]

    found = await SystemResolver(lookup)("shop.example", app_id="a")
    assert found == ["1.1.1.1", "2606:4700::1111"]
    assert asked == [(b"shop.example.", None)]


async def test_a_name_that_is_none() -> None:
    def lookup(*given: Any, **more: Any) -> Found:
        raise socket.gaierror(socket.EAI_NONAME, "no")

    resolver = SystemResolver(lookup)
    with pytest.raises(OSError):
        await resolver("none.example", app_id="a")
    assert resolver._of_programs == {}


class Stuck:
    """A look-up that nobody answers, until `go_on`."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self._changed = threading.Condition()
        self.running = 0

    def __call__(self, host: bytes, *given: Any, **more: Any) -> Found:
        if host.startswith(b"good"):
            return [(*V4, ("1.1.1.1", 0))]
        with self._changed:
            self.running += 1
            self._changed.notify_all()
        self.go_on.wait(60)
        return []

    def until(self, running: int) -> None:
        """In a thread of its own: until so many have begun."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.running >= running, 30)


@pytest.fixture
def stuck() -> Any:
    lookup = Stuck()
    yield lookup
    lookup.go_on.set()


async def given_up(resolver: SystemResolver, app_id: str, until: Callable[[], None]) -> None:
    """Begins a look-up, and gives it up when it runs."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: resolver("slow.example", app_id=app_id))
        await trio.to_thread.run_sync(until)
        nursery.cancel_scope.cancel()


async def test_who_gives_up_takes_no_places_of_others(stuck: Stuck) -> None:
    resolver = SystemResolver(stuck)
    for n in range(LOOKUPS_PER_PROGRAM_MAX):
        await given_up(resolver, "greedy", lambda n=n: stuck.until(n + 1))  # type: ignore[misc]
    with trio.move_on_after(0.02) as scope:
        await resolver("good.example", app_id="greedy")
    assert scope.cancelled_caught
    assert await resolver("good.example", app_id="other") == ["1.1.1.1"]
    stuck.go_on.set()
    assert await resolver("good.example", app_id="greedy") == ["1.1.1.1"]
    assert stuck.running == LOOKUPS_PER_PROGRAM_MAX


async def test_all_programs_together_have_so_many_threads(stuck: Stuck) -> None:
    resolver = SystemResolver(stuck)
    for n in range(LOOKUPS_MAX):
        await given_up(resolver, f"program {n // LOOKUPS_PER_PROGRAM_MAX}", lambda n=n: stuck.until(n + 1))  # type: ignore[misc]
    with trio.move_on_after(0.02) as scope:
        await resolver("good.example", app_id="other")
    assert scope.cancelled_caught
    stuck.go_on.set()
    assert await resolver("good.example", app_id="other") == ["1.1.1.1"]


async def test_programs_are_forgotten_when_nothing_of_theirs_runs(stuck: Stuck) -> None:
    resolver = SystemResolver(stuck)
    for n in range(20):
        await resolver("good.example", app_id=f"program {n}")
    assert resolver._of_programs == {}
