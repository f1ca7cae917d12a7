"""Crowds of TLS connections that do something all at once: the loop has others to serve as well."""

from __future__ import annotations

import ssl
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import trio
import trustme

from runtime.daemon.http import HttpSettings
from runtime.reactor import _AT_ONCE
from tests.runtime.daemon.http.conftest import Door, open_door, read_answer, until

CROWD = 4 * _AT_ONCE
FEW = 2 * _AT_ONCE
"""Those that two turns let go may end in one."""


class Departures(trio.abc.Instrument):
    """How many of the server's connections ended in each turn of the loop."""

    def __init__(self) -> None:
        self._turn = 0
        self.seen: Counter[int] = Counter()

    def before_io_wait(self, timeout: float) -> None:
        self._turn += 1

    def task_exited(self, task: trio.lowlevel.Task) -> None:
        if task.name.endswith("_run_handler"):  # of trio.serve_listeners
            self.seen[self._turn] += 1


@asynccontextmanager
async def secured(folder: Path) -> AsyncIterator[Door]:
    authority = trustme.CA()
    given = authority.issue_cert("127.0.0.1")
    given.cert_chain_pems[0].write_to_path(folder / "c.pem")
    given.private_key_pem.write_to_path(folder / "k.pem")
    tls = ssl.create_default_context()
    authority.configure_trust(tls)
    settings = HttpSettings(
        port=0, certificate=folder / "c.pem", key=folder / "k.pem", connections=2 * CROWD,
        connections_per_address=2 * CROWD,
    )  # fmt: skip
    async with open_door(settings, tls=tls) as door:
        yield door


async def shaken_hands(door: Door) -> trio.SSLStream[trio.SocketStream]:
    stream = await door.connect()
    assert isinstance(stream, trio.SSLStream)
    await stream.do_handshake()
    return stream


async def silent(door: Door) -> trio.SocketStream:
    """Has not even begun the handshake."""
    return await trio.open_tcp_stream("127.0.0.1", door.port)


@pytest.mark.parametrize("are_greeted", [True, False])
async def test_a_crowd_that_hangs_up_at_once_goes_over_several_turns(tmp_path: Path, are_greeted: bool) -> None:
    seen = Departures()
    async with secured(tmp_path) as door, await shaken_hands(door) as honest:
        sockets = [
            (await shaken_hands(door)).transport_stream.socket if are_greeted else (await silent(door)).socket
            for _ in range(CROWD)
        ]
        await trio.testing.wait_all_tasks_blocked(0.01)
        trio.lowlevel.add_instrument(seen)
        for each in sockets:
            each.close()
        await until(lambda: seen.seen.total() == CROWD)
        trio.lowlevel.remove_instrument(seen)
        await honest.send_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await read_answer(honest)).status == 200
    assert max(seen.seen.values()) <= FEW, seen.seen


async def test_who_reads_nothing_and_says_nothing_is_closed_by_a_stop(tmp_path: Path) -> None:
    """Connections that wait in their transport are told when the server goes."""
    async with secured(tmp_path) as door:
        greeted, unknown = await shaken_hands(door), await silent(door)
        await trio.testing.wait_all_tasks_blocked(0.01)
    with trio.fail_after(10):
        for stream in (greeted, unknown):
            with suppress(trio.BrokenResourceError):
                assert not await stream.receive_some(1)
            await trio.aclose_forcefully(stream)
