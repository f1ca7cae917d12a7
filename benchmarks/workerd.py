"""workerd (npm) on the same machine: its own HTTP server answering with two bytes, loaded by wrk. Another kind of door,
so it stands beside our figures and not in a ratio with them.

Needs `workerd` (or its path in $WORKERD) and `wrk`; without them there is no row. Only loopback, a few seconds.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.report import Row

SUBJECT = "beside it: workerd answering plain HTTP"
SECONDS = 3
_CONFIG = """using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = .program)],
  sockets = [(name = "http", address = "127.0.0.1:%d", http = (), service = "main")]
);
const program :Workerd.Worker = (
  serviceWorkerScript = "addEventListener('fetch', event => event.respondWith(new Response('ok')))",
  compatibilityDate = "2024-09-02",
);
"""
_UNITS = {"us": 1.0, "ms": 1e3, "s": 1e6}


def rows() -> list[Row]:
    """Requests a second at 64 connections, and how long one alone takes. Empty where the tools are not there."""
    workerd, wrk = os.environ.get("WORKERD") or shutil.which("workerd"), shutil.which("wrk")
    if not workerd or not wrk:
        return []
    with TemporaryDirectory() as folder, _served(workerd, Path(folder)) as port:
        busy, alone = (_loaded(wrk, port, connections) for connections in (64, 1))
    return [
        Row(subject=SUBJECT, what="64 connections (wrk)", value=_per_s(busy), unit="requests/s"),
        Row(subject=SUBJECT, what="64 connections, p99", value=_quantile_us(busy, 99), unit="µs"),
        Row(subject=SUBJECT, what="one connection, p50", value=_quantile_us(alone, 50), unit="µs"),
    ]


@contextmanager
def _served(workerd: str, folder: Path) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    config = folder / "config.capnp"
    config.write_text(_CONFIG % port)
    process = subprocess.Popen([workerd, "serve", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                time.sleep(0.05)
        yield port
    finally:
        process.kill()
        process.wait()


def _loaded(wrk: str, port: int, connections: int) -> str:
    command = [wrk, "-t1", f"-c{connections}", f"-d{SECONDS}s", "--latency", f"http://127.0.0.1:{port}/"]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=SECONDS + 30).stdout


def _per_s(told: str) -> float:
    found = re.search(r"Requests/sec:\s+([\d.]+)", told)
    return float(found[1]) if found else 0.0


def _quantile_us(told: str, percent: int) -> float:
    found = re.search(rf"^\s+{percent}%\s+([\d.]+)(us|ms|s)$", told, re.MULTILINE)
    return float(found[1]) * _UNITS[found[2]] if found else 0.0
