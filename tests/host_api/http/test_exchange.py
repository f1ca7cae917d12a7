"""What becomes of a fetch when the other side is hostile, slow or gone, or when nobody waits for it any more."""

from __future__ import annotations

import gzip
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing

from tests.host_api.http.conftest import Server, Visit, World, ok, redirect

UNSAFE = ("POST", "PUT", "PATCH", "DELETE")


async def place(world: World, answer: Any = None, **limits: int) -> tuple[Server, Any, str]:
    server = await world.server(answer)
    return server, world.session(f"shop.example:{server.port}", **limits), f"https://shop.example:{server.port}/"


def sending(*pieces: bytes) -> Callable[[Visit], Awaitable[None]]:
    """Sends the pieces, then waits until the other side has gone."""

    async def answer(visit: Visit) -> None:
        for piece in pieces:
            await visit.stream.send_all(piece)
        await visit.gone()

    return answer


def endless(start: bytes, more: bytes) -> Callable[[Visit], Awaitable[None]]:
    async def answer(visit: Visit) -> None:
        await visit.stream.send_all(start)
        while True:
            await visit.stream.send_all(more)

    return answer


# ---- too much --------------------------------------------------------------------------------------------------------
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
BOMBS = {
    "endless headers": (endless(b"HTTP/1.1 200 OK\r\n", b"a: b\r\n" * 1_000), "fetch_header_bytes"),
    "one endless header": (endless(b"HTTP/1.1 200 OK\r\na: ", b"b" * 8_000), "fetch_header_bytes"),
    "endless body": (endless(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 8_000), "fetch_response_bytes"),
    "endless chunks": (endless(CHUNKED, b"400\r\n" + b"x" * 1_024 + b"\r\n"), "fetch_response_bytes"),
    "a great length": (sending(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999999\r\n\r\n"), "fetch_response_bytes"),
    "one great chunk": (sending(CHUNKED + b"fffffffffff\r\n"), "fetch_response_bytes"),
    "endless trailers": (endless(CHUNKED + b"0\r\n", b"a: b\r\n" * 1_000), "fetch_header_bytes"),
}


@pytest.mark.parametrize("bomb", BOMBS)
async def test_an_answer_that_is_too_much(world: World, bomb: str) -> None:
    answer, limit = BOMBS[bomb]
    server, session, url = await place(world, answer)
    error = await world.error(session, url)
    assert (error["code"], error["details"]["limit"]) == ("limit_exceeded", limit)
    assert error["details"]["used"] > error["details"]["value"]
    await server.closed.wait()


@pytest.mark.parametrize("size", [1_000, 1_001])
async def test_the_body_received_at_its_limit_and_one_over(world: World, size: int) -> None:
    _, session, url = await place(world, ok(b"x" * size), fetch_response_bytes=1_000)
    error, found = await world.fetch(session, url)
    if size == 1_000:
        assert found["body"] == b"x" * 1_000
    else:
        assert (error["code"], found) == ("limit_exceeded", None)
        assert error["details"] == {"limit": "fetch_response_bytes", "value": 1_000, "used": 1_001, "unit": "bytes"}


async def test_a_body_in_chunks_of_a_byte_is_given_up(world: World) -> None:
    server, session, url = await place(world, endless(CHUNKED, b"1\r\nx\r\n" * 1_000))
    error = await world.error(session, url)
    assert (error["code"], error["details"]["phase"]) == ("fetch_failed", "receive")
    await server.closed.wait()


async def test_nothing_is_inflated_so_nothing_explodes(world: World) -> None:
    pressed = gzip.compress(bytes(10_000_000))
    server, session, url = await place(world, ok(pressed, "content-encoding: gzip"))
    found = await world.result(session, url)
    assert server.visits[0].header("accept-encoding") == "identity"
    assert (found["body"], found["headers"]["content-encoding"]) == (pressed, "gzip")
    assert len(pressed) * 900 < 10_000_000


# ---- too slow --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "pieces",
    [(), (b"HTTP/1.1 200 OK\r\n",), (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", b"hel"), (CHUNKED + b"1",)],
)
async def test_a_server_that_is_too_slow(world: World, pieces: tuple[bytes, ...]) -> None:
    server, session, url = await place(world, sending(*pieces))
    error = await world.error(session, url, timeout_ms=60)
    assert (error["code"], error["retryable"]) == ("fetch_failed", True)
    assert error["details"] == {"phase": "receive", "problem": "not done within timeout_ms = 60"}
    await server.closed.wait()


async def test_a_server_that_drips_gets_no_more_time_for_it(world: World) -> None:
    async def answer(visit: Visit) -> None:
        await visit.stream.send_all(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            await visit.stream.send_all(b"x")
            with trio.move_on_after(0.005):
                await trio.sleep_forever()

    server, session, url = await place(world, answer)
    assert (await world.error(session, url, timeout_ms=80))["details"]["phase"] == "receive"
    await server.closed.wait()


async def test_the_time_is_for_all_hops_together(world: World) -> None:
    async def answer(visit: Visit) -> None:
        with trio.move_on_after(0.04):
            await visit.gone()
        await visit.stream.send_all(redirect("/again"))

    server, session, url = await place(world, answer)
    error = await world.error(session, url, timeout_ms=100, redirects=5)
    assert (error["code"], error["details"]["problem"]) == ("fetch_failed", "not done within timeout_ms = 100")
    assert len(server.visits) <= 3


async def test_a_name_that_nobody_answers(world: World) -> None:
    async def resolve(host: str, *, app_id: str) -> list[str]:
        await trio.sleep_forever()
        return []

    world.access["resolver"] = resolve
    error = await world.error(world.session("shop.example"), "https://shop.example/", timeout_ms=30)
    assert (error["code"], error["details"]["phase"]) == ("fetch_failed", "resolve")


# ---- no connection, no TLS -------------------------------------------------------------------------------------------
async def test_nobody_listens(world: World) -> None:
    world.inside.add("127.0.0.2")
    world.names["shop.example"] = [["127.0.0.2", "127.0.0.1"]]
    error = await world.error(world.session("shop.example:9"), "https://shop.example:9/")
    assert (error["code"], error["details"]) == ("fetch_failed", {"phase": "connect", "problem": "no connection"})
    assert "127.0.0" not in str(error)


async def test_a_certificate_for_another_name(world: World) -> None:
    world.names["evil.example"] = [["127.0.0.1"]]
    server = await world.server()
    error = await world.error(world.session(f"evil.example:{server.port}"), f"https://evil.example:{server.port}/")
    assert (error["code"], error["details"]["phase"]) == ("fetch_failed", "tls")
    assert error["details"]["problem"] == "no valid certificate for this host"
    assert server.visits == []


async def test_a_certificate_of_an_authority_that_is_not_trusted(world: World) -> None:
    world.access["tls"] = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    server, session, url = await place(world)
    assert (await world.error(session, url))["details"]["problem"] == "no valid certificate for this host"
    assert server.visits == []


@asynccontextmanager
async def plain(handle: Callable[[trio.SocketStream], Awaitable[None]]) -> AsyncIterator[int]:
    """A server without TLS, and its port."""
    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, handle, [listener])
        yield listener.socket.getsockname()[1]
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("said", [ok(), b"", b"\x16\x03\x01"])
async def test_a_server_without_tls_is_never_asked_anything(world: World, said: bytes) -> None:
    heard = b""

    async def handle(stream: trio.SocketStream) -> None:
        nonlocal heard
        if said:
            await stream.send_all(said)
            await stream.send_eof()
        heard += bytes(await stream.receive_some(1 << 16))
        await stream.aclose()

    async with plain(handle) as port:
        error = await world.error(world.session(f"shop.example:{port}"), f"https://shop.example:{port}/secret")
    assert (error["code"], error["details"]) == ("fetch_failed", {"phase": "tls", "problem": "no TLS connection"})
    assert b"secret" not in heard


# ---- an answer that is lost ------------------------------------------------------------------------------------------
LOST = {
    "closed": (b"", "the answer breaks off"),
    "half a head": (b"HTTP/1.1 200 OK\r\n", "the answer breaks off"),
    "half a body": (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nx", "the answer breaks off"),
    "nonsense": (b"220 smtp.example ESMTP\r\n\r\n", "the answer does not begin with a status of HTTP/1.1"),
}


def breaking_off(data: bytes) -> Callable[[Visit], Awaitable[None]]:
    async def answer(visit: Visit) -> None:
        await visit.stream.send_all(data)
        await trio.aclose_forcefully(visit.stream)

    return answer


@pytest.mark.parametrize("lost", LOST)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_question_whose_answer_is_lost_can_be_asked_again(world: World, lost: str, method: str) -> None:
    data, problem = LOST[lost]
    if method == "HEAD" and lost == "half a body":
        return
    _, session, url = await place(world, breaking_off(data))
    error = await world.error(session, url, method=method)
    assert (error["code"], error["retryable"]) == ("fetch_failed", True)
    assert error["details"] == {"phase": "receive", "problem": problem}


@pytest.mark.parametrize("lost", LOST)
@pytest.mark.parametrize("method", UNSAFE)
async def test_an_order_whose_answer_is_lost_may_have_been_carried_out(world: World, lost: str, method: str) -> None:
    data, problem = LOST[lost]
    _, session, url = await place(world, breaking_off(data))
    error = await world.error(session, url, method=method)
    assert error["code"] == "unknown_outcome"
    assert error["details"] == {"phase": "receive", "problem": problem, "sent": True}


async def test_a_body_without_a_length_that_the_server_did_not_end_is_lost(world: World) -> None:
    _, session, url = await place(world, breaking_off(b"HTTP/1.1 200 OK\r\n\r\nhalf"))
    assert (await world.error(session, url))["details"]["problem"] == "the answer breaks off"
    _, session, url = await place(world, b"HTTP/1.1 200 OK\r\n\r\nwhole")
    assert (await world.result(session, url))["body"] == b"whole"


@pytest.mark.parametrize("method", UNSAFE)
async def test_an_order_that_is_not_answered_in_time(world: World, method: str) -> None:
    _, session, url = await place(world, sending())
    error = await world.error(session, url, method=method, timeout_ms=60)
    assert (error["code"], error["details"]["sent"]) == ("unknown_outcome", True)


@pytest.mark.parametrize("method", UNSAFE)
async def test_an_order_that_never_left_had_no_effect(world: World, method: str) -> None:
    error = await world.error(world.session("shop.example:9"), "https://shop.example:9/", method=method)
    assert (error["code"], "sent" in error["details"]) == ("fetch_failed", False)


@pytest.mark.parametrize(
    ("then", "code"),
    [
        (b"", "unknown_outcome"),
        (redirect("https://other.example/"), "grant_constraint"),
        (ok(bytes(2_000)), "limit_exceeded"),
    ],
)
async def test_what_follows_an_order_says_that_it_was_sent(world: World, then: bytes, code: str) -> None:
    async def answer(visit: Visit) -> None:
        await visit.stream.send_all(redirect("/then", 303) if visit.line.startswith("POST") else then)

    _, session, url = await place(world, answer, fetch_response_bytes=1_000)
    error = await world.error(session, url, method="POST")
    assert (error["code"], error["details"]["sent"]) == (code, True)


# ---- nobody waits any more -------------------------------------------------------------------------------------------
@pytest.mark.parametrize("phase", ["resolve", "tls", "receive", "body"])
async def test_a_cancelled_fetch_leaves_no_connection_behind(world: World, phase: str) -> None:
    reached, gone = trio.Event(), trio.Event()

    async def handle(stream: trio.SocketStream) -> None:
        """Never shakes hands."""
        reached.set()
        while await stream.receive_some(1 << 16):
            pass
        gone.set()

    async def resolve(host: str, *, app_id: str) -> list[str]:
        reached.set()
        gone.set()
        await trio.sleep_forever()
        return []

    async def answer(visit: Visit) -> None:
        if phase == "body":
            await visit.stream.send_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nh")
        reached.set()
        await visit.gone()
        gone.set()

    if phase == "resolve":
        world.access["resolver"] = resolve
    async with plain(handle) as port:
        if phase in ("receive", "body"):
            port = (await world.server(answer)).port
        session = world.session(f"shop.example:{port}")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(world.fetch, session, f"https://shop.example:{port}/")
            await reached.wait()
            assert world.service.under_way == 1
            nursery.cancel_scope.cancel()
        assert world.service.under_way == 0
        await gone.wait()


async def test_no_socket_is_left_open_whatever_happened(world: World) -> None:
    """Every connection that was made has ended on the server's side too."""
    answers = [sending(), breaking_off(b""), *(answer for answer, _ in BOMBS.values())]
    for answer in answers:
        server, session, url = await place(world, answer)
        await world.error(session, url, timeout_ms=200)
        with trio.fail_after(5):
            await server.closed.wait()


async def test_a_server_that_takes_no_body(world: World) -> None:
    async def answer(visit: Visit) -> None:
        await trio.sleep_forever()

    server, session, url = await place(world, answer, fetch_request_bytes=15 << 20, request_bytes=16 << 20)
    server.reads_bodies = False
    error = await world.error(session, url, method="PUT", body=bytes(15 << 20), timeout_ms=500)
    assert (error["code"], error["details"]["phase"]) == ("unknown_outcome", "send")
