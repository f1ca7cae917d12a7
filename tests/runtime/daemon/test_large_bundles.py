"""A bundle of megabytes, and the message that it comes in, are read beside the loop: who asks for something else
meanwhile is answered. The largest bundle is taken, and nothing larger."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import msgspec
import pytest
import trio

from runtime.bundle import Bundle, pack_contents, sign
from runtime.bundle.zip_format import ARCHIVE_BYTES_MAX
from runtime.bundle_reader import SMALL_BYTES
from runtime.client import Client
from runtime.control.frames import Pieces
from runtime.daemon.control import connection
from runtime.daemon.doors import control_door
from runtime.errors import BundleError, ConnectionLost, UsageError
from tests.hostile.guests import scripted
from tests.runtime.daemon.test_serve import served, tell
from tests.runtime.ladder import ANN

APP = "org.example.large"
WAIT_S = 20.0


def large(code: int, picture: int = 2 * SMALL_BYTES) -> bytes:
    manifest = {
        "app_id": APP, "name": "Large", "version": {"name": "1", "code": code}, "req_permissions": [],
        "program": {"module": "program.wasm"},
    }  # fmt: skip
    contents = {"manifest.json": msgspec.json.encode(manifest), "program.wasm": scripted()}
    at_most = 7 << 20  # of one member
    for number, at in enumerate(range(0, picture, at_most)):
        contents[f"picture{number}.bin"] = os.urandom(min(at_most, picture - at))
    return sign(pack_contents(contents), ANN)


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


async def test_others_are_answered_while_its_message_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, answered, reading = connection.parse_large, threading.Event(), trio.Event()
    token = trio.lowlevel.current_trio_token()

    def parse_large(pieces: Pieces, bytes_max: int) -> object:
        token.run_sync_soon(reading.set)
        assert answered.wait(WAIT_S)
        return real(pieces, bytes_max)

    monkeypatch.setattr(connection, "parse_large", parse_large)
    longest = 15 << 20
    async with served(tmp_path, control_door):
        path = tmp_path / "state" / "hostel.sock"
        async with Client.connect(path) as operator, Client.connect(path) as other, trio.open_nursery() as nursery:
            installed: list[str] = []

            async def install() -> None:
                made = Bundle.from_bytes(large(1, longest))
                installed.append((await operator.install(made, allow_unsigned=True)).identity)
                assert installed == [made.identity]

            nursery.start_soon(install)
            await reading.wait()
            nursery.start_soon(operator.status)  # behind it, in the order that they came
            await other.status()
            assert not installed
            answered.set()
        tell(signal.SIGTERM)


async def test_the_largest_is_taken_and_one_byte_more_is_not(tmp_path: Path) -> None:
    head = len(large(1, ARCHIVE_BYTES_MAX >> 1)) - (ARCHIVE_BYTES_MAX >> 1)
    largest = large(1, ARCHIVE_BYTES_MAX - head - 300)
    largest = large(1, ARCHIVE_BYTES_MAX - head - 300 + ARCHIVE_BYTES_MAX - len(largest))
    assert len(largest) == ARCHIVE_BYTES_MAX
    async with served(tmp_path, control_door):
        async with Client.connect(tmp_path / "state" / "hostel.sock") as operator:
            ann = await operator.developers.sign_up("Ann")
            await operator.developers.add_key(ann.id, str(ANN.public_key))
            assert (await operator.releases.upload("Ann", largest)).code == 1
            with pytest.raises(UsageError, match=str(ARCHIVE_BYTES_MAX)) as refused:
                await operator.releases.upload("Ann", largest + b"x")
            assert refused.value.code == "invalid_params"
            with pytest.raises(ConnectionLost, match=str(connection.BUNDLE_BYTES)):
                await operator.releases.upload("Ann", bytes(connection.BUNDLE_BYTES))
        tell(signal.SIGTERM)
