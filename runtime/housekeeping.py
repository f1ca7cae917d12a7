"""What the host does by itself, beside its calls: sweeps, pushes of events, and the audit's records of what is counted.

What lives here: the tasks and their rhythm. What is swept, pushed or counted is handed in. Each part is a task of its
own: one that fails is logged with an incident, tried again later and later, and stops no other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeAlias

import trio

from host_api import audit
from host_api.errors import ApiError
from host_api.store.protocol import Store, Transaction
from runtime.log import logger
from runtime.pushes import Pushes

_log = logger("housekeeping")

SWEEP_EVERY_S: Final = 10.0
"""What expires has expired by its time, whoever looks; a sweep only writes it down, and tells it."""
SWEEP_ROWS: Final = 100
"""In one transaction; other writers have their turn between two."""
TALLIES_EVERY_S: Final = 60.0
TALLY_RECORDS_MAX: Final = 100
"""Audit records of one minute's counts of one kind; the rarer ones are counted together."""
BACK_OFF_MAX_S: Final = 300

Sweep: TypeAlias = Callable[[Transaction, int], int]
"""Does at most so many of what is to be done; gives how many that were."""
Counts: TypeAlias = Mapping[Any, int]
"""A tuple of texts → how often."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What is counted, and recorded once a minute with its count: a record each would let a program fill the audit."""

    effect: str
    """Of the audit records."""
    names: tuple[str, ...]
    """Of what a key of the counts holds."""
    drain: Callable[[], Counts]
    """What was counted since it was last asked."""
    rest_names: int = 0
    """So many of the names, from the end, tell the rare ones apart that are counted together."""

    def condensed(self, counts: Counts) -> dict[tuple[str, ...], int]:
        """The TALLY_RECORDS_MAX most frequent; the others together. Again, it is the same."""
        at = len(self.names) - self.rest_names
        blank = ("",) * at
        named = sorted((key for key in counts if key[:at] != blank), key=lambda key: (-counts[key], key))
        own = set(named[:TALLY_RECORDS_MAX])
        kept: Counter[tuple[str, ...]] = Counter()
        for key, count in counts.items():
            kept[key if key in own else blank + key[at:]] += count
        return dict(kept)


def refusals(drain: Callable[[], Counts]) -> Tally:
    """Of Broker.drain_refusals: the rare ones are told by their code alone."""
    return Tally(effect="host_call.refused", names=("app_id", "method", "code"), drain=drain, rest_names=1)


def fetches(drain: Callable[[], Counts]) -> Tally:
    """Of Departures.drain: which program sent requests to which host."""
    return Tally(effect="http.fetched", names=("app_id", "host"), drain=drain)


def back_off_s(failures: int) -> float:
    """How long a part waits that failed this many times in a row: 1 s, 2 s, 4 s … 5 min."""
    return min(1 << min(failures - 1, 9), BACK_OFF_MAX_S)


class Housekeeping:
    """The host's own tasks. `run` in a nursery of the host; cancel it there before the store is closed."""

    def __init__(
        self,
        *,
        store: Store,
        sweeps: Sequence[Sweep],
        pushes: Pushes,
        tallies: Sequence[Tally],
        new_incident: Callable[[], str],
    ) -> None:
        self._store, self._sweeps, self._pushes = store, sweeps, pushes
        self._new_incident = new_incident
        self._counted: list[tuple[Tally, Counter[tuple[str, ...]]]] = [(tally, Counter()) for tally in tallies]

    async def run(self) -> None:
        """Until it is cancelled; what was counted until then is recorded first."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._keep, "pushes", self._push)
                nursery.start_soon(self._keep, "tallies", self._minute)
                for sweep in self._sweeps:
                    name = f"{sweep.__module__}.{getattr(sweep, '__qualname__', type(sweep).__name__)}"
                    nursery.start_soon(self._keep, name, partial(self._sweep, sweep))
        finally:
            with trio.CancelScope(shield=True):
                await self._tried("tallies", self._record_tallies)

    async def _keep(self, name: str, part: Callable[[], Awaitable[float]]) -> None:
        """Do a part for ever, as often as it says."""
        failures = 0
        while True:
            pause_s = await self._tried(name, part)
            failures = 0 if pause_s is not None else failures + 1
            await trio.sleep(back_off_s(failures) if pause_s is None else pause_s)

    async def _tried(self, name: str, part: Callable[[], Awaitable[float]]) -> float | None:
        """What the part gives; None if it failed, which is logged."""
        try:
            return await part()
        except ApiError as error:
            _log.warning("housekeeping put off", part=name, code=error.code.code, reason=error.message)
        except Exception as error:
            _log.error("housekeeping failed", incident=self._new_incident(), part=name, exc_info=error)
        return None

    async def _push(self) -> float:
        await self._pushes.run()
        return 0.0

    async def _sweep(self, sweep: Sweep) -> float:
        done = SWEEP_ROWS
        while done >= SWEEP_ROWS:
            done = await self._store.write(lambda tx: sweep(tx, SWEEP_ROWS))
            if done:
                self._pushes.wake()
        return SWEEP_EVERY_S

    async def _minute(self) -> float:
        await trio.sleep(TALLIES_EVERY_S)
        self._pushes.wake()
        return await self._record_tallies()

    async def _record_tallies(self) -> float:
        """One record for each key. What cannot be written now is kept, condensed, for the next minute."""
        told: list[tuple[Tally, dict[tuple[str, ...], int]]] = []
        for tally, counted in self._counted:
            counted.update(tally.drain())
            condensed = tally.condensed(counted)
            counted.clear()
            counted.update(condensed)
            told.append((tally, condensed))
        if any(condensed for _, condensed in told):
            await self._store.write(lambda tx: _record(tx, told))
            for _, counted in self._counted:
                counted.clear()
        return 0.0


def _record(tx: Transaction, told: Sequence[tuple[Tally, Counts]]) -> None:
    for tally, counts in told:
        for key, count in counts.items():
            audit.record(tx, tally.effect, **dict(zip(tally.names, key, strict=True)), count=count)
