"""One trace from a front end's request to all that came of it, and to nobody else: through HTTP, by guests."""

from __future__ import annotations

import json
from base64 import b64encode
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from opentelemetry import trace

from runtime import Host, wire
from runtime.daemon.http import HttpSettings, serve
from runtime.journal.entries import Query
from runtime.settings import JournalSettings
from tests.host_api.http.conftest import ok
from tests.hostile.conftest import Opened
from tests.hostile.guests import Script
from tests.hostile.outside import fetching, outside
from tests.runtime.daemon.http.conftest import read_answer
from tests.runtime.test_tracing import Provider

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


async def by_http(url: str, host: Host, app_id: str, params: dict[str, bytes]) -> dict[str, str]:
    """The headers of the answer to a call with that trace."""
    body = json.dumps({"s": {"$bytes": b64encode(params["s"]).decode()}}).encode()
    lines = (
        f"POST /v1/programs/{app_id}/call/run HTTP/1.1", "host: a", "content-type: application/json",
        f"authorization: Bearer {host.front_end.issue_token('alice')}", f"traceparent: 00-{TRACE}-{SPAN}-01",
        f"content-length: {len(body)}", "", "",
    )  # fmt: skip
    async with await trio.open_tcp_stream("127.0.0.1", int(url.rpartition(":")[2])) as stream:
        await stream.send_all("\r\n".join(lines).encode() + body)
        answer = await read_answer(stream)
    assert answer.status == 200, answer.body
    return dict(answer.headers)


async def test_a_trace_goes_with_all_that_a_request_becomes_and_to_no_other_host(
    opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = Provider()
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    async with outside(opened, tmp_path / "state", journal=JournalSettings()) as out, trio.open_nursery() as nursery:
        host = out.site.host
        server, inner, url = await out.place(ok(b"hello"))
        outer = await out.site.install(grant={"program.call": {"programs": [inner.app_id]}})
        asked = Script().print(b"inside\n").ask(fetching(url)).ask(wire.request(2, "session.info", {}))
        call = wire.request(1, "program.call", {"program": inner.app_id, "method": "run", "params": asked.params()})
        (door,) = await nursery.start(
            partial(serve, host, HttpSettings(port=0), metrics=lambda: b"", ready=lambda: True)
        )
        headers = await by_http(door, host, outer.app_id, Script().print(b"before\n").ask(call).params())
        nursery.cancel_scope.cancel()
    assert TRACE in headers["traceresponse"]
    kept = await everything(opened, tmp_path / "state")
    assert kept == {
        "receipts": {(outer.app_id, TRACE), (inner.app_id, TRACE)},
        "lines": {(outer.app_id, "before", TRACE), (inner.app_id, "inside", TRACE)},
    }
    first, second = provider.spans
    assert (f"{first.parent.trace_id:032x}", f"{first.parent.span_id:016x}") == (TRACE, SPAN)
    assert (f"{second.parent.trace_id:032x}", second.parent.span_id) == (TRACE, first.get_span_context().span_id)
    (visit,) = server.visits
    assert visit.header("traceparent") is None and TRACE.encode() not in visit.head


async def everything(opened: Opened, state: Path) -> dict[str, Any]:
    """Who is in the journal, and with which trace."""
    async with opened(state, journal=JournalSettings()) as site:
        receipts = await site.host.receipts(Query())
        lines = await site.host.logs(Query())
    return {
        "receipts": {(one.receipt.app_id, one.trace_id) for one in receipts},
        "lines": {(one.app_id, one.text, one.trace_id) for one in lines},
    }
