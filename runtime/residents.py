"""Resident sandboxes: one for each user of a program, kept between calls, which take turns in it strictly one by one.

What lives here: the mailbox before each of them, when they are dropped, and what they count as while they are idle.
The sandbox itself is the executor's (executor/kept.py) and may be gone at any time: each call names the call whose
memory it is to find, so that it finds that or none. Nothing of a call is kept here but its number.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Final

import trio

from runtime.errors import HostBusy
from runtime.executor.job import Resident
from runtime.registry import Program, Release

BUSY_MS: Final = 50


class One:
    """One user's sandbox of one program: idle, or with a call in it and others waiting."""

    __slots__ = ("after", "before", "is_taken", "is_well", "key", "left_us", "mailbox", "program", "release")

    def __init__(self, key: tuple[str, str], program: Program, release: Release) -> None:
        self.key, self.program, self.release = key, program, release
        self.mailbox: deque[trio.Event] = deque()
        self.before = self.after = 0
        """Numbers of the call that left its memory and of the one in it; 0: there is none."""
        self.left_us = 0
        self.is_taken = True
        """A call is in it, or about to be."""
        self.is_well = False
        """Set by the call that is in it: it ended so that the sandbox may be kept."""


class Residents:
    """Those of one host. Used from the trio thread only."""

    def __init__(self, *, forget: Callable[[str, str], None], now_us: Callable[[], int], idle_s: float) -> None:
        """`forget`: the executor's, for (program, user)."""
        self._forget, self._now_us, self._idle_us = forget, now_us, round(idle_s * 1_000_000)
        self._ones: dict[tuple[str, str], One] = {}
        self._idle: OrderedDict[tuple[str, str], One] = OrderedDict()
        self._idle_of: dict[str, OrderedDict[tuple[str, str], One]] = {}
        self._numbers = itertools.count(1)
        self._some_idle = trio.Event()

    def __len__(self) -> int:
        """Those that are idle."""
        return len(self._idle)

    async def take(
        self, program: Program, release: Release, user: str, message_bytes: int, *, waits: bool = True
    ) -> One:
        """The sandbox is the caller's alone, to `give`. First come, first served.

        Raises HostBusy: its mailbox is full, the program's held memory is, or it is taken and `waits` is False.
        """
        key = program.app_id, user
        one = self._ones.get(key)
        if one is None:
            one = self._ones[key] = One(key, program, release)
        elif one.is_taken:
            await self._wait(one, release, message_bytes, waits)
        else:
            self._not_idle(one)
        is_old = one.left_us <= self._now_us() - self._idle_us
        if one.before and (is_old or not _is_same(one.release, release)):
            self._forget(*one.key)
            one.before = 0
        one.program, one.release = program, release
        return one

    def enter(self, one: One) -> Resident:
        """For the job of the call that is about to be in it."""
        one.after, one.is_well = next(self._numbers), False
        return Resident(one.key[1], one.before, one.after)

    def give(self, one: One) -> None:
        """The call in it is over; one that was refused before it was in it changed nothing."""
        if one.after:
            one.before = one.after if one.is_well else 0
            one.after = 0
        one.left_us = self._now_us()
        if not one.before:
            self._forget(*one.key)
        self._pass_on(one)

    def make_room(self, program: Program, memory_bytes: int) -> None:
        """Drops idle ones of the program, the least recently used first, as long as its next call has no place; then
        those of its developer's other programs, where what these may use together is what is short."""
        admission = program.admission
        while admission.kept and not admission.has_place(memory_bytes):
            idle = self._idle_of.get(program.app_id)
            if not idle:
                break
            self._drop(next(iter(idle.values())))
        if admission.makes_way_for(admission, memory_bytes):
            for one in tuple(self._idle.values()):
                if one.program.admission.makes_way_for(admission, memory_bytes):
                    self._drop(one)

    def drop(self, app_id: str | None = None, user: str | None = None) -> None:
        """Those of a program, of a user, of both or of all; one with a call in it when that is over."""
        for one in list(self._ones.values()):
            if app_id in (None, one.key[0]) and user in (None, one.key[1]):
                if one.is_taken:
                    one.before = one.after = 0
                    self._forget(*one.key)
                else:
                    self._drop(one)

    def sweep(self) -> None:
        """Drops those that were idle for too long."""
        until = self._now_us() - self._idle_us
        while self._idle:
            one = next(iter(self._idle.values()))
            if one.left_us > until:
                return
            self._drop(one)

    async def run(self) -> None:
        """Sweeps until it is cancelled; sleeps while none is idle."""
        while True:
            if not self._idle:
                self._some_idle = trio.Event()
                await self._some_idle.wait()
            for oldest in self._idle.values():
                await trio.sleep(max(0.001, (oldest.left_us + self._idle_us - self._now_us()) / 1_000_000))
                break
            self.sweep()

    async def _wait(self, one: One, release: Release, message_bytes: int, waits: bool) -> None:
        limits, holdings = release.limits, one.program.holdings
        if not waits or len(one.mailbox) >= limits.mailbox_calls:
            raise HostBusy(
                f"{len(one.mailbox)} calls wait already for this user's sandbox; mailbox_calls is"
                f" {limits.mailbox_calls}: try again later",
                code="queue_full", retry_after_ms=BUSY_MS,
                details={"limit": "mailbox_calls", "value": limits.mailbox_calls, "used": len(one.mailbox)},
            )  # fmt: skip
        if not holdings.hold(message_bytes, limits.held_bytes):
            raise HostBusy(
                f"a message of {message_bytes} bytes does not fit: held_bytes is {limits.held_bytes}",
                code="overloaded", retry_after_ms=BUSY_MS,
                details={"limit": "held_bytes", "value": limits.held_bytes, "used": holdings.held_bytes},
            )  # fmt: skip
        turn = trio.Event()
        one.mailbox.append(turn)
        try:
            await turn.wait()
        except trio.Cancelled:
            if turn.is_set():
                self._pass_on(one)
            else:
                one.mailbox.remove(turn)
            raise
        finally:
            holdings.release(message_bytes)

    def _pass_on(self, one: One) -> None:
        """Whoever waits longest has it; else it is idle, where there is room for it while others need none."""
        if one.mailbox:
            one.mailbox.popleft().set()
            return
        one.is_taken = False
        admission, memory_bytes = one.program.admission, one.release.memory_bytes
        if one.before and admission.may_keep(memory_bytes):
            admission.keep(memory_bytes)
            self._idle[one.key] = one
            self._idle_of.setdefault(one.key[0], OrderedDict())[one.key] = one
            self._some_idle.set()
            return
        if one.before:
            self._forget(*one.key)
        del self._ones[one.key]

    def _not_idle(self, one: One) -> None:
        one.is_taken = True
        del self._idle[one.key]
        idle = self._idle_of[one.key[0]]
        del idle[one.key]
        if not idle:
            del self._idle_of[one.key[0]]
        one.program.admission.unkeep(one.release.memory_bytes)

    def _drop(self, one: One) -> None:
        self._not_idle(one)
        del self._ones[one.key]
        self._forget(*one.key)


def _is_same(old: Release, new: Release) -> bool:
    """What a sandbox of the one keeps may be used under the other."""
    return (old.app, old.limits, old.config, old.group) == (new.app, new.limits, new.config, new.group)
