"""`hostel serve` as a process of its own, on a state directory of a test's: started, killed, started again, ended.

What lives here: the process and what /proc tells of it. What is asked of it, and expected, is the tests'.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import trio

from runtime.client import Client

T = TypeVar("T")
ROOT: Final = Path(__file__).resolve().parents[2]
PATIENCE_S: Final = 60.0
SERVE: Final = (sys.executable, "-m", "runtime.cli", "serve")
HOSTEL: Final = (sys.executable, "-m", "runtime.cli")
_SECTIONS: Final[Mapping[str, Mapping[str, Any]]] = {
    "host": {"allow_unsigned": True, "http": False}, "http": {"port": 0}, "workers": {"count": 2},
}  # fmt: skip


class Daemon:
    """One state directory, and the daemon on it while there is one."""

    def __init__(self, folder: Path, *, command: Sequence[str] = SERVE, **sections: Mapping[str, Any]) -> None:
        """`sections` of its configuration, instead of or besides `_SECTIONS`, key by key."""
        self.state, self._folder, self._command = folder / "state", folder, command
        self.state.mkdir(mode=0o700)
        self._config = folder / "hostel.toml"
        self._config.write_text(_as_toml(sections))
        self.process: trio.Process
        self.up = trio.Event()
        """It has said that it is ready, and was not ended since."""
        self.ready: dict[str, Any] = {}
        """What it said then."""
        self._starts = 0

    async def start(self) -> None:
        """Returns when it is ready."""
        self._starts += 1
        words = [*self._command, "--config", str(self._config), "--state", str(self.state)]
        with self._log.open("wb") as log:
            self.process = await trio.lowlevel.open_process(words, stdin=subprocess.DEVNULL, stderr=log, cwd=ROOT)
        await until(self._is_ready)
        self.up.set()

    def _is_ready(self) -> bool:
        told = self.events("ready")
        if not told and self.process.poll() is not None:
            raise AssertionError(f"it did not start: {self.said()}")
        self.ready = told[0] if told else {}
        return bool(told)

    @property
    def _log(self) -> Path:
        return self._folder / f"log-{self._starts}"

    def said(self) -> str:
        """Its log since it was last started."""
        return self._log.read_text()

    def events(self, name: str) -> list[dict[str, Any]]:
        """The lines of its log that tell of that event."""
        whole = [line for line in self.said().splitlines(keepends=True) if line.endswith("\n")]
        return [json.loads(line) for line in whole if f'"event": "{name}"' in line]

    @property
    def socket(self) -> Path:
        return self.state / "hostel.sock"

    @property
    def port(self) -> int:
        """Of its HTTP door."""
        return int(self.ready["listening"][-1].rpartition(":")[2])

    async def http(self, method: str, path: str, *, token: str = "", body: bytes = b"") -> tuple[int, bytes]:
        """Status and all that was answered, on a connection of its own."""
        lines = [
            f"{method} {path} HTTP/1.1", "Host: x", "Connection: close", "Content-Type: application/json",
            f"Content-Length: {len(body)}", *([f"Authorization: Bearer {token}"] if token else ()), "", "",
        ]  # fmt: skip
        async with await trio.open_tcp_stream("127.0.0.1", self.port) as stream:
            await stream.send_all("\r\n".join(lines).encode() + body)
            answer = await everything(stream)
        return int(answer.split()[1]), answer

    def client(self) -> Any:
        """A connection of its own."""
        return Client.connect(self.socket)

    # ---- its processes -----------------------------------------------------------------------------------------------
    def workers(self) -> list[int]:
        return [pid for pid in children(self.process.pid) if b'"keep_resident_bytes"' in _told(pid, "cmdline")]

    def pss_bytes(self) -> int:
        """Memory of the daemon's own process; what it shares is counted in parts."""
        lines = Path(f"/proc/{self.process.pid}/smaps_rollup").read_text().splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith("Pss:"))

    def clocks(self) -> tuple[float, float]:
        """Two that stand still while other people's processes have the processors, s: how long its loop has computed;
        and the time but for what it, its workers and this process waited for a processor. See `since`."""
        found = {pid: _told(pid, "schedstat").split() for pid in (self.process.pid, os.getpid(), *self.workers())}
        waited = sum(int(words[1]) for words in found.values() if words)
        return int(found[self.process.pid][0]) / 1e9, trio.current_time() - waited / 1e9

    def since(self, began: tuple[float, float]) -> float:
        """How long that was, s, as far as it is the daemon's doing: on a machine that is idle else, all of it."""
        return max(now - then for now, then in zip(self.clocks(), began, strict=True))

    # ---- its end -----------------------------------------------------------------------------------------------------
    async def kill(self) -> None:
        """kill -9. Returns when it and all its processes are gone."""
        self.up = trio.Event()
        orphans = children(self.process.pid)
        self.process.kill()
        await self.process.wait()
        await until(lambda: not any(_is_alive(pid) for pid in orphans))

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    async def ended(self) -> int:
        """Its exit code, once it has ended."""
        with trio.fail_after(PATIENCE_S):
            code = await self.process.wait()
        self.up = trio.Event()
        return code

    async def stop(self) -> int:
        self.signal(signal.SIGTERM)
        return await self.ended()


@asynccontextmanager
async def serving(folder: Path, **options: Any) -> AsyncIterator[Daemon]:
    """A daemon that is ready. Whatever became of it, its process is gone when the block is left."""
    daemon = Daemon(folder, **options)
    try:
        await daemon.start()
        yield daemon
    finally:
        with trio.CancelScope(shield=True):
            if daemon.process.poll() is None:
                daemon.process.kill()
            await daemon.process.wait()


def _as_toml(sections: Mapping[str, Mapping[str, Any]]) -> str:
    lines = []
    for name in {**_SECTIONS, **sections}:
        keys = {**_SECTIONS.get(name, {}), **sections.get(name, {})}
        lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in keys.items())]
    return "\n".join(lines)


async def until(found: Callable[[], T], patience_s: float = PATIENCE_S) -> T:
    """What is found, as soon as there is something."""
    with trio.fail_after(patience_s):
        while not (something := found()):  # noqa: ASYNC110
            await trio.sleep(0.005)
    return something


async def until_told(ask: Callable[[], Awaitable[bool]]) -> None:
    """As `until`, where it has to be asked for."""
    with trio.fail_after(PATIENCE_S):
        while not await ask():  # noqa: ASYNC110
            await trio.sleep(0.005)


async def everything(stream: trio.SocketStream) -> bytes:
    """Until the other side closes."""
    found = b""
    with trio.fail_after(PATIENCE_S):
        while data := await stream.receive_some():
            found += data
    return found


async def hostel(*words: str) -> str:
    """What a command prints; it has to end with 0."""
    done = await trio.run_process(
        [*HOSTEL, *words], cwd=ROOT, capture_stdout=True, capture_stderr=True, check=False, stdin=b""
    )
    assert done.returncode == 0, (done.stdout + done.stderr).decode()
    return done.stdout.decode()


def children(pid: int) -> list[int]:
    return [int(word) for word in _told(pid, f"task/{pid}/children").split()]


def _told(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""


def _is_alive(pid: int) -> bool:
    """Neither reaped nor a zombie that nobody reaps."""
    state = _told(pid, "stat").rpartition(b")")[2].split()
    return bool(state) and state[0] not in (b"Z", b"X")


def kill_worker(pid: int) -> None:
    """kill -9, unless it is gone by itself."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
