"""Grants that cannot be meant are refused over the socket, wherever one is given: nothing is changed."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from runtime import UsageError
from runtime.client import Client
from runtime.daemon.doors import control_door
from tests.hostile.guests import bundle, scripted
from tests.runtime.daemon.test_serve import served, tell

APP = "org.example.guest"
NO_CURRENCY = {"payment": {"currencies": ["CNY", "XXZ"]}}


async def test_a_currency_that_does_not_exist_is_granted_to_nobody(tmp_path: Path) -> None:
    async with served(tmp_path, control_door) as host:
        async with Client.connect(tmp_path / "state" / "hostel.sock") as client:
            with pytest.raises(UsageError) as refused:
                await client.install(bundle(scripted(), APP), grant=NO_CURRENCY)
            assert refused.value.code == "grant_invalid" and "'XXZ'" in refused.value.message
            assert host.programs() == []
            await client.install(bundle(scripted(), APP), grant={"payment": {"currencies": ["CNY"]}})
            with pytest.raises(UsageError, match="XXZ"):
                await client.set_grants(APP, NO_CURRENCY)
            assert (await client.program(APP)).grants == {"payment": {"currencies": ["CNY"]}}
        tell(signal.SIGTERM)
