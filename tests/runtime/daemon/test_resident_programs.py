"""Sandboxes that stay, through a daemon's two doors, in a worker, on the store in files."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from runtime import CallEnded, Ending, Host, HostBusy
from runtime.client import Client
from runtime.daemon.doors import control_door, http_door
from runtime.worker_settings import WorkerSettings
from tests.hostile.guests import bundle
from tests.hostile.test_residents import SLEEP, counter
from tests.runtime.daemon.http.conftest import Answer, read_answer
from tests.runtime.daemon.test_serve import served, tell, until

APP = "org.example.resident"


class Doors:
    """A client of the control socket, and where HTTP is."""

    def __init__(self, host: Host, client: Client, url: str) -> None:
        self.host, self.client = host, client
        self._port = int(url.rpartition(":")[2])

    async def count(self, user: str = "alice", method: str = "add") -> Any:
        return (await self.client.call(APP, method, user=user)).value

    async def by_http(self, user: str = "alice", method: str = "add") -> Answer:
        lines = (
            f"POST /v1/programs/{APP}/call/{method} HTTP/1.1", "host: a", "content-type: application/json",
            f"authorization: Bearer {self.host.front_end.issue_token(user)}", "content-length: 2", "", "{}",
        )  # fmt: skip
        async with await trio.open_tcp_stream("127.0.0.1", self._port) as stream:
            await stream.send_all("\r\n".join(lines).encode())
            return await read_answer(stream)


@asynccontextmanager
async def doors(tmp_path: Path, text: str = "", **limits: int) -> AsyncIterator[Doors]:
    """With the counting guest installed."""
    listening: list[str] = []
    workers = WorkerSettings(count=1, slots=16, require="none")

    async def listened(*arguments: Any, task_status: Any) -> None:
        async with trio.open_nursery() as nursery:
            opened = await nursery.start(http_door, *arguments)
            listening.extend(opened.where)
            task_status.started(opened)

    async with served(tmp_path, control_door, listened, text=text, workers=workers) as host:
        async with Client.connect(tmp_path / "state" / "hostel.sock") as client:
            await client.install(bundle(counter(SLEEP), APP, lifetime="resident", events=True), limits=limits)
            yield Doors(host, client, listening[0])
        tell(signal.SIGTERM)


async def test_a_user_has_one_through_both_doors_and_nobody_elses(tmp_path: Path) -> None:
    async with doors(tmp_path) as at:
        assert [await at.count(), (await at.by_http()).json["result"], await at.count()] == [1, 2, 3]
        assert [await at.count("bob"), (await at.by_http("bob")).json["result"]] == [1, 2]
        assert [await at.count(""), await at.count("")] == [1, 1]
        assert await at.count() == 4


async def test_a_mailbox_at_its_limit_and_one_over(tmp_path: Path) -> None:
    async with doors(tmp_path, mailbox_calls=2) as at:
        answered: list[Any] = []

        async def wait(method: str) -> None:
            answered.append(await at.count(method=method))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait, "call")  # in it, and asleep
            await until(lambda: at.host.statistics().calls_in_flight == 1)
            for _ in range(2):
                nursery.start_soon(wait, "add")
            (one,) = at.host._calls.residents._ones.values()
            await until(lambda: len(one.mailbox) == 2)
            with pytest.raises(HostBusy) as caught:
                await at.count()
            told = (caught.value.code, *(caught.value.details[name] for name in ("limit", "value", "used")))
            assert told == ("queue_full", "mailbox_calls", 2, 2)
            refused = await at.by_http()
            assert (refused.status, refused.code, "retry-after" in refused.headers) == (503, "queue_full", True)
            assert await at.count("bob") == 1  # another user's
            assert not answered and len(one.mailbox) == 2
            nursery.cancel_scope.cancel()


async def test_after_a_trap_and_after_the_end_of_its_worker_the_next_call_finds_a_fresh_one(tmp_path: Path) -> None:
    async with doors(tmp_path) as at:
        assert [await at.count(), await at.count(), await at.count("bob")] == [1, 2, 1]
        with pytest.raises(CallEnded) as caught:
            await at.count(method="trap")
        assert caught.value.ending is Ending.TRAPPED
        assert [await at.count(), await at.count("bob")] == [1, 2]
        (worker,) = (await at.client.status()).workers
        os.kill(worker.pid, signal.SIGKILL)
        await until(lambda: [one.pid for one in at.host.status().workers] not in ([], [worker.pid], [0]))
        assert [await at.count(), await at.count("bob"), await at.count()] == [1, 1, 2]


async def test_one_that_is_idle_for_as_long_as_the_file_says_goes_without_a_call(tmp_path: Path) -> None:
    async with doors(tmp_path, "resident_idle_s = 0.05") as at:
        assert await at.count() == 1
        await until(lambda: at.host.statistics().sandboxes == 0)
        assert await at.count() == 1
