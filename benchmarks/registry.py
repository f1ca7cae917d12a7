"""A registry of very many programs: recording one, finding one, and the first call of one that is not in memory.

The programs are rows of one template, made in the store beside the host: to upload a million would measure something
else. Few programs are kept in memory, so nearly every call is of one that is not. What a commit waits for the disk is
told apart: the job is what grows with the registry, if anything does. A look-up takes less than a turn of a processor:
on a machine that is busy its p99 says how long others kept the processor, so those where none did are told apart too.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import guests
from benchmarks.measure import Scale, quantile, resident_bytes, timed
from benchmarks.report import Row
from host_api.releases import steps, uploads
from host_api.store import Transaction, open_store
from runtime import App, Host
from runtime.sources import SystemClock

IN_MEMORY = 64
_AT_ONCE = 20_000
"""Rows of one transaction, which is to be over long before the store's patience is."""
_NUMBERS = "WITH RECURSIVE n(i) AS (SELECT :first UNION ALL SELECT i + 1 FROM n WHERE i + 1 < :last)"
_RELEASE = (
    "name, status, identity, developer, signed_by, module_sha256, assets_sha256, reviewed, payee, uploaded_us,"
    " decided_us, ended_us, reason, facts, grants, limits, config, report"
)
_NAME = "'org.example.m' || substr('0000000' || i, -7)"


async def rows(scale: Scale) -> list[Row]:
    subject = f"registry of {scale.installed:,} programs of one template, {IN_MEMORY} of them in memory"
    with tempfile.TemporaryDirectory() as folder:
        state, cache = Path(folder) / "state", Path(folder) / "cache"
        template, other = guests.forward(1), guests.forward(2)
        guests.compile_into(cache, [template, other])
        async with guests.open_host(state, cache_dir=cache) as host:
            await guests.install(host, "template", template)
        small = await _resident(state, cache)
        await _fill(state, scale.installed)
        large = await _resident(state, cache)
        async with guests.open_host(state, cache_dir=cache, programs_in_memory=IN_MEMORY, loaded_bytes_max=1) as host:
            app = await guests.install(host, "other", other)
            await _measured(host, app, replace(scale, calls=min(scale.calls, 100)))
            before = resident_bytes()
            found = await _measured(host, app, scale, 1)
            grown = resident_bytes() - before
    row = partial(Row, subject=subject)
    return [
        *(row(what=what, value=value, unit="ms", bar=bar) for what, value, bar in found),
        row(what="memory of an open host, more than with 1 program", value=(large - small) / 1e6, unit="MB"),
        row(what="and more after all these calls", value=grown / 1e6, unit="MB"),
    ]


async def _measured(host: Host, other: App, scale: Scale, seed: int = 0) -> list[tuple[str, float, float | None]]:
    """What, how many ms, the bar."""
    random_, calls = random.Random(seed), scale.calls
    names = [f"org.example.m{random_.randrange(scale.installed):07}" for _ in range(4 * calls)]
    looked_up = await timed(lambda n: _found(host, names[n]), calls)
    later = names[calls:]
    first = await timed(
        lambda n: host.call(later[n], "session.info", user=guests.USER), calls,
        before=lambda _: host.call(other, "session.info", user=guests.USER),
    )  # fmt: skip
    jobs, whole = await _recorded(host, names[2 * calls :], min(calls, 300), seed)
    return [
        ("look-up, p50", looked_up.p50_us / 1e3, None),
        ("look-up, p99", looked_up.p99_us / 1e3, 5),
        ("look-up, p99 where no other thread took the processor", looked_up.calm_p99_us / 1e3, 5),
        ("look-up, CPU time, p99", looked_up.cpu_p99_us / 1e3, None),
        ("first call, its module not loaded, p50", first.p50_us / 1e3, 1),
        ("first call, its module not loaded, p99", first.p99_us / 1e3, 5),
        ("first call, p99 where no other thread took the processor", first.calm_p99_us / 1e3, 5),
        ("first call, CPU time, p99", first.cpu_p99_us / 1e3, None),
        ("record a step or a new program, without the commit, p50", quantile(jobs, 0.5) * 1e3, None),
        ("record a step or a new program, without the commit, p99", quantile(jobs, 0.99) * 1e3, 5),
        ("the same with the commit, p50", quantile(whole, 0.5) * 1e3, None),
    ]


async def _found(host: Host, name: str) -> None:
    host._registry.find(name)


async def _recorded(host: Host, names: list[str], count: int, seed: int) -> tuple[list[float], list[float]]:
    """Seconds of each job, and with its commit: by turns a program installed anew, a limit set, a minimum set."""
    made = guests.bundle("new", guests.forward(1))
    offer, given = await _offer(host, made)
    jobs: list[float] = []
    whole: list[float] = []

    def clocked(job: Callable[[Transaction], Any], tx: Transaction) -> None:
        began = time.perf_counter()
        job(tx)
        jobs.append(time.perf_counter() - began)

    for number in range(count):
        app_id = names[number]
        kinds: tuple[Callable[[Transaction], Any], ...] = (
            lambda tx, n=number: uploads.install(  # type: ignore[misc]
                tx, _named(offer, f"org.example.new{seed}-{n}"), given, sector="s", isolation=None, new_owner=False
            ),
            lambda tx, a=app_id: steps.set_limits(tx, a, guests.UNRATED),  # type: ignore[misc]
            lambda tx, a=app_id: steps.set_minimum(tx, a, 1),  # type: ignore[misc]
        )
        began = time.perf_counter()
        await host._store.write(partial(clocked, kinds[number % 3]))
        whole.append(time.perf_counter() - began)
    return jobs, whole


async def _offer(host: Host, made: Any) -> tuple[Any, Any]:
    from runtime.limits import Limits
    from runtime.offers import given_of, offer_of

    code = await host._code.take(made, Limits())
    given = given_of(grant=guests.GRANT, limits=guests.UNRATED, config=None, payee=None, name="new")
    return offer_of(made, code, developer="", signed_by="", report={}), given


def _named(offer: Any, app_id: str) -> Any:
    return type(offer)(**{**{name: getattr(offer, name) for name in offer.__struct_fields__}, "app_id": app_id})


async def _resident(state: Path, cache: Path) -> int:
    async with guests.open_host(state, cache_dir=cache, programs_in_memory=IN_MEMORY) as host:
        await host.call("org.example.template", "session.info", user=guests.USER)
        return resident_bytes()


async def _fill(state: Path, count: int) -> None:
    async with open_store(state, SystemClock()) as store:
        for first in range(0, count, _AT_ONCE):
            await store.write(partial(_some, first=first, last=min(first + _AT_ONCE, count)))


def _some(tx: Transaction, first: int, last: int) -> None:
    between = {"first": first, "last": last}
    tx.execute(
        f"{_NUMBERS} INSERT INTO releases (app_id, code, {_RELEASE}) SELECT {_NAME}, 1, {_RELEASE} FROM n, releases r"
        " WHERE r.app_id = 'org.example.template'",
        between,
    )
    tx.execute(
        f"{_NUMBERS} INSERT INTO programs (app_id, current_code, sector, installed_us, changed_us)"
        f" SELECT {_NAME}, 1, {_NAME}, 1, 1 FROM n",
        between,
    )
    tx.execute(f"{_NUMBERS} INSERT INTO program_owners (app_id, developer) SELECT {_NAME}, '' FROM n", between)
