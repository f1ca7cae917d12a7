"""What one host call adds to a call that makes an empty one: storage, users, other programs, HTTPS; and events.

The empty host call goes the whole way, from the guest's import through the broker's checks and back, to a method that
is bound here and does nothing: no capability, no parameters, an empty result. All cases run the same guest on one host
with its state in a file, in the same rounds.
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import trio

from benchmarks import guests
from benchmarks.loopback import NAME, Loopback
from benchmarks.measure import One, Scale, Timing, interleaved, timed
from benchmarks.report import Row
from host_api.contract import Params, Result, Session
from host_api.events import outbox
from host_api.http.access import HttpAccess
from host_api.services import Outside
from host_api.store import Transaction
from runtime import App, Host
from runtime.broker import Route

SUBJECT = "what a host call adds, whole path, state in a file"
NOTHING = "benchmark.nothing"
SCOPES = {"scopes": ["nickname"]}
KEYS = 10_000
"""More than the cache of storage.get holds, read in turn: each read goes to SQLite."""
_INSERT = """
    INSERT INTO storage_values (app_id, scope_user, key, value, version, bytes) VALUES (?, ?, ?, ?, 1, ?)"""


class Empty(Params, frozen=True):
    """No parameters."""


_DONE = Result()


async def rows(scale: Scale) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        async with _opened(Path(folder)) as (host, loopback):
            _bind_nothing(host)
            app = await _ready(host, loopback.port)
            ones: dict[str, One] = {
                "nothing": _one(host, app, NOTHING),
                "cached": _one(host, app, "storage.get", {"key": "k"}),
                "uncached": _uncached(host, app),
                "profile": _one(host, app, "user.profile", SCOPES),
                "program": _one(host, app, "program.call", {"program": "org.example.callee", "method": NOTHING}),
            }
            cases = {name: partial(timed, one, scale.calls // 2) for name, one in ones.items()}
            fetch = _one(host, app, "http.fetch", {"url": f"https://{NAME}:{loopback.port}/"})
            pushed = await _pushed(host)
            slow = {"fetch": partial(timed, fetch, scale.spins * 4), "event": partial(timed, pushed, scale.spins * 4)}
            return _rows(await interleaved({**cases, **slow}, scale.rounds))


def _rows(found: dict[str, Timing]) -> list[Row]:
    row = partial(Row, subject=SUBJECT)
    nothing = found["nothing"].p50_us

    def added(name: str) -> float:
        return found[name].p50_us - nothing

    return [
        row(what="a call with an empty host call, p50", value=nothing, unit="µs"),
        row(what="storage.get of a cached key adds, p50", value=added("cached"), unit="µs", bar=15),
        row(what="storage.get of a key that is not cached adds, p50", value=added("uncached"), unit="µs"),
        row(what="user.profile adds, p50", value=added("profile"), unit="µs"),
        row(what="program.call adds (two sandboxes in place of one), p50", value=added("program"), unit="µs"),
        row(what="http.fetch on loopback, connection and TLS handshake in it, p50", value=found["fetch"].p50_us / 1e3,
            unit="ms"),
        row(what="event, from its publishing to its acknowledgement by the guest, p50",
            value=found["event"].p50_us / 1e3, unit="ms"),
    ]  # fmt: skip


@asynccontextmanager
async def _opened(folder: Path) -> AsyncIterator[tuple[Host, Loopback]]:
    async with trio.open_nursery() as nursery:
        loopback = await Loopback.begin(nursery)
        access = HttpAccess(resolver=loopback.resolve, tls=loopback.client_tls, allow_address=lambda _: True)
        async with guests.open_host(folder / "state", outside=Outside(http=access)) as host:
            yield host, loopback
        nursery.cancel_scope.cancel()


def _bind_nothing(host: Host) -> None:
    def run(session: Session, params: Empty) -> Result:
        return _DONE

    host._calls.broker.routes[NOTHING] = Route(run, partial(msgspec.convert, type=Empty), None, False, "")


async def _ready(host: Host, port: int) -> App:
    """The guest, with all that it is to read, and the program that it calls."""
    await guests.install(host, "callee", guests.forward(1))
    grant = {
        "storage": {}, "user.profile": {}, "http": {"hosts": [f"{NAME}:{port}"]},
        "program.call": {"programs": ["org.example.callee"]},
    }  # fmt: skip
    app = await guests.install(host, "forward", guests.forward(), grant=grant)
    await host.users.put(guests.USER, {"nickname": "Lin"})
    await _one(host, app, "user.authorize", {**SCOPES, "wait_ms": 10_000})(0)
    await guests.stored(host, app)
    await host._store.write(partial(_store_keys, app_id=app.app_id))
    return app


def _store_keys(tx: Transaction, *, app_id: str) -> None:
    value = msgspec.msgpack.encode("x" * 40)
    for number in range(KEYS):
        tx.execute(_INSERT, (app_id, guests.USER, f"key{number}", value, len(value)))


def _one(host: Host, app: App, method: str, params: Mapping[str, Any] | None = None) -> One:
    return lambda _: host.call(app, method, params, user=guests.USER)


def _uncached(host: Host, app: App) -> One:
    turns = count()
    return lambda _: host.call(app, "storage.get", {"key": f"key{next(turns) % KEYS}"}, user=guests.USER)


async def _pushed(host: Host) -> One:
    """Publishes an event and waits for its acknowledgement."""
    await host.install(guests.bundle("listener", guests.acknowledge(), asks=(), events=True), limits=guests.UNRATED)
    routes, seen = host._calls.broker.routes, trio.Event()
    route = routes["events.ack"]

    async def run(session: Session, params: Any) -> Any:
        result = await route.run(session, params)
        seen.set()
        return result

    routes["events.ack"] = route._replace(run=run)
    told = partial(outbox.publish, app_id="org.example.listener", user=guests.USER, topic="benchmark.told", payload={})
    streams = count()

    async def one(_: int) -> None:
        nonlocal seen
        seen = trio.Event()
        await host._store.write(partial(told, stream=f"stream{next(streams)}"))
        await seen.wait()

    return one
