"""The control server over real sockets: what honest clients get, and what the others cannot do to them."""

from __future__ import annotations

import random
import socket
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgpack
import pytest
import trio

from runtime import wire
from runtime.control import frames
from runtime.control.method import Role
from runtime.daemon import control
from runtime.errors import StartupError
from runtime.limits import MIB
from tests.runtime.daemon.control.conftest import Playground, Served, raw, until

CALL = {"app": "org.example.a", "method": "hold"}


# ---- pipelining ------------------------------------------------------------------------------------------------------
async def test_many_requests_in_flight_are_answered_as_they_are_done(
    served: Served, path: Path, playground: Playground
) -> None:
    async with served(), raw(path) as client:
        await client.send(*(wire.request(n, "call", CALL) for n in range(50)), wire.request(50, "ping", {}))
        assert (await client.receive())[1] == 50
        playground.gate.set()
        answered = [await client.receive() for _ in range(50)]
        assert sorted(answer[1] for answer in answered) == list(range(50))
        assert {answer[2] for answer in answered} == {None}


async def test_a_message_in_single_bytes_is_a_message(served: Served, path: Path) -> None:
    async with served(), raw(path) as client:
        for byte in frames.frame(wire.request(9, "ping", {})):
            await client.stream.send_all(bytes([byte]))
        assert await client.receive() == [1, 9, None, {"now_us": 7}]


async def test_hello_tells_role_and_bounds(served: Served, path: Path) -> None:
    async with served(), raw(path) as client:
        await client.ask(1, "hello", {"client": "a test"})
        told = (await client.receive())[3]
        assert (told["protocol"], told["role"], told["outstanding"]) == (1, "operator", 1_024)
        assert told["frame_bytes"] > 16 * MIB


# ---- refusals that leave the connection open -------------------------------------------------------------------------
REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("nothing.such", {}, "unknown_method"),
    ("x" * 5_000, {}, "unknown_method"),
    ("statistics", {}, "unknown_method"),
    ("ping", {"more": 1}, "invalid_params"),
    ("call", {"app": "a"}, "invalid_params"),
    ("call", {"app": "", "method": "m"}, "invalid_params"),
    ("call", {"app": "a", "method": "m", "$trace": "no traceparent"}, "invalid_params"),
    ("call", {"app": "a", "method": "m", "$deadline_ms": 0}, "invalid_params"),
    ("call", {"app": "a", "method": "m", "$key": "once"}, "invalid_params"),
    ("call", {"app": "a", "method": "m", "$other": 1}, "invalid_params"),
    ("users.fields", {"user": "a", "names": []}, "internal"),
]


@pytest.mark.parametrize(("method", "params", "code"), REFUSED)
async def test_a_wrong_request_is_an_error_and_no_more(
    served: Served, path: Path, method: str, params: dict[str, Any], code: str
) -> None:
    async with served(), raw(path) as client:
        await client.ask(1, method, params)
        error = (await client.receive())[2]
        assert error["code"] == code
        assert len(error["message"]) < 400 and "secret" not in str(error)
        await client.ask(1, "ping")
        assert (await client.receive())[3] == {"now_us": 7}


async def test_outstanding_requests_are_bounded(served: Served, path: Path, playground: Playground) -> None:
    async with served(outstanding=3, outstanding_all=5), raw(path) as one, raw(path) as other:
        for n in range(4):
            await one.ask(n, "call", CALL)
        assert (await one.receive())[1:3][0] == 3
        for n in range(3):
            await other.ask(n, "call", CALL)
        refused = await other.receive()
        assert (refused[1], refused[2]["code"], refused[2]["details"]["limit"]) == (2, "overloaded", "outstanding_all")
        assert refused[2]["retryable"] and refused[2]["retry_after_ms"]
        await other.ask(9, "ping")
        assert (await other.receive())[1] == 9
        playground.gate.set()
        await until(lambda: len(playground.begun) == 5)


