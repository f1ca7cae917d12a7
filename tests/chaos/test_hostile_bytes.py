"""Archive bombs and decoder bombs through a daemon's socket: refused with the reason, and honest clients are answered.

The bombs are those of tests/hostile/archive_bombs.py and decoder_bombs.py. An operator who was given a hostile bundle
installs it, a developer's is uploaded, a client sends hostile frames, a guest in a jailed worker sends such messages.
Rows 21 and 43 of checklist.json. -s prints latencies and memory.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
import trio

from runtime import CallEnded, Ending, wire
from runtime.client import Client
from runtime.control.frames import frame
from runtime.errors import BundleError, ConnectionLost, UsageError
from tests.chaos.caller import Caller, calling
from tests.chaos.daemon import PATIENCE_S, Daemon, serving
from tests.hostile import archive_bombs, decoder_bombs
from tests.hostile.decoder_bombs import ROOM_FOR_BOMBS, WAYS
from tests.hostile.guests import bundle, scripted

MIB = 1 << 20
PEAK_GROWS_MOST = 96 * MIB
"""Of the daemon's memory at its highest: a bundle of 16 MiB as it came, its frame, its members; never what a bomb says
that it unpacks to."""
SAID_MOST = 4_096
"""Bytes of an answer to a hostile frame: it quotes nothing of it."""
TOO_LONG_FOR_A_FRAME = "17 MiB"


class Scene(NamedTuple):
    daemon: Daemon
    client: Client
    caller: Caller


@asynccontextmanager
async def beside_an_honest_caller(folder: Path) -> AsyncIterator[Scene]:
    """When it is over, the daemon has grown little, has the workers it had, and knows of no fault of its own."""
    async with serving(folder) as daemon, calling(daemon) as caller, daemon.client() as one:
        workers, before = daemon.workers(), peak(daemon)
        yield Scene(daemon, one, caller)
        print(f"\n{caller.told()}; memory at most {before >> 20} MiB before, {peak(daemon) >> 20} MiB after", end="")
        assert peak(daemon) - before < PEAK_GROWS_MOST
        assert daemon.workers() == workers
        assert "Traceback" not in daemon.said() and "fault" not in daemon.said()


def peak(daemon: Daemon) -> int:
    """The daemon's own process's memory at its highest."""
    lines = Path(f"/proc/{daemon.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM:"))


# ---- bundles ---------------------------------------------------------------------------------------------------------
@pytest.mark.slow
async def test_bundles_that_are_bombs(tmp_path: Path) -> None:
    """Installed by an operator and uploaded by a developer: nothing of them is there afterwards."""
    async with beside_an_honest_caller(tmp_path) as (daemon, client, caller):
        developer = await client.developers.sign_up("Bombs Ltd")
        await caller.goes_on()
        programs, there = await client.programs(), files(tmp_path)
        for bomb, (make, words) in archive_bombs.REFUSED.items():
            data = make()
            if bomb == TOO_LONG_FOR_A_FRAME:
                await too_long(daemon, data)
                continue
            kind, said = (BundleError, words) if data else (UsageError, "length >= 1")  # the form of params comes first
            for send in (client.install, partial(client.releases.upload, developer.id)):
                with pytest.raises(kind) as refused:
                    await send(data)
                assert said in refused.value.message, bomb
                assert refused.value.message.isprintable() and len(refused.value.message) < 400
            await caller.goes_on()
        assert await client.programs() == programs
        assert files(tmp_path) == there
        for make in archive_bombs.HARMLESS.values():
            app = await client.install(make())
            assert (await client.call(app, "run")).value is None
            await client.uninstall(app)


async def too_long(daemon: Daemon, data: bytes) -> None:
    """Over the bound of a frame, which has room for the largest bundle: its length is refused, unread."""
    async with daemon.client() as own:
        with pytest.raises(ConnectionLost) as lost:
            await own.install(data)
        assert "frame_bytes" in lost.value.message


def files(folder: Path) -> set[str]:
    """But for the journal of receipts: the honest caller's calls fill it."""
    found = {str(path.relative_to(folder)) for path in folder.rglob("*")}
    return {name for name in found if not name.startswith("state/journal")}


