"""What is outside: entries answer over TLS and through the host's own client, with all of its checks."""

from __future__ import annotations

from typing import Any

from tests.runtime.scenarios.conftest import Plays, asks, failure, passed

URL = "https://carrier.example/v1/"


def fetch(path: str = "", **more: Any) -> dict[str, Any]:
    return asks("http.fetch", url=path if path.startswith("https") else URL + path, **more)


def says(step: dict[str, Any], **expected: Any) -> dict[str, Any]:
    return step | {"expect": expected}


async def test_entries_answer_in_their_order(plays: Plays) -> None:
    network = [
        {"url": URL + "track/*", "method": "GET", "json": {"state": "on_the_way"}, "times": 1},
        {"url": URL + "track/*", "method": "GET", "status": 404, "body": "no such parcel"},
        {"url": URL + "labels", "method": "POST", "status": 201, "headers": {"x-label": "17"}, "body": "ok"},
    ]
    passed(
        await plays(
            says(fetch("track/1"), result={"status": 200, "headers": {"content-type": "application/json"}}),
            says(fetch("track/1"), result={"status": 404, "body": {"$base64": "bm8gc3VjaCBwYXJjZWw="}}),
            says(fetch("labels", method="POST", body={"$base64": "AAAA"}),
                 result={"status": 201, "headers": {"x-label": "17"}}),
            says(fetch("track/1", method="HEAD"), error={"code": "fetch_failed"}),
            {"network": [{"url": URL + "track/1", "status": 204}]},
            says(fetch("track/1", method="HEAD"), result={"status": 204}),
            network=network,
        )
    )  # fmt: skip


async def test_what_is_down_and_what_is_not_there(plays: Plays) -> None:
    network = [
        {"url": URL + "a", "fail": "unreachable", "times": 1},
        {"url": URL + "a", "fail": "timeout", "times": 1},
        {"url": URL + "a", "body": "up again"},
    ]
    played = await plays(
        says(fetch("a"), error={"code": "fetch_failed", "details": {"problem": "no connection"}}),
        says(fetch("a"), error={"details": {"problem": {"$match": "^not done within timeout_ms"}}}),
        says(fetch("a"), result={"status": 200}),
        says(fetch("b"), result={"status": 200}),
        network=network,
    )
    assert failure(played, 4).hints == [f"nothing in network is about GET {URL}b"]
    assert sum(result.seconds for result in played.results) < 20  # nobody waits for what does not come


async def test_the_hosts_own_checks_stand_before_it(plays: Plays) -> None:
    """Grants, redirects to elsewhere, and sizes: as in production."""
    network = [
        {"url": "https://carrier.example/away", "status": 302, "headers": {"location": "https://evil.example/"}},
        {"url": "https://carrier.example/on", "status": 302, "headers": {"location": "https://other.example/here"}},
        {"url": "https://other.example/here", "body": "here"},
        {"url": "https://carrier.example/large", "body": "x" * 2_000},
        {"url": "https://evil.example/", "body": "evil"},
    ]
    passed(
        await plays(
            says(fetch("https://evil.example/"), error={"code": "grant_constraint"}),
            says(fetch("https://carrier.example/away"), error={"code": "grant_constraint"}),
            says(fetch("https://carrier.example/on"), result={"url": "https://other.example/here", "status": 200}),
            says(fetch("https://carrier.example/large"), error={"code": "limit_exceeded"}),
            network=network,
            install={"limits": {"fetch_response_bytes": 1_000}},
        )
    )
