"""Whether new work may come, as a load balancer asks it: not while every worker is dead and waits to be replaced."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import trio

from runtime import Host
from runtime.client import Client
from runtime.daemon.doors import control_door, http_door
from runtime.daemon.serve import run
from runtime.worker_settings import WorkerSettings
from tests.runtime.daemon.http.conftest import Answer, read_answer
from tests.runtime.daemon.test_serve import config, tell, until


async def readyz(port: int) -> Answer:
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(b"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        return await read_answer(stream)


async def test_a_host_whose_workers_crash_again_and_again_is_not_ready(tmp_path: Path) -> None:
    crashing = WorkerSettings(
        count=1, slots=4, require="none", start_s=60.0, heartbeat_s=5.0, back_off_s=60.0, back_off_most_s=60.0
    )
    made = config(tmp_path)
    made = replace(made, host=replace(made.host, workers=crashing))
    opened: list[Any] = []

    async def door(*given: Any, task_status: Any) -> None:
        async with trio.open_nursery() as nursery:
            opened.append(await nursery.start(http_door, *given))
            task_status.started(opened[0])

    with trio.fail_after(120):
        async with trio.open_nursery() as nursery:

            async def life(*, task_status: trio.TaskStatus[Host]) -> None:
                await run(made, (control_door, door), read_again=lambda: made, task_status=task_status)

            host: Host = await nursery.start(life)
            port = int(opened[0].where[0].rpartition(":")[2])
            assert (await readyz(port)).status == 200

            (first,) = host.status().workers
            os.kill(first.pid, signal.SIGKILL)  # it is replaced at once
            await until(lambda: host.status().workers[0].pid not in (0, first.pid) and host.ready)
            assert (await readyz(port)).status == 200
            os.kill(host.status().workers[0].pid, signal.SIGKILL)  # and this one after the back-off
            await until(lambda: host.status().workers[0].state == "starting")
            answer = await readyz(port)
            assert (answer.status, answer.code) == (503, "not_ready")
            assert "no worker" in answer.json["error"]["message"]
            async with Client.connect(tmp_path / "state" / "hostel.sock") as client:
                assert not (await client.status()).ready
            tell(signal.SIGTERM)
