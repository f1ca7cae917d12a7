"""`hostel top` on a real terminal, beside a load: what stands on its screen, and that the terminal is given back."""

from __future__ import annotations

import fcntl
import os
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from runtime.client import Client
from tests.console import HANG_S, command, environment
from tests.hostile.guests import Script
from tests.runtime.cli.test_operations import Daemon, daemon

__all__ = ["daemon"]
APP = "org.example.said"
LINES, COLUMNS = 30, 120
OTHER_SCREEN, BACK = b"\x1b[?1049h", b"\x1b[?1049l"
_HOME = b"\x1b[H"
_STYLE = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """A command on a terminal of its own, and what it has drawn."""

    def __init__(self, home: Daemon, *words: str) -> None:
        self._ours, self._theirs = os.openpty()
        fcntl.ioctl(self._theirs, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        self.before = termios.tcgetattr(self._theirs)
        self.drawn = b""
        self.process = subprocess.Popen(
            [*command(), *words], cwd=home.home, env={**environment(home.home), "TERM": "xterm-256color"},
            stdin=self._theirs, stdout=self._theirs, stderr=self._theirs, start_new_session=True,
        )  # fmt: skip

    def screens(self) -> list[str]:
        """Each picture, from the top left corner to the next, without colours."""
        return [_STYLE.sub(b"", part).decode() for part in self.drawn.split(_HOME)[1:]]

    def until(self, holds: Callable[[], object]) -> None:
        end = time.monotonic() + HANG_S
        while not holds():
            left = end - time.monotonic()
            assert left > 0 and select.select([self._ours], [], [], left)[0], self.drawn[-2_000:]
            self._read()

    def _read(self) -> None:
        try:
            self.drawn += os.read(self._ours, 1 << 16)
        except OSError:  # Linux says EIO where nobody has the other end any more
            assert self.process.wait(HANG_S) is not None

    def type(self, keys: bytes) -> None:
        os.write(self._ours, keys)

    def modes(self) -> list[object]:
        return termios.tcgetattr(self._theirs)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(HANG_S)
        os.close(self._ours)
        os.close(self._theirs)


@contextmanager
def terminal(daemon: Daemon, *words: str) -> Iterator[Terminal]:
    made = Terminal(daemon, *words)
    try:
        yield made
    finally:
        made.close()


def calls_shown(screen: str) -> int:
    """The last column but one of the program's row: all calls since the host started."""
    row = re.search(rf"{re.escape(APP)} .*?([\d,]+)\s+[\d.,]+\s*$", screen, re.MULTILINE)
    return -1 if row is None else int(row[1].replace(",", ""))


@pytest.mark.parametrize("end", ["q", "ctrl-c"])
def test_it_shows_a_load_as_it_runs_and_gives_the_terminal_back(daemon: Daemon, end: str) -> None:
    async def load(client: Client) -> None:
        for _ in range(25):
            await client.call(APP, "run", Script().params(), user="alice")

    with terminal(daemon, "top", "--by", "calls", "--state", "state") as seen:
        seen.until(lambda: any(calls_shown(screen) >= 0 for screen in seen.screens()))
        assert OTHER_SCREEN in seen.drawn and seen.modes() != seen.before
        before = max(map(calls_shown, seen.screens()))
        daemon.use(load)
        seen.until(lambda: max(map(calls_shown, seen.screens())) >= before + 25)
        picture = seen.screens()[-2]
        assert "p99 ms" in picture and "journal:" in picture and "calls" in picture
        assert picture.count("\n") < LINES
        if end == "q":
            seen.type(b"q")
        else:
            os.killpg(seen.process.pid, signal.SIGINT)
        seen.until(lambda: BACK in seen.drawn)
        assert seen.process.wait(HANG_S) == 0
        assert seen.modes() == seen.before
