"""What a service manager is told: ready, stopping, alive. sd_notify's datagrams, without its library.

What lives here: the words and the socket. Where nobody asked to be told, nothing is sent.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

from runtime.log import logger

_log = logger("systemd")


class Supervisor:
    """Whoever started this process. `watchdog_s`: how often it wants to hear `alive`; None: never."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        name = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + name[1:] if name.startswith("@") else name
        self.watchdog_s = _watchdog_s(environment)

    def ready(self, status: str) -> None:
        self._tell(f"READY=1\nSTATUS={status}")

    def stopping(self, status: str) -> None:
        self._tell(f"STOPPING=1\nSTATUS={status}")

    def alive(self) -> None:
        self._tell("WATCHDOG=1")

    def _tell(self, words: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
                channel.setblocking(False)
                channel.sendto(words.encode(), self._address)
        except OSError as error:  # it is told again, or kills a service that it cannot hear
            _log.warning("the service manager was not told", words=words, reason=error.strerror)


def _watchdog_s(environment: Mapping[str, str]) -> float | None:
    """Half of what it waits at most; only if it means this process."""
    wanted, process = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", "")
    if not wanted.isascii() or not wanted.isdecimal() or process not in ("", str(os.getpid())):
        return None
    return max(0.1, int(wanted[:15]) / 2e6)
