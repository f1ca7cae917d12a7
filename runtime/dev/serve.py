"""`hostel dev`: the daemon on a project's folder. The same doors, limits, checks and jail; what is not of production is
who the users are, what is outside, and that a changed file is a new release at once.

What lives here: the order (open, install, fill the wallets, watch) and one reload. What is told goes to a `Listener`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

import trio

from host_api.errors import ApiError
from host_api.prompts.cashier import Cashier
from host_api.services import Outside
from runtime import jail
from runtime.daemon.config import Config, of_sections
from runtime.daemon.doors import control_door, http_door
from runtime.daemon.serve import run
from runtime.dev.project import Project
from runtime.dev.watch import changed, seen
from runtime.errors import HostelError
from runtime.executor.job import Outcome
from runtime.faults import Faults
from runtime.host import Host
from runtime.receipt import Receipt
from runtime.registry import App
from runtime.scenarios.network import FakeNetwork
from runtime.scenarios.project import Installed
from runtime.session import CallSession
from runtime.worker_settings import WorkerSettings

LOOK_EVERY_S: Final = 0.05
"""How often the folder is looked at. A change is taken once it stood still for as long."""
SLOTS: Final = 64
SOCKET: Final = "hostel.sock"
"""In the state directory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DevSettings:
    """What a developer decides about it."""

    state: Path
    """The state directory, made if missing."""
    http_port: int | None = None
    """Of the HTTP door; None: it stays shut."""
    cache_dir: Path | None = None
    """As HostSettings.cache_dir."""


class Listener(Protocol):
    """Who is told what happens. Quick, raises nothing."""

    def ended(self, outcome: Outcome, receipt: Receipt, session: CallSession) -> None: ...
    def refused(self, session: CallSession, method: str, error: ApiError) -> None:
        """The host said no to a request of a program."""
        ...

    def line(self, session: CallSession, level: str, text: str) -> None: ...
    def installed(self, app: App, paths: list[str], ms: float) -> None:
        """From the change to the release that answers from now on; no paths: it is the first one."""
        ...

    def failed(self, error: HostelError) -> None:
        """What lies in the folder cannot be run; what ran before goes on."""
        ...


async def serve(
    project: Project,
    settings: DevSettings,
    listener: Listener,
    *,
    cashier: Cashier | None = None,
    faults: Faults | None = None,
    host_arguments: Mapping[str, Any] | None = None,
    task_status: trio.TaskStatus[Host] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Until SIGTERM, SIGINT or a stop over the socket. `cashier`: who answers for the users; None: their prompts wait
    for a front end. `host_arguments`: in place of the project's own world, for `Host.open`; then nothing is installed
    and nobody known. `task_status` is given the host once the program of the folder is installed, or cannot be.

    Raises StartupError and UsageError: nothing was served.
    """
    async with trio.open_nursery() as nursery:
        if host_arguments is None:
            opened = partial(Host.open, **_world(project, listener, cashier, faults or Faults(), nursery))
        else:
            opened = partial(Host.open, **host_arguments)
        config = await _config(settings)
        doors = (control_door,) if settings.http_port is None else (control_door, http_door)

        async def until_stopped(task_status: trio.TaskStatus[Host]) -> None:
            await run(config, doors, read_again=lambda: config, open_host=opened, task_status=task_status)
            nursery.cancel_scope.cancel()

        host: Host = await nursery.start(until_stopped)
        if host_arguments is None:
            host.watch(ended=listener.ended, refused=listener.refused)
            reloads = Reloads(host, project, listener)
            host.doors_open = False  # ready is who can be called: `hostel status --wait` waits for that
            await reloads.begin()
            host.doors_open = True
            nursery.start_soon(reloads.run)
        task_status.started(host)


def _world(
    project: Project, listener: Listener, cashier: Cashier | None, faults: Faults, nursery: trio.Nursery
) -> dict[str, Any]:
    """Where the project says what is outside there is nothing else; where it says nothing, the real network."""
    entries = () if project.scenario is None else project.scenario.network
    access = FakeNetwork(entries, nursery).access if entries else None
    return {"cashier": cashier, "log_sink": listener.line, "outside": Outside(http=access, faults=faults)}


async def _config(settings: DevSettings) -> Config:
    """The daemon's defaults, with one worker, jailed as far as this machine can."""
    told = {"host": {"state": str(settings.state), "allow_unsigned": True}, "http": {"port": settings.http_port or 0}}
    config = of_sections(told, "hostel dev")
    level = await trio.to_thread.run_sync(jail.probe)
    workers = WorkerSettings(count=1, slots=SLOTS, start_s=60.0, require=str(level))  # type: ignore[arg-type]
    return replace(config, host=replace(config.host, workers=workers, cache_dir=settings.cache_dir))


class Reloads:
    """The folder's program on the host, as it changes."""

    def __init__(self, host: Host, project: Project, listener: Listener) -> None:
        self._host, self._project, self._listener = host, project, listener
        self._seen = seen(project.folder, but=project.built)

    async def begin(self) -> None:
        """The users are known, their wallets filled (once for a state directory), the programs installed."""
        for name, user in self._project.users.items():
            if user.fields:
                await self._host.users.put(name, user.fields)
            for money in user.wallet:
                await self._host.deposit(name, money, reference=f"hostel dev {name} {money.currency}")
        await self._install([])
        for beside in self._project.beside():
            await self._take(beside)

    async def run(self) -> None:
        """For ever."""
        while True:
            await trio.sleep(LOOK_EVERY_S)
            now = seen(self._project.folder, but=self._project.built)
            if now == self._seen:
                continue
            before, began = self._seen, time.perf_counter()
            while now != self._seen:  # until an editor, or a compiler, has written all it had to
                self._seen = now
                await trio.sleep(LOOK_EVERY_S)
                now = seen(self._project.folder, but=self._project.built)
            await self._install(changed(before, now), began)

    async def _install(self, paths: list[str], began: float | None = None) -> None:
        began = time.perf_counter() if began is None else began
        try:
            await trio.to_thread.run_sync(self._project.build)
            app = await self._take(await trio.to_thread.run_sync(self._project.own))
        except HostelError as error:
            self._listener.failed(error)
        except ApiError as error:
            self._listener.failed(HostelError(error.message, code=error.code.code, details=error.details))
        else:
            self._listener.installed(app, paths, (time.perf_counter() - began) * 1_000)

    async def _take(self, program: Installed) -> App:
        install = program.install
        return await self._host.install(
            program.bundle, grant=program.grants, limits=install.limits, config=install.config, payee=install.payee,
            allow_unsigned=True,
        )  # fmt: skip
