"""http.fetch from the request to its answer: parameters, grants, addresses, redirects, and how many at once."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from host_api.capability import NO_GRANTS, parse_grants
from host_api.http.methods import (
    HEADER_NAME_CHARS_MAX,
    HEADER_VALUE_CHARS_MAX,
    REDIRECTS_MAX,
    REQUEST_HEADERS_MAX,
    TIMEOUT_MS_MAX,
)
from runtime.session import CallSession
from runtime.testing import make_session
from tests.host_api.http.conftest import Server, Visit, World, ok, redirect


async def place(world: World, answer: Any = None, host: str = "shop.example") -> tuple[Server, CallSession, str]:
    """A server, a session that may fetch from it, and its URL."""
    server = await world.server(answer)
    return server, world.session(f"{host}:{server.port}"), f"https://{host}:{server.port}/"


# ---- an honest fetch -------------------------------------------------------------------------------------------------
async def test_a_page(world: World) -> None:
    page = ok(b"hello", "Content-Type: text/plain", "Set-Cookie: a=b", "Via: 1", "via: 2")
    server, session, url = await place(world, page)
    found = await world.result(session, f"https://Shop.Example.:{server.port}/a?b=c#d", headers={"X-Key": "k"})
    assert found == {
        "status": 200, "headers": {"content-length": "5", "content-type": "text/plain", "via": "1, 2"},
        "body": b"hello", "url": f"{url}a?b=c",
    }  # fmt: skip
    (visit,) = server.visits
    assert visit.line == "GET /a?b=c HTTP/1.1"
    assert visit.headers == {
        "host": f"shop.example:{server.port}", "accept-encoding": "identity", "user-agent": "hostel", "x-key": "k",
        "connection": "close",
    }  # fmt: skip


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_a_body(world: World, method: str) -> None:
    server, session, url = await place(world, ok(status="201 Made"))
    found = await world.result(session, url, method=method, body=b"a\r\n\x00b")
    assert found["status"] == 201
    assert (server.visits[0].body, server.visits[0].header("content-length")) == (b"a\r\n\x00b", "5")
    await world.result(session, url, method=method)
    assert server.visits[1].header("content-length") == (None if method == "DELETE" else "0")


async def test_head_has_the_headers_and_no_body(world: World) -> None:
    _, session, url = await place(world, b"HTTP/1.1 200 OK\r\ncontent-length: 999999999\r\n\r\n")
    found = await world.result(session, url, method="HEAD")
    assert (found["body"], found["headers"]) == (b"", {"content-length": "999999999"})


async def test_an_answer_that_does_not_wait_for_the_body(world: World) -> None:
    async def answer(visit: Visit) -> None:
        await visit.stream.send_all(ok(status="413 Too Large"))
        await visit.gone()

    server, session, url = await place(world, answer)
    server.reads_bodies = False
    assert (await world.result(session, url, method="POST", body=bytes(200_000)))["status"] == 413


async def test_every_fetch_has_a_connection_of_its_own(world: World) -> None:
    server, session, url = await place(world)
    for _ in range(3):
        await world.result(session, url)
    assert (server.connections, len(world.lookups)) == (3, 3)


# ---- parameters ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("params", "path"),
    [
        ({"method": "TRACE"}, "$.method"),
        ({"method": "CONNECT"}, "$.method"),
        ({"method": "get"}, "$.method"),
        ({"headers": {"Host": "other.example"}}, "$.headers"),
        ({"headers": {"a": "b\r\nc: d"}}, "$.headers"),
        ({"headers": {"transfer-encoding": "chunked"}}, "$.headers"),
        ({"headers": {"a": 1}}, "$.headers[...]"),
        ({"headers": {str(n): "" for n in range(REQUEST_HEADERS_MAX + 1)}}, "$.headers"),
        ({"headers": {"a" * (HEADER_NAME_CHARS_MAX + 1): ""}}, None),
        ({"headers": {"a": "b" * (HEADER_VALUE_CHARS_MAX + 1)}}, "$.headers[...]"),
        ({"body": b"x"}, "$.body"),
        ({"body": b"x", "method": "HEAD"}, "$.body"),
        ({"body": 1}, "$.body"),
        ({"body": "aGk=", "method": "POST"}, "$.body"),
        ({"timeout_ms": 0}, "$.timeout_ms"),
        ({"timeout_ms": TIMEOUT_MS_MAX + 1}, "$.timeout_ms"),
        ({"redirects": -1}, "$.redirects"),
        ({"redirects": REDIRECTS_MAX + 1}, "$.redirects"),
    ],
)
async def test_parameters_that_are_refused(world: World, params: dict[str, Any], path: str | None) -> None:
    session = world.session("shop.example")
    error = await world.error(session, "https://shop.example/", **params)
    assert error["code"] == "invalid_params"
    assert path is None or error["details"]["path"] == path
    assert world.lookups == []


async def test_parameters_at_their_limits(world: World) -> None:
    server, session, url = await place(world)
    given = {f"h{n}": "v" for n in range(REQUEST_HEADERS_MAX - 2)}
    given |= {"a" * HEADER_NAME_CHARS_MAX: "", "b": "c" * HEADER_VALUE_CHARS_MAX}
    await world.result(session, url, headers=given, timeout_ms=TIMEOUT_MS_MAX, redirects=REDIRECTS_MAX)
    assert server.visits[0].header("b") == "c" * HEADER_VALUE_CHARS_MAX


@pytest.mark.parametrize(
    "url",
    ["http://shop.example/", "https://u:p@shop.example/", "https://127.0.0.1/", "https://[::1]/", "https://0x7f000001/",
     "https://shop.example\\@other.example/", "https://shop%2eexample/", "https://localhost/", "", "x" * 8_193],
)  # fmt: skip
async def test_urls_that_are_refused(world: World, url: str) -> None:
    error = await world.error(world.session("shop.example"), url)
    assert (error["code"], error["details"]["path"]) == ("invalid_params", "$.url")
    assert world.lookups == []


async def test_the_body_sent_at_its_limit_and_one_over(world: World) -> None:
    server, session, url = await place(world)
    session = world.session(f"shop.example:{server.port}", fetch_request_bytes=1_000)
    await world.result(session, url, method="POST", body=bytes(1_000))
    error = await world.error(session, url, method="POST", body=bytes(1_001))
    assert error["code"] == "limit_exceeded"
    assert error["details"] == {"limit": "fetch_request_bytes", "value": 1_000, "used": 1_001, "unit": "bytes"}
    assert server.connections == 1


# ---- grants ----------------------------------------------------------------------------------------------------------
async def test_a_grant_without_hosts_allows_none(world: World) -> None:
    for session in (make_session(granted=["http"], now=trio.current_time), world.session()):
        error = await world.error(session, "https://shop.example/")
        assert error["code"] == "grant_constraint"
        assert error["details"] == {"constraint": "hosts", "value": [], "host": "shop.example"}
    assert world.lookups == []


@pytest.mark.parametrize(
    "url",
    ["https://other.example/", "https://www.shop.example/", "https://shop.example:8443/",
     "https://shop.example.evil.example/", "https://evilshop.example/"],
)  # fmt: skip
async def test_a_host_that_is_not_granted(world: World, url: str) -> None:
    error = await world.error(world.session("shop.example"), url)
    assert error["code"] == "grant_constraint"
    assert world.lookups == []


async def test_the_grants_refusal_comes_before_that_of_other_parameters(world: World) -> None:
    error = await world.error(world.session("shop.example"), "https://other.example/", headers={"host": "x"})
    assert error["code"] == "grant_constraint"
    assert error["details"] == {"constraint": "hosts", "value": ["shop.example"], "host": "other.example"}


async def test_without_the_capability_nothing_is_looked_at(world: World) -> None:
    session = world.session("shop.example")
    session.authority.narrow(NO_GRANTS)
    assert (await world.error(session, "nonsense"))["code"] == "capability_not_granted"


# ---- taken away meanwhile --------------------------------------------------------------------------------------------
async def test_a_grant_taken_away_while_the_name_is_looked_up_stops_the_request(world: World) -> None:
    server, session, url = await place(world)

    async def resolve(host: str, *, app_id: str) -> list[str]:
        session.authority.narrow(NO_GRANTS)
        return ["127.0.0.1"]

    world.access["resolver"] = resolve
    assert (await world.error(session, url))["code"] == "capability_not_granted"
    assert server.visits == []
    assert world.service.departures.drain() == {}


async def test_a_grant_taken_away_between_two_hops_stops_the_second(world: World) -> None:
    second, _, _ = await place(world)

    async def answer(visit: Visit) -> None:
        session.authority.narrow(parse_grants({"http": {"hosts": [f"shop.example:{first.port}"]}}))
        await visit.stream.send_all(redirect(f"https://other.example:{second.port}/"))

    first = await world.server(answer)
    session = world.session(f"shop.example:{first.port}", f"other.example:{second.port}")
    error = await world.error(session, f"https://shop.example:{first.port}/")
    assert (error["code"], error["details"]["host"]) == ("grant_constraint", f"other.example:{second.port}")
    assert (second.connections, world.lookups) == (0, ["shop.example"])


async def test_a_grant_that_expires_between_two_hops_stops_the_second(world: World) -> None:
    async def answer(visit: Visit) -> None:
        world.clock.advance(s=1)
        await visit.stream.send_all(redirect("/again"))

    server, session, url = await place(world, answer)
    expires = world.clock.now_us() + 1_000_000
    session.authority.narrow(parse_grants({"http": {"expires_at_us": expires}}))
    assert (await world.error(session, url))["code"] == "grant_expired"
    assert len(server.visits) == 1


async def test_a_grant_taken_away_after_the_request_left_undoes_nothing(world: World) -> None:
    async def answer(visit: Visit) -> None:
        session.authority.narrow(NO_GRANTS)
        await visit.stream.send_all(ok())

    _, session, url = await place(world, answer)
    assert (await world.result(session, url))["body"] == b"hello"


# ---- addresses -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "addresses",
    [["127.0.0.9"], ["10.0.0.1"], ["169.254.169.254"], ["::1"], ["fe80::1%eth0"], ["::ffff:10.0.0.1"],
     ["fd00:ec2::254"],
     ["127.0.0.1", "10.0.0.1"], ["10.0.0.1", "127.0.0.1"], ["1.1.1.1", "::1"], ["64:ff9b::a00:1"], ["2002:a00:1::"]],
)  # fmt: skip
async def test_one_address_inside_is_enough_to_refuse_the_name(world: World, addresses: list[str]) -> None:
    server, session, url = await place(world)
    world.names["shop.example"] = [addresses]
    error = await world.error(session, url)
    assert (error["code"], error["details"]) == ("address_refused", {"host": "shop.example"})
    assert not any(address in str(error) for address in addresses)
    assert server.connections == 0


async def test_the_address_that_was_checked_is_the_one_connected_to(world: World) -> None:
    """A name that would lead inside when it is asked again: it is not."""
    server, session, url = await place(world)
    world.names["shop.example"] = [["127.0.0.1"], ["10.0.0.1"]]
    assert (await world.result(session, url))["status"] == 200
    assert world.lookups == ["shop.example"]
    assert (await world.error(session, url))["code"] == "address_refused"
    assert server.connections == 1


async def test_a_name_is_checked_again_for_each_hop(world: World) -> None:
    server, session, url = await place(world, redirect("/again"))
    world.names["shop.example"] = [["127.0.0.1"], ["169.254.169.254"]]
    assert (await world.error(session, url))["code"] == "address_refused"
    assert server.connections == 1


async def test_the_next_address_is_tried(world: World) -> None:
    server, session, url = await place(world)
    world.inside |= {"127.0.0.2", "::1"}
    world.names["shop.example"] = [["127.0.0.2", "::1", "127.0.0.1"]]
    assert (await world.result(session, url))["status"] == 200
    assert server.connections == 1


@pytest.mark.parametrize("addresses", [[], ["x"], ["127.0.0.1 "], ["127.1"], ["127.0.0.1"] * 65])
async def test_a_name_without_proper_addresses(world: World, addresses: list[str]) -> None:
    _, session, url = await place(world)
    world.names["shop.example"] = [addresses]
    error = await world.error(session, url)
    assert (error["code"], error["details"]["phase"], error["retryable"]) == ("fetch_failed", "resolve", True)


async def test_a_name_that_is_none(world: World) -> None:
    error = await world.error(world.session("none.example"), "https://none.example/")
    assert (error["code"], error["details"]["phase"]) == ("fetch_failed", "resolve")


# ---- redirects -------------------------------------------------------------------------------------------------------
async def test_a_redirect_is_followed(world: World) -> None:
    async def answer(visit: Visit) -> None:
        await visit.stream.send_all(ok() if visit.line.startswith("GET /there?x") else redirect("/there?x"))

    server, session, url = await place(world, answer)
    found = await world.result(session, url, headers={"authorization": "k"})
    assert (found["status"], found["url"]) == (200, f"{url}there?x")
    assert [visit.header("authorization") for visit in server.visits] == ["k", "k"]


@pytest.mark.parametrize("redirects", [0, 1, 3, REDIRECTS_MAX])
async def test_redirects_at_their_limit_and_one_over(world: World, redirects: int) -> None:
    async def answer(visit: Visit) -> None:
        count = int(visit.line.split()[1].strip("/") or 0)
        await visit.stream.send_all(ok() if count == redirects else redirect(f"/{count + 1}"))

    _, session, url = await place(world, answer)
    assert (await world.result(session, url, redirects=redirects))["status"] == 200
    if redirects:
        found = await world.result(session, url, redirects=redirects - 1)
        assert (found["status"], found["headers"]["location"]) == (302, f"/{redirects}")


async def test_a_redirect_to_another_granted_host_takes_no_secret_along(world: World) -> None:
    second = await world.server()
    first = await world.server(redirect(f"https://other.example:{second.port}/x"))
    session = world.session(f"shop.example:{first.port}", f"other.example:{second.port}")
    given = {"authorization": "secret", "cookie": "secret", "x-key": "secret", "accept": "text/html"}
    found = await world.result(session, f"https://shop.example:{first.port}/", headers=given)
    assert found["url"] == f"https://other.example:{second.port}/x"
    assert second.visits[0].headers == {
        "host": f"other.example:{second.port}", "accept-encoding": "identity", "user-agent": "hostel",
        "accept": "text/html", "connection": "close",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("location", "code"),
    [
        ("https://other.example/", "grant_constraint"),
        ("https://shop.example/", "grant_constraint"),
        ("http://shop.example/", "grant_constraint"),
        ("//third.example/", "grant_constraint"),
        ("https://127.0.0.1/", "grant_constraint"),
        ("https://[::1]/", "grant_constraint"),
        ("https://169.254.169.254/latest/meta-data/", "grant_constraint"),
        ("http://169.254.169.254/latest/meta-data/", "grant_constraint"),
        ("https://user@shop.example/", "grant_constraint"),
        ("file:///etc/passwd", "grant_constraint"),
        ("gopher://shop.example/", "grant_constraint"),
        ("https://inside.example/", "address_refused"),
    ],
)
async def test_a_redirect_to_where_no_request_may_go(world: World, location: str, code: str) -> None:
    world.names["inside.example"] = [["169.254.169.254"]]
    server = await world.server(redirect(location))
    session = world.session(f"shop.example:{server.port}", "inside.example")
    error = await world.error(session, f"https://shop.example:{server.port}/")
    assert error["code"] == code
    assert server.connections == 1


async def test_a_post_becomes_a_get_by_303_and_keeps_its_body_by_307(world: World) -> None:
    async def answer(visit: Visit) -> None:
        target = visit.line.split()[1]
        answers = {"/303": redirect("/end", 303), "/307": redirect("/end", 307)}
        await visit.stream.send_all(answers.get(target, ok()))

    server, session, url = await place(world, answer)
    for status in ("303", "307"):
        await world.result(session, url + status, method="POST", body=b"b", headers={"content-type": "text/plain"})
    lines = [(visit.line.split()[0], visit.body, visit.header("content-type")) for visit in server.visits]
    posted = ("POST", b"b", "text/plain")
    assert lines == [posted, ("GET", b"", None), posted, posted]


async def test_a_body_never_goes_to_another_origin(world: World) -> None:
    second = await world.server()
    first = await world.server(redirect(f"https://other.example:{second.port}/x", 307))
    session = world.session(f"shop.example:{first.port}", f"other.example:{second.port}")
    found = await world.result(session, f"https://shop.example:{first.port}/", method="POST", body=b"secret")
    assert (found["status"], second.connections) == (307, 0)


# ---- how many at once ------------------------------------------------------------------------------------------------
async def test_fetches_at_once_at_their_limits_and_one_over(world: World, nursery: trio.Nursery) -> None:
    arrived, arrivals = trio.open_memory_channel[None](8)
    done, results = trio.open_memory_channel[int](8)
    go_on = trio.Event()

    async def answer(visit: Visit) -> None:
        arrived.send_nowait(None)
        await go_on.wait()
        await visit.stream.send_all(ok())

    async def one(session: CallSession) -> None:
        done.send_nowait((await world.result(session, url))["status"])

    world.access |= {"fetches": 3, "fetches_per_program": 2}
    server, session, url = await place(world, answer)
    other, third = (world.session(f"shop.example:{server.port}", app_id=f"org.example.{n}") for n in range(2))
    for each in (session, session):
        nursery.start_soon(one, each)
        await arrivals.receive()
    error = await world.error(session, url)
    assert (error["code"], error["retryable"], error["retry_after_ms"]) == ("busy", True, 250)
    assert error["details"] == {"limit": "fetches_per_program", "value": 2, "used": 2, "unit": "fetches"}
    nursery.start_soon(one, other)
    await arrivals.receive()
    error = await world.error(third, url)
    assert (error["code"], error["details"], world.service.under_way) == ("busy", {}, 3)
    go_on.set()
    assert [await results.receive() for _ in range(3)] == [200, 200, 200]
    assert (world.service.under_way, server.connections) == (0, 3)


async def test_a_refused_fetch_takes_no_place(world: World) -> None:
    world.access |= {"fetches": 1, "fetches_per_program": 1}
    session = world.session("none.example")
    for _ in range(3):
        assert (await world.error(session, "https://none.example/"))["code"] == "fetch_failed"
        assert (await world.error(session, "https://other.example/"))["code"] == "grant_constraint"
    assert world.service.under_way == 0


# ---- what is counted -------------------------------------------------------------------------------------------------
async def test_what_left_is_counted_by_program_and_host(world: World) -> None:
    second = await world.server()
    first = await world.server(redirect(f"https://other.example:{second.port}/"))
    there, elsewhere = f"shop.example:{first.port}", f"other.example:{second.port}"
    for _ in range(2):
        await world.result(world.session(there, elsewhere), f"https://{there}/")
    await world.result(world.session(elsewhere, app_id="org.example.other"), f"https://{elsewhere}/")
    await world.error(world.session("none.example"), "https://none.example/")
    assert world.service.departures.drain() == {
        ("org.example.shop", there): 2, ("org.example.shop", elsewhere): 2, ("org.example.other", elsewhere): 1,
    }  # fmt: skip
    assert world.service.departures.drain() == {}
