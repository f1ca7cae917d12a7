"""The executor in jailed workers: calls go to worker processes, and their outcomes come back.

What lives here: `WorkerExecutor`, which puts calls into workers, queues those that find none free, and ends those whose
deadline passes; and what a death of a worker means for the programs in it. The parts: placement.py (which worker),
station.py (its life), worker_link.py (its frames), flight.py (one call), deadlines.py, suspicion.py.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from hashlib import sha256
from typing import Final

import outcome
import trio

from runtime import jail
from runtime.errors import Ending, HostBusy, StartupError
from runtime.executor.deadlines import Deadlines
from runtime.executor.flight import Flight
from runtime.executor.held_modules import WorkerModule
from runtime.executor.job import CallHost, ExecutorStatus, Job, Outcome
from runtime.executor.placement import Group
from runtime.executor.station import Station
from runtime.executor.suspicion import Suspicion
from runtime.executor.worker_link import WorkerLink
from runtime.log import logger
from runtime.reactor import Reactor
from runtime.receipt import Usage
from runtime.sandbox.abi import HOSTEL
from runtime.sandbox.checks import ModuleFacts
from runtime.sandbox.over_limits import over_deadline
from runtime.worker_settings import WorkerSettings

BUSY_MS: Final = 100
"""When to try again where too many calls wait."""

Quarantine = Callable[[str, str], None]
"""Takes an app_id and the reason, one sentence."""

_log = logger("executor")


@asynccontextmanager
async def open_workers(
    settings: WorkerSettings,
    *,
    now_us: Callable[[], int],
    new_id: Callable[[], str],
    on_quarantine: Quarantine = lambda app_id, reason: None,
) -> AsyncIterator[WorkerExecutor]:
    """Workers of the standing groups, ready; others start with their first call. Left when no call is in flight: then
    every process is ended and reaped.

    Raises StartupError: the jail falls short of `settings.require`, or no worker can be started. `on_quarantine` is
    called in the trio thread for a program that keeps killing workers; it must not raise.
    """
    await _check_level(settings)
    with Reactor.used():
        async with _shielded_tasks() as nursery:
            executor = WorkerExecutor(settings, nursery, now_us=now_us, new_id=new_id, on_quarantine=on_quarantine)
            try:
                await executor.staff_standing()
                yield executor
            finally:
                with trio.CancelScope(shield=True):
                    await executor.close()


@asynccontextmanager
async def _shielded_tasks() -> AsyncIterator[trio.Nursery]:
    """A nursery whose tasks go on when the block is cancelled, until it is left: calls in flight are still to be ended.
    What the block raises comes out as it is: through a nursery it would come out wrapped in a group."""
    raised: BaseException | None = None
    async with trio.open_nursery() as outer:
        nursery = await outer.start(_hold)
        try:
            yield nursery
        except BaseException as error:
            raised = error
        nursery.cancel_scope.cancel()
    if raised is not None:
        raise raised


async def _hold(task_status: trio.TaskStatus[trio.Nursery]) -> None:
    with trio.CancelScope(shield=True):
        async with trio.open_nursery() as nursery:
            task_status.started(nursery)
            await trio.sleep_forever()


async def _check_level(settings: WorkerSettings) -> None:
    if settings.require == "none":
        return
    level = await trio.to_thread.run_sync(jail.probe)
    if level < jail.Level.named(settings.require):
        raise StartupError(
            f"workers are to be jailed at level {settings.require}, and here it is {level}: {'; '.join(level.missing)}",
            code="jail_unavailable", details={"level": str(level), "required": settings.require},
        )  # fmt: skip


class _Awaited:
    """The task that awaits a call's outcome."""

    __slots__ = ("_cancel", "_is_aborting", "_task", "is_over", "outcome")

    def __init__(self) -> None:
        self._task = trio.lowlevel.current_task()
        self._cancel: Callable[[], None] | None = None
        self._is_aborting = self.is_over = False
        self.outcome: Outcome | None = None

    def done(self, found: Outcome) -> None:
        self.is_over, self.outcome = True, found
        if self._is_aborting:
            return
        if self._cancel is not None:
            trio.lowlevel.reschedule(self._task, outcome.capture(self._cancel))
        else:
            trio.lowlevel.reschedule(self._task, outcome.Value(found))

    def abort(self, give_up: Callable[[], None], cancel: Callable[[], None]) -> trio.lowlevel.Abort:
        """Cancelled: the guest is dropped first, and then it goes on."""
        self._cancel, self._is_aborting = cancel, True
        give_up()
        self._is_aborting = False
        return trio.lowlevel.Abort.SUCCEEDED if self.is_over else trio.lowlevel.Abort.FAILED


