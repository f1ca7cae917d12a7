"""A place: each call by `hostel run`, in a process of its own, on one state directory.

What lives here: the command line of one call, and the world carried there and back. What else a scenario does (users,
operators, time) is done between two calls, on the same state directory, by a host of the library.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import trio

from runtime.scenarios.patterns import decoded
from runtime.scenarios.project import Installed
from runtime.scenarios.reading import At
from runtime.scenarios.scenario import NOBODY, User
from runtime.scenarios.stage import Answered, Library, Stage, Unanswered, session_of
from runtime.scenarios.world import World
from runtime.settings import HostSettings

_ROOT: Final = str(Path(__file__).resolve().parents[2])
_OF_THE_COMMAND: Final = frozenset({2, 8, 70, 74})
"""Exit codes that are about the command, not about the call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """`hostel run --state DIR --world FILE` for each call."""

    settings: HostSettings
    name: str = "run"

    @asynccontextmanager
    async def open(self, world: World, state: Path) -> AsyncIterator[Stage]:
        """See `Place`."""
        await trio.lowlevel.checkpoint()
        yield _RunStage(Library(settings=self.settings), world, state)


class _RunStage(Stage):
    """A host is open only while something is done between two calls."""

    def __init__(self, library: Library, world: World, state: Path) -> None:
        self._library, self._world, self._state = library, world, state
        self._file = state.with_name("world.json")
        self._is_settled = False

    @asynccontextmanager
    async def _reached(self) -> AsyncIterator[Any]:
        async with self._library.host(self._world, self._state) as host:
            yield host

    async def settle(self) -> None:
        """After a call nothing is left to do: the command did it."""
        if not self._is_settled:
            async with self._reached() as host:
                await host.settle()
        self._is_settled = False

    # ---- programs ----------------------------------------------------------------------------------------------------
    @property
    def _installed(self) -> Path:
        return self._state.with_name("installed.json")

    async def install(self, program: Installed) -> None:
        """And remember the words of the command line for it: the command installs its bundle with each call."""
        await super().install(program)
        app_id, install = program.bundle.manifest.app_id, program.install
        told = self._told()
        file = self._state.with_name(f"{len(told)}.ma")
        file.write_bytes(program.bundle.data)
        words = ["--config", json.dumps(dict(install.config))]
        words += [word for name, value in install.limits.items() for word in ("--limit", f"{name}={value}")]
        words += ["--payee", install.payee] if install.payee is not None else []
        told[app_id] = {"file": str(file), "words": words, "grants": program.grants}
        self._installed.write_text(json.dumps(told))

    def _told(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._installed.read_text()) if self._installed.exists() else {}
        return found

    async def grant(self, app_id: str, grants: Mapping[str, Mapping[str, Any]]) -> None:
        """See `Stage`."""
        await super().grant(app_id, grants)
        told = self._told()
        told[app_id]["grants"] = dict(grants)
        self._installed.write_text(json.dumps(told))

    async def revoke(self, app_id: str, capabilities: tuple[str, ...]) -> None:
        """See `Stage`."""
        await super().revoke(app_id, capabilities)
        told = self._told()
        grants = told[app_id]["grants"]
        told[app_id]["grants"] = {name: given for name, given in grants.items() if name not in capabilities}
        self._installed.write_text(json.dumps(told))

    # ---- calls -------------------------------------------------------------------------------------------------------
    async def call(self, app_id: str, method: str, params: Mapping[str, Any], name: str, user: User) -> Answered:
        """See `Stage`."""
        return await self._run(app_id, [method, json.dumps(params, default=_base64)], name, user)

    async def notify(self, app_id: str, method: str, params: Mapping[str, Any], name: str) -> Answered:
        """See `Stage`."""
        return await self._run(app_id, [method, json.dumps(params, default=_base64), "--notify"], name, NOBODY)

    async def _run(self, app_id: str, words: list[str], name: str, user: User) -> Answered:
        told = self._told()[app_id]
        grants = ["--grant", json.dumps(told["grants"])] if told["grants"] else []
        self._file.write_text(json.dumps({**self._world.told(), "session": session_of(name, user)}))
        command = [
            sys.executable, "-P", "-m", "runtime.cli", "run", told["file"], *words, "--json", "--user", name,
            "--state", str(self._state), "--world", str(self._file), *told["words"], *grants,
        ]  # fmt: skip
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (_ROOT, os.environ.get("PYTHONPATH"))))}
        run = partial(trio.run_process, capture_stdout=True, capture_stderr=True, check=False, env=environment)
        done = await run(command)
        self._is_settled, self._world.users.desk = True, None
        self._world.take(json.loads(self._file.read_text()))
        return _answered(done)


def _answered(done: subprocess.CompletedProcess[bytes]) -> Answered:
    """What the command printed, as plain values. Raises Unanswered."""
    try:
        found = json.loads(done.stdout)
    except ValueError:
        found = None
    if not isinstance(found, dict) or done.returncode in _OF_THE_COMMAND:
        raise Unanswered(f"hostel run ended with {done.returncode}: {_said(done)}")
    if "error" not in found:
        result = decoded(At(found["result"], "", "hostel run"))
        return Answered(ending=found["receipt"]["ending"], result=result, receipt=found["receipt"])
    error = decoded(At(found["error"], "", "hostel run"))
    own = error["details"].get("error")
    told = own if isinstance(own, dict) else {name: error[name] for name in ("code", "message", "details")}
    ending = error.get("ending") or ("not_installed" if error["code"] == "not_installed" else "refused")
    return Answered(ending=ending, error=told, receipt=error.get("receipt"))


def _said(done: subprocess.CompletedProcess[bytes]) -> str:
    return (done.stdout + done.stderr).decode(errors="replace")[-1_000:]


def _base64(value: object) -> Any:
    if isinstance(value, bytes):
        return {"$base64": base64.b64encode(value).decode()}
    raise TypeError(f"{type(value).__name__} has no JSON form")