# ---- frames ----------------------------------------------------------------------------------------------------------
AS: dict[str, Callable[[bytes], bytes]] = {
    "a frame": lambda data: data,
    "params of a request": lambda data: b"\x94\x00\x01\xa4ping" + data,
    "a parameter": lambda data: b"\x94\x00\x01\xa4ping\x81\xa1k" + data,
    "what a program is asked": lambda data: b"\x94\x00\x01\xa4call\x83"
    b"\xa3app\xb2org.example.honest\xa6method\xa1m\xa6params\x81\xa1k" + data,
}  # fmt: skip
BROKEN = "connection", "protocol_violation"


@pytest.mark.slow
async def test_frames_that_are_bombs(tmp_path: Path) -> None:
    """Each ends its connection with one word why, or is refused as that request; nothing else comes of it."""
    async with beside_an_honest_caller(tmp_path) as (daemon, client, caller):
        ends: dict[str, set[tuple[str, str]]] = {where: set() for where in AS}
        for make in decoder_bombs.REFUSED.values():
            data = make()
            for where, within in AS.items():
                ends[where].add(await refusal(daemon, within(data)))
            await caller.goes_on()
        assert ends["a frame"] == {BROKEN}
        # A frame has more room than a guest's message: what only just has none there is a request, and wrong as such.
        assert ends["params of a request"] == ends["a parameter"] == {BROKEN, ("request", "invalid_params")}
        assert ends["what a program is asked"] == {BROKEN, ("request", "protocol_violation")}  # it hands it to its host
        await client.ping()


async def refusal(daemon: Daemon, message: bytes) -> tuple[str, str]:
    """What this frame ended, and the code of the one error that is answered to it."""
    async with await trio.open_unix_socket(str(daemon.socket)) as stream:
        with suppress(trio.BrokenResourceError):  # it may be closed before it has all
            await stream.send_all(frame(message))
        answer = await one_message(stream)
    told: list[Any] = msgspec.msgpack.decode(answer)
    error = told[2]
    assert told[:2] in ([wire.NOTIFICATION, "$closing"], [wire.RESPONSE, 1])
    assert error["message"].isprintable() and len(error["message"]) < 400
    return ("request" if told[0] == wire.RESPONSE else "connection"), error["code"]


async def one_message(stream: trio.SocketStream) -> bytes:
    """What is in the next frame. The connection may go on after it."""
    held = b""
    with trio.fail_after(PATIENCE_S):
        while len(held) < 4 or len(held) < 4 + int.from_bytes(held[:4], "big") <= 4 + SAID_MOST:
            data = await stream.receive_some()
            assert data, f"closed after {len(held)} bytes"
            held += data
    assert len(held) == 4 + int.from_bytes(held[:4], "big")
    return held[4:]


# ---- guests ----------------------------------------------------------------------------------------------------------
@pytest.mark.slow
async def test_guests_that_send_bombs(tmp_path: Path) -> None:
    """Each ends its own call, as it does in process, and no worker."""
    async with beside_an_honest_caller(tmp_path) as (_, client, caller):
        app = await client.install(bundle(scripted(), "org.example.bomber"), limits=ROOM_FOR_BOMBS)
        for bomb, make in decoder_bombs.REFUSED.items():
            data = make()
            for way in WAYS:
                with pytest.raises(CallEnded) as ended:
                    await client.call(app, "run", decoder_bombs.sent(way, data).params())
                assert ended.value.ending is Ending.PROTOCOL_VIOLATION, (bomb, way)
                assert ended.value.receipt is not None and ended.value.receipt.usage.response_bytes == 0
            await caller.goes_on()
        for make in decoder_bombs.TAKEN.values():
            reply = await client.call(app, "run", decoder_bombs.sent("as an answer", make()).params())
            assert reply.value == wire.decode(make(), 4 * MIB)
