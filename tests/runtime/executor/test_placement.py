"""Which worker a call goes to. The workers are links without a process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from runtime.executor.job import Job
from runtime.executor.placement import CORE_US, Group
from runtime.limits import Limits
from tests.runtime.executor.links import MODULE, Peer

ONE_CORE = Limits(cpu_us_per_s=CORE_US)
MORE = Limits(cpu_us_per_s=CORE_US + 1)


def job(program: str, limits: Limits = ONE_CORE) -> Job:
    return Job(program, "g", MODULE, b"", limits, False)


@asynccontextmanager
async def staffed(places: int) -> AsyncIterator[tuple[Group, list[Peer]]]:
    group = Group("g", places=places, queue=2)
    async with trio.open_nursery() as nursery:
        peers = [Peer(nursery) for _ in range(places)]
        for place, peer in enumerate(peers):
            group.links[place] = peer.link
            group.staffed.add(place)
        yield group, peers
        for peer in peers:
            peer.link.lose("the test is over")
            peer.close()


async def test_a_program_has_the_same_home_every_time() -> None:
    async with staffed(2) as (group, peers):
        for program in map(str, range(20)):
            assert group.choose(job(program)) is peers[group.home(program)].link
        assert {group.home(str(number)) for number in range(20)} == {0, 1}


async def test_a_program_keeps_to_its_worker_while_it_has_calls() -> None:
    async with staffed(2) as (group, peers):
        other = peers[1 - group.home("a")]
        other.call("a")
        assert group.choose(job("a")) is other.link


async def test_one_granted_more_than_a_core_is_spread() -> None:
    async with staffed(2) as (group, peers):
        home = peers[group.home("a")]
        home.call("a")
        assert group.choose(job("a", MORE)) is not home.link


async def test_a_full_worker_passes_calls_on_and_where_all_are_full_they_wait() -> None:
    async with staffed(2) as (group, peers):
        home = peers[group.home("a")]
        for _ in range(home.link.slots):
            home.call("a")
        assert group.choose(job("a")) is peers[1 - group.home("a")].link
        for _ in range(home.link.slots):
            peers[1 - group.home("a")].call("b")
        assert (group.choose(job("a")), group.has_room()) == (None, False)


async def test_a_program_alone_has_one_worker() -> None:
    group = Group("alone:org.example.bank", places=8, queue=1)
    assert (group.places, group.place_to_staff(job("org.example.bank"))) == (1, 0)


async def test_workers_start_where_programs_have_their_home() -> None:
    group = Group("g", places=4, queue=1)
    home = group.home("a")
    assert group.place_to_staff(job("a")) == home
    group.staffed.add(home)
    assert group.place_to_staff(job("a")) is None
    assert group.place_to_staff(job("a", MORE)) not in (None, home)


async def test_a_worker_that_starts_counts_as_room_for_calls_inside_calls() -> None:
    group = Group("g", places=1, queue=1)
    assert not group.has_room()
    group.staffed.add(0)
    assert group.has_room()
