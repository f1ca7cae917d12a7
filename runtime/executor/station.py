"""One worker's place: a worker is started there, watched, and replaced when it dies, with back-off.

What lives here: the life of one worker from the outside: READY in time and jailed as far as asked for, frames while it
lives, signs of life, memory, and how its death is told. Which calls it gets is placement.py's.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

import msgspec
import trio

from runtime.errors import StartupError
from runtime.executor import frames
from runtime.executor.frames import Order, Ready, Violation
from runtime.executor.outbox import Outbox
from runtime.executor.worker_child import WorkerChild
from runtime.executor.worker_link import WorkerLink
from runtime.jail import Level
from runtime.limits import KIB
from runtime.log import logger
from runtime.reactor import Reactor
from runtime.statistics import WorkerFigures
from runtime.worker_settings import METERED, WorkerSettings

YOUNG_S: Final = 10.0
"""A worker that lived longer than this is replaced at once."""
OVERDUE_BEATS: Final = 5
"""A call that is told to end has so many heartbeats to do it in."""
READY_BYTES: Final = 4 * KIB
"""No READY is longer."""
STOP_S: Final = 1.0
"""How long a worker that is told to stop may take."""

_log = logger("executor")


class Death(Exception):
    """Why a worker was, or has to be, killed. `marked`: what the board says can be believed. `outside`: it is the doing
    of somebody who is not this host, and of no program."""

    def __init__(self, why: str, *, marked: bool, outside: bool = False) -> None:
        super().__init__(why)
        self.why, self.marked, self.outside = why, marked, outside


class _Overdue:
    """How long a worker could have ended the call that is longest to end: time that it had a processor, or idled."""

    def __init__(self, child: WorkerChild) -> None:
        self._child = child
        self._waited_s, self._since, self._had_s = child.waited_s(), 0.0, 0.0

    def seconds(self, passed_s: float, cut_at: float | None) -> float:
        """`passed_s`: since it was asked before, at the least. `cut_at`: when that call was to end; None: none is."""
        before, self._waited_s = self._waited_s, self._child.waited_s()
        if cut_at is None or cut_at != self._since:
            self._since, self._had_s = cut_at or 0.0, 0.0
        else:
            self._had_s += passed_s - (self._waited_s - before)
        return self._had_s


class Station:
    """`run` is a task of its own, which ends when the station is closed. The callbacks tell of its workers:
    `joined` when one is ready, `left` when it is over and its calls are about to be lost."""

    def __init__(
        self,
        settings: WorkerSettings,
        *,
        group: str,
        make_link: Callable[[], WorkerLink],
        nursery: trio.Nursery,
        joined: Callable[[WorkerLink], None],
        left: Callable[[WorkerLink, str, tuple[str | None, list[str]] | None], None],
    ) -> None:
        """`left` is given the link, how it ended, and whom to suspect, if anybody."""
        self._settings, self._group, self._make_link, self._nursery = settings, group, make_link, nursery
        self._joined, self._left = joined, left
        self._order = Order(
            slots=settings.slots, keep_resident_bytes=settings.keep_resident_bytes, ticker=settings.ticker,
            jailed=settings.require != "none", metered=group.endswith(METERED), nice=settings.nice,
        )  # fmt: skip
        self._reactor = Reactor.of_this_run()
        self._closing, self._up = trio.Event(), trio.Event()
        self._deaths = 0
        self.link: WorkerLink | None = None
        self.ready: Ready | None = None
        self.settled = trio.Event()
        """Its first worker is ready, or failed to start."""
        self.failure: StartupError | None = None
        self.idle_since = trio.current_time()
        self._child: WorkerChild | None = None
        self._lives = 0

    def figures(self) -> WorkerFigures:
        child, link = self._child, self.link
        return WorkerFigures(
            pid=0 if child is None else child.pid, group=self._group,
            state="leaving" if self._closing.is_set() else "starting" if link is None else "ready",
            calls=0 if link is None else len(link.flights),
            resident_bytes=0 if child is None else child.resident_bytes(), restarts=max(0, self._lives - 1),
        )  # fmt: skip

    @property
    def is_able(self) -> bool:
        """Its worker takes calls, or is the first one and starts, or follows one that did not die young."""
        return self.link is not None or (self._deaths == 0 and self.failure is None)

    def close(self) -> None:
        """Its worker is told to stop, and none follows. It has no call in flight."""
        self._closing.set()

    async def run(self, over: Callable[[], None]) -> None:
        """Until it is closed, or no worker can be started; `over` is called then."""
        try:
            while not self._closing.is_set():
                began = trio.current_time()
                try:
                    await self._live()
                except Exception as error:  # a bug of ours: of this worker alone
                    _log.error("a worker's station failed", group=self._group, exc_info=error)
                if not self._closing.is_set():
                    await self._back_off(trio.current_time() - began)
        finally:
            self.settled.set()
            over()

    async def _back_off(self, lived_s: float) -> None:
        self._deaths = 0 if lived_s > YOUNG_S else self._deaths + 1
        if self._deaths > 1:
            settings = self._settings
            with trio.move_on_after(min(settings.back_off_most_s, settings.back_off_s * 2 ** (self._deaths - 2))):
                await self._closing.wait()

    # ---- one worker --------------------------------------------------------------------------------------------------
    async def _live(self) -> None:
        try:
            child = WorkerChild.start(self._order)
        except StartupError as error:
            self._not_started(error)
            return
        link, self._up = self._make_link(), trio.Event()
        self._child = child
        self._lives += 1
        link.connect(Outbox(child.link, self._nursery))
        self._reactor.at_turns_end(link.outbox.end_turn)
        death = Death("closed", marked=False)
        try:
            death = await self._watched(child, link)
        finally:
            with trio.CancelScope(shield=True):
                await self._bury(child, link, death)

    async def _watched(self, child: WorkerChild, link: WorkerLink) -> Death:
        """From its start to its death, or to the reason to kill it."""
        deaths: list[Death] = []

        async def until(act: Callable[[], object]) -> None:
            try:
                await act()  # type: ignore[misc]
            except Death as death:
                deaths.append(death)
            nursery.cancel_scope.cancel()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(child.read_stderr)
            nursery.start_soon(until, partial(self._serve, child, link))
            nursery.start_soon(until, partial(self._watch, child, link))
            nursery.start_soon(until, partial(self._stop, link))
        return deaths[0] if deaths else Death("stopped", marked=False)

    async def _serve(self, child: WorkerChild, link: WorkerLink) -> None:
        """READY, then all its frames. Ends with a Death."""
        take = self._take_ready(link)

        def taken(data: bytes) -> bool:
            nonlocal take
            if not data:
                raise Death("it is gone", marked=True)
            left = self._taken(take, data)
            if self.link is link:
                take = link.receive
            return not left

        while True:
            await self._reactor.read(child.link, taken, first=True)
            await link.outbox.taken()
            while self._taken(take, b""):
                await link.outbox.taken()

    def _taken(self, take: Callable[[bytes], bool], data: bytes) -> bool:
        """True: there is more of it, for later. Raises Death."""
        try:
            return take(data)
        except Death:
            raise
        except Violation as violation:
            raise Death(f"it sent {violation}", marked=False) from None
        except Exception as error:  # a bug of ours: this worker's calls end, the host does not
            _log.error("a worker's frames could not be taken", exc_info=error)
            raise Death("a fault of the host", marked=False) from error

    def _take_ready(self, link: WorkerLink) -> Callable[[bytes], bool]:
        """What takes the first frame."""
        splitter = frames.Splitter(lambda kind, number: READY_BYTES)

        def take(data: bytes) -> bool:
            found = splitter.feed(data)
            if not found:
                return False
            if len(found) > 1 or splitter.kept_bytes or found[0][0] != frames.READY:
                raise Violation("something before READY")
            try:
                self.ready = ready = msgspec.json.decode(found[0][2], type=Ready)
                level = Level.named(ready.level)
            except (msgspec.MsgspecError, ValueError):
                raise Violation("a READY that is none") from None
            if level < Level.named(self._settings.require):
                raise Death(f"its jail is {ready.level}: {'; '.join(ready.missing)}", marked=False)
            self.link, self.failure = link, None
            self._up.set()
            self.idle_since = trio.current_time()
            self._joined(link)
            self.settled.set()
            return False

        return take

    async def _watch(self, child: WorkerChild, link: WorkerLink) -> None:
        """Signs of life, memory, and calls that do not end. Ends with a Death."""
        settings = self._settings
        await self._in_time()
        asked_at, waited, sent = trio.current_time(), 0.0, 0
        overdue = _Overdue(child)
        while True:
            pause, began = settings.heartbeat_s / 4 if link.flights else settings.heartbeat_s, trio.current_time()
            await trio.sleep(pause)
            now = trio.current_time()
            asked_at += max(0.0, now - began - pause)  # this process did not run: the answer may lie here unread
            if overdue.seconds(pause, link.oldest_cut()) > OVERDUE_BEATS * settings.heartbeat_s:
                raise _hung(child, "it does not end a call that is over")
            if (resident := child.resident_bytes()) > settings.memory_bytes:
                raise Death(f"its memory of {resident >> 20} MiB is over {settings.memory_bytes >> 20}", marked=False)
            if link.beat_answered == link.beat_asked or link.outbox.sent_bytes != sent > 0 < link.outbox.backlog:
                asked_at, waited, sent = now, child.waited_s(), link.outbox.sent_bytes
                if link.flights:
                    link.beat()
                continue
            if now - asked_at - (child.waited_s() - waited) > settings.heartbeat_s:
                raise _hung(child, f"no sign of life for {settings.heartbeat_s} s")

    async def _in_time(self) -> None:
        with trio.move_on_after(self._settings.start_s):
            await self._up.wait()
            return
        raise Death(f"not ready within {self._settings.start_s} s", marked=False)

    async def _stop(self, link: WorkerLink) -> None:
        await self._closing.wait()
        link.outbox.send(frames.STOP, 0)
        await trio.sleep(STOP_S)

    # ---- its death ---------------------------------------------------------------------------------------------------
    async def _bury(self, child: WorkerChild, link: WorkerLink, death: Death) -> None:
        """Whatever it was: the process is gone when this returns, its descriptors too, and its calls have ended."""
        closing = self._closing.is_set()
        await self._end(child, death)
        how = await child.ended()
        self._reactor.not_at_turns_end(link.outbox.end_turn)
        link.outbox.close()
        why = death.why if child.killed else how
        was_up, self.link = self.link is link, None
        if was_up:
            marked = child.marked if death.marked and not child.broke_out else 0
            suspects = None if child.ended_by_outside or death.outside else link.suspects(marked)
            self._left(link, why, suspects)
            link.lose(why)
        if not closing:
            _log.error("a worker died", group=link.group, pid=child.pid, why=why, how=how, told=child.told)
            if not was_up:
                self._not_started(StartupError(f"a worker did not start: {child.told or why}"))
        self._child = None
        child.close()

    async def _end(self, child: WorkerChild, death: Death) -> None:
        """One that is gone by itself gets a moment to be gone, so that its own exit is what is told."""
        if death.why == "it is gone":
            with trio.move_on_after(STOP_S):
                await child.gone()
                return
        child.kill()

    def _not_started(self, error: StartupError) -> None:
        self.failure = error
        self.settled.set()


def _hung(child: WorkerChild, why: str) -> Death:
    """A worker cannot stop itself: its jail has no signals. One that is stopped was so by somebody outside."""
    if child.is_stopped:
        return Death(f"{why}: somebody stopped it (SIGSTOP, a debugger)", marked=False, outside=True)
    return Death(why, marked=True)
