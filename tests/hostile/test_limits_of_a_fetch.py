"""The limits on what guests send and receive by http.fetch, at the value and one over, on a host with a state."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.host_api.http.conftest import ok
from tests.hostile.conftest import Opened
from tests.hostile.outside import outside


@pytest.mark.parametrize("limit", [0, 1_000, 200_000])
async def test_limit_fetch_request_bytes(opened: Opened, tmp_path: Path, limit: int) -> None:
    async with outside(opened, tmp_path / "state") as out:
        server, app, url = await out.place(fetch_request_bytes=limit)
        assert (await out.fetch(app, url, method="POST", body=bytes(limit)))[3]["status"] == 200
        error = (await out.fetch(app, url, method="POST", body=bytes(limit + 1)))[2]
        assert (error["code"], error["details"]["limit"]) == ("limit_exceeded", "fetch_request_bytes")
        assert (error["details"]["value"], error["details"]["used"]) == (limit, limit + 1)
        assert [len(visit.body) for visit in server.visits] == [limit]


@pytest.mark.parametrize("limit", [0, 1_000, 200_000])
async def test_limit_fetch_response_bytes(opened: Opened, tmp_path: Path, limit: int) -> None:
    async with outside(opened, tmp_path / "state") as out:
        _, app, url = await out.place(ok(b"x" * limit), fetch_response_bytes=limit)
        assert (await out.fetch(app, url))[3]["body"] == b"x" * limit
        _, app, url = await out.place(ok(b"x" * (limit + 1)), fetch_response_bytes=limit)
        error = (await out.fetch(app, url))[2]
        assert (error["code"], error["details"]["limit"]) == ("limit_exceeded", "fetch_response_bytes")
        assert (error["details"]["value"], error["details"]["used"]) == (limit, limit + 1)
