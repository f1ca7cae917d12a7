"""Cases played through the control socket of real daemons with jailed workers.

What lives here: which daemon a case gets. One that asks for nothing special gets the daemon that stands for all of
them, on what those before it left behind, and is cleared away after; any other gets a daemon of its own.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import trio

from runtime.control.sockets import PATH_BYTES_MAX, SOCKET_NAME
from runtime.daemon.control.listeners import ASIDE_BYTES
from runtime.target import world
from runtime.target.asking import Asking, Told
from runtime.target.daemon import Order
from runtime.target.forks import Daemon, Forks
from runtime.target.play import FEATURES
from runtime.target.steps import Stage

SHARED: Final = frozenset({"control", "store", "releases"})
"""What cases can have of a daemon that others were played on before."""
_ORDINARY: Final[dict[str, Any]] = {"settings": {}}
_LONGEST_BELOW: Final = f"/hostel-________/tmp________/state/{SOCKET_NAME}"
_PARENT_BYTES_MOST: Final = PATH_BYTES_MAX - ASIDE_BYTES - len(_LONGEST_BELOW)
"""Of the folder that the daemons' folders are made in."""


def play_lines_through_daemons(lines: Iterable[bytes], write: Callable[[str], object]) -> None:
    """As `play_lines`."""
    with tempfile.TemporaryDirectory(prefix="hostel-", dir=_parent()) as folder, Forks() as forks:
        player = _Player(forks, Path(folder))
        for line in lines:
            write(json.dumps(trio.run(player.play, json.loads(line))) + "\n")


def _parent() -> str:
    """The user's own choice (TMPDIR), unless no socket below it could be bound."""
    chosen = tempfile.gettempdir()
    return chosen if len(chosen.encode()) <= _PARENT_BYTES_MOST else "/tmp"


class _Player:
    """Of one target. The daemon that stands lives until the forks are closed."""

    def __init__(self, forks: Forks, folder: Path) -> None:
        self._forks, self._folder = forks, folder
        self._standing: Daemon | None = None
        self._stood = 0

    async def play(self, case: Mapping[str, Any]) -> dict[str, Any]:
        if missing := sorted({*case["needs"]} - FEATURES):
            return {"case": case["case"], "skipped": f"a daemon has no {', '.join(missing)} to offer"}
        alone = {*case["needs"]} - SHARED or case["settings"] or case.get("keyring") or "names" in case
        told = await (self._play_alone(case) if alone else self._play_among_others(case))
        return {"case": case["case"], "steps": told}

    async def _play_among_others(self, case: Mapping[str, Any]) -> list[Told]:
        daemon = await self._stands()
        async with _connection(daemon) as asking:
            stage = Stage(asking, _wait, _no_restart, daemon.connect)
            told = [await stage.do(step) for step in case["steps"]]
        async with _connection(daemon) as asking:
            await _clear(Stage(asking, _wait, _no_restart, daemon.connect), case["steps"], told)
        return told

    async def _stands(self) -> Daemon:
        if self._standing is None or not self._standing.is_there:
            self._stood += 1
            self._standing = await self._forks.start(self._order(_ORDINARY, self._folder / f"standing-{self._stood}"))
        return self._standing

    async def _play_alone(self, case: Mapping[str, Any]) -> list[Told]:
        with tempfile.TemporaryDirectory(dir=self._folder) as kept:
            order = self._order(case, Path(kept) / "state")
            async with _Own(self._forks, order, "clock" in case["needs"], world.begins_us(case)) as own:
                stage = Stage(await own.again(), own.advance, own.again, own.connect, own.pay_out)
                return [await stage.do(step) for step in case["steps"]]

    def _order(self, case: Mapping[str, Any], state: Path) -> Order:
        told = {key: case[key] for key in ("settings", "keyring", "names", "lost") if key in case}
        return Order(case=told, state=str(state), artifacts=str(self._folder / "artifacts"))


class _Own:
    """The daemons of one case, one after the other on the same state. An asynchronous context: it ends the last."""

    def __init__(self, forks: Forks, order: Order, steered: bool, begins_us: int) -> None:
        self._forks, self._order = forks, order
        self._now_us = begins_us if steered else None
        self._scene = 0
        self._daemon: Daemon | None = None
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> _Own:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()
        if self._daemon is not None:
            self._daemon.kill()

    async def again(self) -> Asking:
        """Stops the daemon that runs, starts one on the same state, and connects to it."""
        await self._stack.aclose()
        self._stack = AsyncExitStack()
        if self._daemon is not None:
            await self._daemon.stop()
            self._daemon = None
        self._scene += 1
        order = Order(
            case=self._order.case, state=self._order.state, artifacts=self._order.artifacts, scene=self._scene,
            clock_us=self._now_us,
        )  # fmt: skip
        self._daemon = await self._forks.start(order)
        return await self._stack.enter_async_context(_connection(self._daemon))

    def connect(self) -> Any:
        """A connection to the daemon that runs."""
        if self._daemon is None:
            raise RuntimeError("no daemon runs")
        return self._daemon.connect()

    async def pay_out(self, app_id: str, amount: int, currency: str) -> None:
        if self._daemon is None:
            raise RuntimeError("no daemon runs")
        await self._daemon.pay_out(app_id, amount, currency)

    async def advance(self, ms: int) -> None:
        if self._now_us is None or self._daemon is None:
            await _wait(ms)
        else:
            self._now_us += 1_000 * ms
            await self._daemon.advance(ms)


@asynccontextmanager
async def _connection(daemon: Daemon) -> AsyncIterator[Asking]:
    asking = Asking(daemon.connect())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(asking.run)
        try:
            yield asking
        finally:
            nursery.cancel_scope.cancel()


async def _clear(stage: Stage, steps: Iterable[Mapping[str, Any]], told: Iterable[Told]) -> None:
    """The programs first: then nobody is paid any more, and what users hold is theirs."""
    users, programs = dict[str, None](), dict[str, None]()
    for step, came in zip(steps, told, strict=True):
        if isinstance(user := step.get("params", {}).get("user"), str) and user:
            users[user] = None
        if step.get("ask") == "install" and "result" in came:
            programs[came["result"]["app"]["app_id"]] = None
    for app in programs:
        await stage.do({"ask": "uninstall", "params": {"app": app, "erase": True}})
    for user in users:
        await stage.do({"ask": "erase_user", "params": {"user": user, "forfeit_balance": True}})


async def _wait(ms: int) -> None:
    """A clock that nobody can move goes by itself."""
    await trio.sleep(ms / 1_000)


async def _no_restart() -> Asking:
    raise RuntimeError("a case that starts its host anew has a daemon of its own")
