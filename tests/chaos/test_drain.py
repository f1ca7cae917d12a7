"""SIGTERM under load: calls in flight end with answers, new ones are refused by name, and the process ends with 0."""

from __future__ import annotations

import signal
from collections import Counter
from functools import partial
from pathlib import Path

import pytest
import trio

from benchmarks import guests
from runtime.client import Client
from runtime.errors import HostelError
from tests.chaos.daemon import Daemon, serving, until, until_told

AT_ONCE = 32
HELD_MS = 2_500
"""What a call that is in flight when the signal comes still has to do, about."""
DRAIN_S = 20.0
"""Of [host] drain_s: a full machine takes its time."""


class Crowd:
    """Calls that take a while, and how they ended."""

    def __init__(self, client: Client, app: str) -> None:
        self._client, self.app = client, app
        self.endings: Counter[str] = Counter()

    async def call(self, ms: int) -> None:
        try:
            await self._client.call(self.app, "session.sleep", {"ms": ms}, user="alice")
            self.endings["answer"] += 1
        except HostelError as error:
            self.endings[error.code] += 1

    async def call_on(self) -> None:
        """Until the host refuses."""
        while not self.endings.keys() - {"answer"}:
            await self.call(1)

    async def are_in_flight(self, count: int) -> None:
        async def enough() -> bool:
            return (await self._client.statistics()).calls_in_flight >= count

        await until_told(enough)


LIMITS = {**guests.UNRATED, "calls_in_flight": 256, "sandboxes": 256, "wall_ms": 120_000}


async def installed(client: Client) -> Crowd:
    app = await client.install(guests.archive("slow", guests.forward(), asks=()), limits=LIMITS)
    return Crowd(client, app.app_id)


async def told_to_stop(daemon: Daemon) -> None:
    daemon.signal(signal.SIGTERM)
    await until(lambda: bool(daemon.events("stopping")))


@pytest.mark.slow
async def test_calls_in_flight_end_and_new_ones_are_refused(tmp_path: Path) -> None:
    """On both doors."""
    async with (
        serving(tmp_path, host={"http": True, "drain_s": DRAIN_S}) as daemon,
        daemon.client() as client, daemon.client() as other,
    ):  # fmt: skip
        held = await installed(client)
        busy, path = Crowd(other, held.app), f"/v1/programs/{held.app}/call/session.sleep"
        ask = partial(daemon.http, "POST", path, token=await client.front_end.issue_token("alice"))
        answers: list[int] = []

        async def hold_by_http() -> None:
            answers.append((await ask(body=b'{"ms": %d}' % HELD_MS))[0])

        async with trio.open_nursery() as nursery:
            for _ in range(AT_ONCE):
                nursery.start_soon(held.call, HELD_MS)
                nursery.start_soon(hold_by_http)
            await held.are_in_flight(2 * AT_ONCE)
            nursery.start_soon(busy.call_on)
            await until(lambda: busy.endings["answer"] > 0)
            assert (await daemon.http("GET", "/readyz"))[0] == 200
            await told_to_stop(daemon)
            began = trio.current_time()
            assert (await daemon.http("GET", "/readyz"))[0] == 503
            status, refusal = await ask(body=b'{"ms": 1}')
            assert (status, b'"host_closed"' in refusal) == (503, True)
        assert await daemon.ended() == 0
        took = trio.current_time() - began
        assert (held.endings, Counter(answers)) == ({"answer": AT_ONCE}, {200: AT_ONCE})
        assert busy.endings.keys() == {"answer", "host_closed"}
        assert took < DRAIN_S
        (drained,) = daemon.events("drained")
        assert (drained["calls_in_flight_before"] >= 2 * AT_ONCE, drained["calls_in_flight"]) == (True, 0)
        print(f"\nended {took:.2f} s after SIGTERM; held: {dict(held.endings)}, by HTTP: {dict(Counter(answers))}, "
              f"others: {dict(busy.endings)}")  # fmt: skip


@pytest.mark.slow
async def test_a_second_signal_does_not_wait(tmp_path: Path) -> None:
    async with serving(tmp_path, host={"drain_s": DRAIN_S}) as daemon, daemon.client() as client:
        held = await installed(client)
        async with trio.open_nursery() as nursery:
            for _ in range(AT_ONCE):
                nursery.start_soon(partial(held.call, 60_000))
            await held.are_in_flight(AT_ONCE)
            await told_to_stop(daemon)
            began = trio.current_time()
            daemon.signal(signal.SIGTERM)
            assert await daemon.ended() == 0
        assert held.endings == {"cancelled": AT_ONCE}
        assert trio.current_time() - began < DRAIN_S / 2
        print(f"\nended {trio.current_time() - began:.2f} s after the second signal")
