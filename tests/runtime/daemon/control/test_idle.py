"""Thousands of clients that say nothing: what they cost, and that an honest one does not notice."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path

import pytest
import trio

from tests.runtime.daemon.control.conftest import Served, raw, until

CONNECTIONS = 10_000 if os.environ.get("HOSTEL_LONG") else 2_000
BYTES_EACH_MOST = 8 << 10
CROWD = """
import resource, socket, sys
_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
crowd = [socket.socket(socket.AF_UNIX) for _ in range(int(sys.argv[2]))]
for each in crowd:
    each.connect(sys.argv[1])
sys.stdin.read()
"""


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@contextmanager
def open_files(needed: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    if before[1] < needed:
        pytest.skip(f"{needed} open files are needed, {before[1]} allowed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@asynccontextmanager
async def crowd(path: Path, count: int) -> AsyncIterator[None]:
    """So many connections of another process."""
    words = [sys.executable, "-c", CROWD, str(path), str(count)]
    async with trio.open_nursery() as nursery:
        process = await nursery.start(partial(trio.run_process, words, stdin=subprocess.PIPE))
        yield
        await process.stdin.aclose()


@pytest.mark.slow
async def test_idle_connections_cost_little_and_disturb_nobody(served: Served, path: Path) -> None:
    with open_files(CONNECTIONS + 500):
        async with served(connections=CONNECTIONS + 32) as server:
            async with raw(path) as honest:
                await honest.ask(1, "ping")
                await honest.receive()
                began = resident_bytes()
                async with crowd(path, CONNECTIONS):
                    await until(lambda: len(server.peers) == CONNECTIONS + 1)
                    each = (resident_bytes() - began) / CONNECTIONS
                    slowest = 0.0
                    for n in range(100):
                        asked_at = trio.current_time()
                        await honest.ask(n, "ping")
                        assert (await honest.receive())[1] == n
                        slowest = max(slowest, trio.current_time() - asked_at)
                print(f"{CONNECTIONS} idle connections: {each:.0f} bytes each, slowest ping {slowest * 1e3:.1f} ms")
                assert each < BYTES_EACH_MOST, f"{each:.0f} bytes each"
                assert slowest < 1.0
                assert server.buffered == 0
            await until(lambda: not server.peers)