class WorkerExecutor:
    """Made by `open_workers`. Used from the trio thread of its host."""

    def __init__(
        self,
        settings: WorkerSettings,
        nursery: trio.Nursery,
        *,
        now_us: Callable[[], int],
        new_id: Callable[[], str],
        on_quarantine: Quarantine,
    ) -> None:
        self._settings, self._nursery = settings, nursery
        self._now_us, self._new_id, self._on_quarantine = now_us, new_id, on_quarantine
        self._groups: dict[str, Group] = {}
        self._stations: dict[tuple[str, int], Station] = {}
        self._deadlines = Deadlines(self._expired)
        self._suspicion = Suspicion(deaths=settings.deaths, seconds=settings.deaths_s)
        self._all_over = trio.Event()
        nursery.start_soon(self._deadlines.run, name="deadlines")
        nursery.start_soon(self._retire_idle, name="idle workers")

    # ---- calls -------------------------------------------------------------------------------------------------------
    def load(self, artifact: bytes, facts: ModuleFacts) -> WorkerModule:
        """Kept here as bytes; whether it loads is found out by the first worker that gets it."""
        posts, key = (HOSTEL, "post") in facts.imports, (facts.sha256, facts.metered)
        return WorkerModule(artifact=artifact, facts=facts, posts=posts, key=key)

    def scripted(self, module: WorkerModule, image: bytes) -> WorkerModule:
        """See `Executor.scripted`."""
        key = module.key, sha256(image).digest()
        return WorkerModule(artifact=image, facts=module.facts, posts=module.posts, engine=module, key=key)

    @trio.lowlevel.enable_ki_protection
    async def run(self, job: Job, host: CallHost, usage: Usage) -> Outcome:
        """See `Executor.run`."""
        awaited = _Awaited()
        flight = self.start(job, host, usage, awaited.done)
        return await trio.lowlevel.wait_task_rescheduled(  # type: ignore[no-any-return]
            lambda cancel: awaited.abort(partial(self.give_up, flight), cancel)
        )

    def start(self, job: Job, host: CallHost, usage: Usage, done: Callable[[Outcome], None]) -> Flight:
        """Begins a call; `done` is called once, from a later turn of the loop. Raises HostBusy: nothing was begun."""
        group = self._groups.get(job.group) or self._group(job.group)
        link = None if group.waiting else group.choose(job)
        if len(group.staffed) < group.places:
            self._staff_for(group, job)
        if link is None and group.is_queue_full:
            raise _busy(f"{len(group.waiting)} calls wait for a sandbox already")
        flight = Flight(job, host, usage, done)
        host.deadline.on_nearer = partial(self._deadlines.came_nearer, flight)
        self._deadlines.add(flight)
        if link is not None:
            link.put(flight)
        else:
            group.waiting.append(flight)
        return flight

    def give_up(self, flight: Flight) -> None:
        """Nobody wants the outcome any more: the guest is dropped, and `done` is called when it is."""
        if flight.verdict is None:
            flight.verdict = Outcome(ending=Ending.CANCELLED)
        for scope in flight.scopes:
            scope.cancel()
        self._expired(flight)

    def abandon(self) -> None:
        """See `Executor.abandon`. The workers that had them are ended too."""
        left = sum(len(group.waiting) + sum(len(link.flights) for link in group.links.values())
                   for group in self._groups.values())  # fmt: skip
        _log.warning("calls that were told to end have not: they end without their workers", calls=left)
        for group in self._groups.values():
            for flight in tuple(group.waiting):
                self._expired(flight)
            for link in group.links.values():
                link.abandon()
        for station in self._stations.values():
            station.close()

    def forget(self, program: str, user: str) -> None:
        """See `Executor.forget`. Whichever worker has it."""
        for group in self._groups.values():
            for link in group.links.values():
                link.forget(program, user)

    def has_room(self, job_group: str) -> bool:
        """See `Executor.has_room`. A group that has no worker yet gets one."""
        group = self._groups.get(job_group) or self._group(job_group)
        if not group.staffed:
            return self._can_staff()
        return group.has_room()

    @property
    def is_able(self) -> bool:
        """See `Executor.is_able`. Where no worker runs, one is started with the first call."""
        return not self._stations or any(station.is_able for station in self._stations.values())

    def status(self) -> ExecutorStatus:
        ready = [station.ready for station in self._stations.values() if station.ready is not None]
        links = [link for group in self._groups.values() for link in group.links.values()]
        return ExecutorStatus(
            placement="worker", sandbox_level=min((each.level for each in ready), key=_rank, default="none"),
            ticker=ready[0].ticker if ready else "", slots=self._settings.slots * len(links),
            sandboxes=sum(len(link.flights) + len(link.kept) for link in links),
            workers=tuple(station.figures() for station in self._stations.values()),
        )  # fmt: skip

    def _expired(self, flight: Flight) -> None:
        """The deadline has passed, or was cut."""
        if flight.over:
            return
        if flight.link is not None:
            flight.link.cut(flight)
            return
        self._groups[flight.job.group].waiting.remove(flight)
        self._deadlines.forget()
        over = over_deadline(flight.job.limits)
        flight.end(Outcome(ending=over.ending, detail=over.detail, details=over.details))

    def _left_worker(self, flight: Flight) -> None:
        self._deadlines.forget()
        group = self._groups[flight.job.group]
        if group.waiting:
            self._dispatch(group)

    def _dispatch(self, group: Group) -> None:
        """Those that wait, first come, first served, as far as there is room."""
        while group.waiting and (link := group.choose(group.waiting[0].job)) is not None:
            link.put(group.waiting.popleft())

    # ---- workers -----------------------------------------------------------------------------------------------------
    async def staff_standing(self) -> None:
        """Raises StartupError if one of them has no worker that starts."""
        for name in self._settings.standing:
            group = self._group(name)
            for place in range(group.places):
                self._staff(group, place)
        for station in tuple(self._stations.values()):
            await station.settled.wait()
            if station.link is None and station.failure is not None:
                raise station.failure

    def _group(self, name: str) -> Group:
        group = self._groups.get(name)
        if group is None:
            group = self._groups[name] = Group(name, places=self._settings.count, queue=self._settings.queue)
        return group

    def _staff_for(self, group: Group, job: Job) -> None:
        """Starts the worker that this call should have, as far as the number of processes allows."""
        place = group.place_to_staff(job)
        if place is not None and self._make_way():
            self._staff(group, place)
        elif not group.staffed:
            raise _busy(f"{len(self._stations)} workers run already, and none of them is idle")

    def _can_staff(self) -> bool:
        return len(self._stations) < self._settings.processes or self._idlest() is not None

    def _make_way(self) -> bool:
        """There may be one worker more, if need be by ending one that has nothing to do."""
        if len(self._stations) < self._settings.processes:
            return True
        if (idlest := self._idlest()) is None:
            return False
        self._retire(idlest)
        return True

    def _idlest(self) -> tuple[str, int] | None:
        idle = [
            (station.idle_since, key)
            for key, station in self._stations.items()
            if key[0] not in self._settings.standing and station.link is not None and not station.link.flights
        ]
        return min(idle)[1] if idle else None

    def _staff(self, group: Group, place: int) -> None:
        key = group.name, place
        make_link = partial(
            WorkerLink, group=group.name, slots=self._settings.slots, loaded_bytes=self._settings.loaded_bytes,
            nursery=self._nursery, now_us=self._now_us, new_id=self._new_id, ended=self._left_worker,
        )  # fmt: skip
        station = Station(
            self._settings, group=group.name, make_link=make_link, nursery=self._nursery,
            joined=partial(self._joined, group, place), left=partial(self._left, group, place),
        )  # fmt: skip
        group.staffed.add(place)
        self._stations[key] = station
        self._nursery.start_soon(station.run, partial(self._closed, group, place, station), name=f"worker {key}")

    def _joined(self, group: Group, place: int, link: WorkerLink) -> None:
        group.links[place] = link
        self._dispatch(group)

    def _left(
        self, group: Group, place: int, link: WorkerLink, why: str, suspects: tuple[str | None, list[str]] | None
    ) -> None:
        if group.links.get(place) is link:  # one that was retired may have a successor there already
            del group.links[place]
        if suspects is None:
            return
        for app_id in self._suspicion.died(trio.current_time(), *suspects):
            deaths = self._settings.deaths
            often = f"workers that ran it died {deaths} times: the last one"
            reason = f"{'the worker that ran it died:' if deaths == 1 else often} {why}"
            _log.error("a program keeps killing workers", app_id=app_id, reason=reason)
            self._on_quarantine(app_id, reason)

    def _closed(self, group: Group, place: int, station: Station) -> None:
        """Its station ended."""
        if self._stations.get((group.name, place)) is station:
            del self._stations[group.name, place]
            group.staffed.discard(place)
        if not self._stations:
            self._all_over.set()

    async def _retire_idle(self) -> None:
        while True:
            await trio.sleep(max(1.0, self._settings.idle_s / 4))
            now = trio.current_time()
            for key, station in tuple(self._stations.items()):
                if station.link is None or station.link.flights or self._groups[key[0]].waiting:
                    station.idle_since = now
                elif key[0] not in self._settings.standing and now - station.idle_since >= self._settings.idle_s:
                    self._retire(key)

    def _retire(self, key: tuple[str, int]) -> None:
        """It has no call, and gets none any more."""
        group, station = self._groups[key[0]], self._stations.pop(key)
        group.links.pop(key[1], None)
        group.staffed.discard(key[1])
        if not group.staffed and not group.waiting:
            del self._groups[key[0]]
        station.close()

    async def close(self) -> None:
        """Ends every worker; returns when they are reaped."""
        for group in self._groups.values():
            for flight in tuple(group.waiting):
                self._expired(flight)
        for station in self._stations.values():
            station.close()
        if self._stations:
            await self._all_over.wait()


def _busy(why: str) -> HostBusy:
    return HostBusy(f"{why}: try again later", code="overloaded", retry_after_ms=BUSY_MS)


def _rank(level: str) -> jail.Level:
    return jail.Level.named(level)
