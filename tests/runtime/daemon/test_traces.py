"""A trace from a front end and from a service, through the doors of one daemon, to the span of the call."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
import trio
from opentelemetry import trace

from runtime import wire
from runtime.client import Client
from runtime.daemon.doors import control_door, http_door
from runtime.journal.entries import Query
from tests.hostile.guests import Script, bundle, scripted
from tests.runtime.daemon.control.conftest import raw
from tests.runtime.daemon.http.conftest import read_answer
from tests.runtime.daemon.test_serve import served, tell
from tests.runtime.test_tracing import Provider

APP = "org.example.guest"
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TEXT = f"00-{TRACE}-{SPAN}-01"


async def by_http(url: str, token: str) -> None:
    host, _, port = url.removeprefix("http://").partition(":")
    body = b"{}"
    lines = (
        f"POST /v1/programs/{APP}/call/run HTTP/1.1", "host: a", f"authorization: Bearer {token}",
        "content-type: application/json", f"traceparent: {TEXT}", f"content-length: {len(body)}", "", "",
    )  # fmt: skip
    async with await trio.open_tcp_stream(host, int(port)) as stream:
        await stream.send_all("\r\n".join(lines).encode() + body)
        assert TRACE in (await read_answer(stream)).headers["traceresponse"]


async def by_control(path: Path) -> None:
    async with raw(path) as stream:
        await stream.ask(1, "call", {"app": APP, "method": "run", "params": Script().params(), "$trace": TEXT})
        assert (await stream.receive())[2] is None


async def test_the_parent_span_is_kept_from_the_door_to_the_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = Provider()
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    listening: list[str] = []

    async def listened(*arguments: Any, task_status: Any) -> None:
        async with trio.open_nursery() as nursery:
            opened = await nursery.start(http_door, *arguments)
            listening.extend(opened.where)
            task_status.started(opened)

    async with served(tmp_path, control_door, listened) as host:
        path = tmp_path / "state" / "hostel.sock"
        await host.install(bundle(scripted(), APP))
        await by_http(listening[0], host.front_end.issue_token("alice"))
        await by_control(path)
        async with Client.connect(path) as client:
            script = Script().ask(wire.request(1, "session.info", {}))
            reply = await client.call(APP, "run", script.params(), trace_id=TEXT)
            assert script.responses(reply.value)[0][3]["trace_id"] == TRACE
            assert len(await client.receipts(Query(trace_id=TRACE))) == 3
        tell(signal.SIGTERM)
    parents = [(f"{span.parent.trace_id:032x}", f"{span.parent.span_id:016x}") for span in provider.spans]
    assert parents == [(TRACE, SPAN)] * 3
    assert [span.over for span in provider.spans] == [1, 1, 1]


async def test_a_name_for_the_trace_leaves_the_parent_span_what_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = Provider()
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    script = Script().ask(wire.request(1, "session.info", {}))
    async with served(tmp_path, control_door) as host:
        path = tmp_path / "state" / "hostel.sock"
        await host.install(bundle(scripted(), APP))
        asked = {"app": APP, "method": "run", "params": script.params(), "trace_id": "order 81", "$trace": TEXT}
        async with raw(path) as stream:
            for n, more in enumerate(({}, {"$deadline_ms": 20_000})):  # without a task of its own, and in one
                await stream.ask(n, "call", {**asked, **more})
                told = await stream.receive()
                assert script.responses(told[3]["value"])[0][3]["trace_id"] == "order 81"
            await stream.ask(2, "notify", asked)
            assert (await stream.receive())[:2] == [1, 2]
        async with Client.connect(path) as client:
            assert len(await client.receipts(Query(trace_id="order 81"))) == 3
        tell(signal.SIGTERM)
    parents = [(f"{span.parent.trace_id:032x}", f"{span.parent.span_id:016x}") for span in provider.spans]
    assert parents == [(TRACE, SPAN)] * 3
