"""A bundle of megabytes is read beside the loop: who asks for something else meanwhile is answered."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import msgspec
import pytest
import trio

from runtime.bundle import Bundle, pack_contents, sign
from runtime.bundle_reader import SMALL_BYTES
from runtime.client import Client
from runtime.daemon.doors import control_door
from runtime.errors import BundleError
from tests.hostile.guests import scripted
from tests.runtime.daemon.test_serve import served, tell
from tests.runtime.ladder import ANN

APP = "org.example.large"
WAIT_S = 20.0


def large(code: int) -> bytes:
    manifest = {
        "app_id": APP, "name": "Large", "version": {"name": "1", "code": code}, "req_permissions": [],
        "program": {"module": "program.wasm"},
    }  # fmt: skip
    contents = {"manifest.json": msgspec.json.encode(manifest), "program.wasm": scripted()}
    return sign(pack_contents({**contents, "picture.bin": os.urandom(2 * SMALL_BYTES)}), ANN)


async def test_others_are_answered_while_one_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, answered, reading = Bundle.from_bytes, threading.Event(), trio.Event()
    token = trio.lowlevel.current_trio_token()

    def from_bytes(data: bytes) -> Bundle:
        """Not before somebody else was answered: on the loop's own thread nobody ever would be."""
        if len(data) > SMALL_BYTES:
            token.run_sync_soon(reading.set)
            assert answered.wait(WAIT_S)
        return real(data)

    first, second = real(large(1)), real(large(2))
    async with served(tmp_path, control_door):
        path = tmp_path / "state" / "hostel.sock"
        async with Client.connect(path) as operator, Client.connect(path) as other:
            ann = await operator.developers.sign_up("Ann")
            await operator.developers.add_key(ann.id, str(ANN.public_key))
            monkeypatch.setattr(Bundle, "from_bytes", from_bytes)
            for bring in (lambda: operator.install(first), lambda: operator.releases.upload("Ann", second.data)):
                answered.clear()
                reading = trio.Event()
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(bring)
                    await reading.wait()
                    await other.status()
                    answered.set()
            assert [one.code for one in await operator.releases.list(APP)] == [1, 2]
            with pytest.raises(BundleError):
                await operator.releases.upload("Ann", bytes(2 * SMALL_BYTES))
        tell(signal.SIGTERM)