# ---- cancellation ----------------------------------------------------------------------------------------------------
async def test_a_request_is_cancelled_by_its_client_and_answered(
    served: Served, path: Path, playground: Playground
) -> None:
    async with served(), raw(path) as client:
        await client.ask(1, "call", CALL)
        await until(lambda: playground.begun == ["hold"])
        await client.send(wire.notification("$cancel", {"msgid": 1}), wire.notification("$cancel", {"msgid": 77}))
        error = (await client.receive())[2]
        assert (error["code"], error["details"]) == ("request_cancelled", {"outcome": "unknown"})
        assert playground.cancelled == ["hold"]


async def test_a_request_is_cancelled_before_it_began(served: Served, path: Path, playground: Playground) -> None:
    async with served(), raw(path) as client:
        await client.send(wire.request(1, "call", CALL), wire.notification("$cancel", {"msgid": 1}))
        assert await client.refusal() == "request_cancelled"


async def test_a_client_that_goes_away_takes_its_requests_along(
    served: Served, path: Path, playground: Playground
) -> None:
    async with served() as server:
        async with raw(path) as client:
            await client.ask(1, "call", CALL)
            await until(lambda: playground.begun == ["hold"])
        await until(lambda: playground.cancelled == ["hold"])
        await until(lambda: not server.peers)


async def test_a_request_has_a_deadline_of_its_own(served: Served, path: Path, playground: Playground) -> None:
    async with served(), raw(path) as client:
        await client.ask(1, "call", {**CALL, "$deadline_ms": 20})
        assert await client.refusal() == "request_deadline"
        assert playground.cancelled == ["hold"]


# ---- what ends a connection, and no other ----------------------------------------------------------------------------
VIOLATIONS = {
    "a frame over the bound": (64 * MIB).to_bytes(4, "big"),
    "an empty frame": bytes(4),
    "no MessagePack": frames.frame(b"\xc1"),
    "no request": frames.frame(msgpack.packb([3, 1, 2])),
    "an unknown notification": frames.frame(wire.notification("call", CALL)),
    "equal keys": frames.frame(b"\x94\x00\x01\xa4ping\x82\xa1a\x01\xa1a\x02"),
}


@pytest.mark.parametrize("data", VIOLATIONS.values(), ids=VIOLATIONS.keys())
async def test_a_violation_is_told_and_ends_the_connection(served: Served, path: Path, data: bytes) -> None:
    async with served(), raw(path) as client, raw(path) as honest:
        await client.stream.send_all(data)
        told = await client.receive()
        assert (told[0], told[1], told[2]["code"]) == (2, "$closing", "protocol_violation")
        assert await client.receive() is None
        await honest.ask(1, "ping")
        assert (await honest.receive())[1] == 1


async def test_a_msgid_is_not_used_twice_at_once(served: Served, path: Path, playground: Playground) -> None:
    async with served(), raw(path) as client:
        await client.send(wire.request(1, "call", CALL), wire.request(1, "ping", {}))
        assert await client.refusal() == "protocol_violation"
        await until(lambda: playground.cancelled == playground.begun)


async def test_random_bytes_harm_nobody_else(served: Served, path: Path) -> None:
    """No answer is longer than one word of farewell, whatever came."""
    rng = random.Random(4)
    async with served() as server, raw(path) as honest:
        for _ in range(200):
            async with raw(path) as client:
                await client.stream.send_all(rng.randbytes(rng.randint(1, 300)))
                await client.stream.send_eof()
                got = b""
                with trio.fail_after(20):
                    while part := await client.stream.receive_some():
                        got += bytes(part)
                assert len(got) < 400
        await honest.ask(1, "ping")
        assert (await honest.receive())[1] == 1
        assert server.buffered == 0


@pytest.mark.parametrize("begun", [b"\x00\x00\x10\x00half", b"\x00\x20\x00\x00", b"\x00\x20\x00\x00half"])
async def test_a_frame_that_does_not_come_whole_in_time(served: Served, path: Path, begun: bytes) -> None:
    async with served(frame_s=0.2), raw(path) as client, raw(path) as honest:
        await client.stream.send_all(begun)
        assert await client.refusal() == "too_slow"
        await honest.ask(1, "ping")
        assert (await honest.receive())[1] == 1


async def test_bytes_now_and_then_are_not_in_time_either(served: Served, path: Path) -> None:
    async with served(frame_s=0.3), raw(path) as client, trio.open_nursery() as nursery:

        async def drip() -> None:
            with suppress(trio.BrokenResourceError):  # closed, as it is to be
                while True:
                    await client.stream.send_all(b"\x00")
                    await trio.sleep(0.01)

        await client.stream.send_all(b"\x00\x00\x10\x00")
        nursery.start_soon(drip)
        assert await client.refusal() == "too_slow"
        nursery.cancel_scope.cancel()


async def test_who_asks_for_nothing_is_closed_and_who_waits_is_not(
    served: Served, path: Path, playground: Playground
) -> None:
    async with served(idle_s=0.2), raw(path) as idle, raw(path) as waiting:
        await waiting.ask(1, "call", CALL)
        assert await idle.refusal() == "idle"
        playground.gate.set()
        assert (await waiting.receive())[1] == 1


# ---- slow readers ----------------------------------------------------------------------------------------------------
async def test_a_client_that_takes_no_answers_is_read_no_more_and_then_closed(served: Served, path: Path) -> None:
    async with served(write_s=0.3) as server, raw(path) as honest:
        async with raw(path) as client:
            asked = frames.frame(wire.request(1, "ping", {})) * 4_096
            with pytest.raises(trio.BrokenResourceError):
                while True:
                    with trio.fail_after(20):
                        await client.stream.send_all(asked)
                    assert server.buffered < 2 * MIB
            await until(lambda: len(server.peers) == 1)
            assert server.buffered == 0
        await honest.ask(1, "ping")
        assert (await honest.receive())[1] == 1


async def test_answers_that_nobody_fetches_are_bounded(served: Served, path: Path, playground: Playground) -> None:
    """They come later than they were asked for, so that nothing holds the client back."""
    async with served(outbox_bytes=MIB) as server, raw(path) as client, raw(path) as honest:
        for n in range(40):
            await client.ask(n, "call", {**CALL, "params": {"echo": bytes(100_000)}})
        await until(lambda: len(playground.begun) == 40)
        playground.gate.set()
        await until(lambda: len(server.peers) == 1)
        assert server.buffered == 0
        await honest.ask(1, "ping")
        assert (await honest.receive())[1] == 1


async def test_all_clients_together_are_bounded(served: Served, path: Path) -> None:
    async with served(buffered_bytes=MIB, callers=()) as server, raw(path) as honest:
        half = (900_000).to_bytes(4, "big") + bytes(700_000)
        async with raw(path) as first, raw(path) as second:
            await first.stream.send_all(half)
            await until(lambda: server.buffered > 600_000)
            with pytest.raises((trio.BrokenResourceError, AssertionError)):  # its rest finds the connection closed
                await second.stream.send_all(half)
                assert await second.refusal() == ""
            assert len(server.peers) == 2
        await honest.ask(1, "ping")
        assert (await honest.receive())[1] == 1


async def test_a_stream_waits_for_its_reader(served: Served, path: Path, playground: Playground) -> None:
    async with served(outbox_bytes=256 << 10), raw(path) as client, raw(path) as honest:
        await client.ask(5, "export_user", {"user": "60"})
        await until(lambda: playground.sent > 0)
        await honest.ask(1, "ping")
        assert (await honest.receive())[1] == 1
        assert playground.sent < 30, "the rest waits for room"
        items = [await client.receive() for _ in range(60)]
        assert {(item[0], item[1], item[2]["msgid"]) for item in items} == {(2, "$item", 5)}
        assert await client.receive() == [1, 5, None, {"bytes": 60}]


async def test_streams_of_one_client_are_bounded(served: Served, path: Path) -> None:
    async with served(streams=1), raw(path) as client:
        await client.ask(1, "export_user", {"user": "500"})
        await client.ask(2, "export_user", {"user": "0"})
        while (told := await client.receive())[0] == 2:
            pass
        assert (told[1], told[2]["details"]["limit"]) == (2, "streams")


# ---- connections -----------------------------------------------------------------------------------------------------
async def test_connections_are_bounded_and_some_are_kept_for_operators(
    served: Served, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uids = iter([5, 5, 5, 0, 0])
    monkeypatch.setattr(control, "user_of", lambda _: next(uids))
    async with (
        served(connections=3, reserved=1, callers=(5,)), raw(path) as a, raw(path) as b, raw(path) as refused
    ):  # fmt: skip
        assert await refused.refusal() == "overloaded"
        async with raw(path) as operator, raw(path) as too_many:
            assert await too_many.refusal() == "overloaded"
            for client in (a, b, operator):
                await client.ask(1, "ping")
                assert (await client.receive())[1] == 1


async def test_a_user_nobody_named_is_refused(served: Served, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "user_of", lambda _: 12_345)
    async with served() as server, raw(path) as client:
        assert await client.refusal() == "access_denied"
        assert await client.receive() is None
        assert not server.peers


@pytest.mark.parametrize(("kind", "role"), [("callers", Role.CALLER), ("auditors", Role.AUDITOR)])
async def test_a_role_comes_with_the_user_id(
    served: Served, path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, role: Role
) -> None:
    monkeypatch.setattr(control, "user_of", lambda _: 4_242)
    async with served(**{kind: (4_242,)}), raw(path) as client:
        await client.ask(1, "hello")
        told = (await client.receive())[3]
        assert (told["role"], told["frame_bytes"]) == (role.value, MIB)
        await client.ask(2, "export_user", {"user": "0"})
        assert await client.refusal() == "access_denied"
        await client.stream.send_all((MIB + 1).to_bytes(4, "big"))
        assert await client.refusal() == "protocol_violation"


# ---- the socket's file -----------------------------------------------------------------------------------------------
def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


@pytest.fixture
def written(path: Path) -> str:
    """A file where the socket should be."""
    path.write_text("mine")
    return "mine"


async def test_the_file_is_private_and_goes_with_the_server(served: Served, path: Path) -> None:
    async with served():
        assert mode(path) == 0o600
        assert names(path.parent) == ["hostel.sock"]
    assert names(path.parent) == []


async def test_a_group_may_be_let_in(served: Served, path: Path) -> None:
    async with served(socket_mode=0o660):
        assert mode(path) == 0o660


async def test_what_a_daemon_left_behind_is_replaced_and_one_that_runs_is_not(served: Served, path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    async with served():
        with pytest.raises(BaseExceptionGroup) as caught:
            async with served():
                pass
        assert caught.group_contains(StartupError, match="another daemon answers")
        async with raw(path) as client:
            await client.ask(1, "ping")
            assert (await client.receive())[1] == 1


async def test_a_file_that_is_no_socket_stays(served: Served, path: Path, written: str) -> None:
    with pytest.raises(BaseExceptionGroup) as caught:
        async with served():
            pass
    assert caught.group_contains(StartupError, match="no socket")
    async with await trio.open_file(path) as file:
        assert await file.read() == written


# ---- the end ---------------------------------------------------------------------------------------------------------
async def test_draining_answers_what_is_under_way_and_refuses_the_rest(
    served: Served, path: Path, playground: Playground
) -> None:
    async with served() as server, raw(path) as client, trio.open_nursery() as nursery:
        await client.ask(1, "call", CALL)
        await until(lambda: playground.begun == ["hold"])
        nursery.start_soon(server.drain, 60)
        await until(lambda: server.draining)
        await client.ask(2, "call", CALL)
        assert await client.refusal() == "host_closed"
        await client.ask(3, "ping")
        assert (await client.receive())[1] == 3
        playground.gate.set()
        assert (await client.receive())[1] == 1
