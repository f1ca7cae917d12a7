"""Attacks by message, with a neighbour who is answered meanwhile: sizes, floods, headers, log lines, URLs, names.

Rows 19, 20, 22, 23, 34, 37 and 38 of checklist.json. Decoder bombs are test_decoder_bombs.py's.
"""

from __future__ import annotations

from typing import Any

import pytest
import trio

from runtime import CallEnded, Ending, wire
from tests.host_api.http.conftest import answering, ok, redirect
from tests.host_api.http.test_url import TRICKS
from tests.hostile.conftest import Opened, Site
from tests.hostile.guests import ROOM, Script
from tests.hostile.neighbour import ROOMY, Neighbour
from tests.hostile.outside import fetching, outside
from tests.hostile.test_program_calls import as_caller, calling

INFO = wire.request(1, "session.info", {})
PATIENT = {**ROOMY, "cpu_us": 10_000_000, "host_calls": 10_000}


# ---- 19-20: sizes and handles ----------------------------------------------------------------------------------------
async def test_an_answer_that_is_too_long(site: Site, neighbour: Neighbour) -> None:
    """By one byte, or by 4 GiB: refused before a byte of it is copied."""
    app = await site.install(message_out_bytes=113, **ROOMY)

    async def attack() -> None:
        await site.run(Script().step("show", ROOM, 100), app)
        for claimed, script in ((114, Script().step("show", ROOM, 101)), (0xFFFF_FFFF, None)):
            ending, error, _ = await site.end(script or Script().step("give", ROOM, claimed), app)
            assert (ending, error.details["used"]) == (Ending.PROTOCOL_VIOLATION, claimed)

    await neighbour.beside(attack)


async def test_requests_that_nobody_waits_for(site: Site, neighbour: Neighbour) -> None:
    """As many as may be open, over and over, given up by a deadline, a trap and a cancelled caller: nothing stays."""
    most = 8
    hasty = await site.install(posted=most, wall_ms=200, **PATIENT)
    app = await site.install(posted=most, **PATIENT)

    def flood(count: int) -> Script:
        script = Script()
        for msgid in range(1, count + 1):
            script.post(wire.request(msgid, "session.sleep", {"ms": 60_000}))
        return script

    async def attack() -> None:
        _, _, receipt = await site.end(flood(most + 1).wait().wait(), hasty)
        assert (receipt.usage.denials, receipt.usage.dropped) == (1, most)
        _, _, receipt = await site.end(flood(most).step("unreachable"), app)
        assert receipt.usage.dropped == most
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(site.run, flood(most).wait(), app)
                while not site.host._registry.find(app)[0].admission.in_flight:
                    await trio.lowlevel.checkpoint()
                scope.cancel()
        assert site.host._registry.find(app)[0].holdings.held_bytes == 0

    await neighbour.beside(attack)


# ---- 22, 37: other servers -------------------------------------------------------------------------------------------
async def test_headers_in_thousands(opened: Opened) -> None:
    """Sent by a guest, and sent to it by its own server."""
    async with outside(opened) as out:
        neighbour = await Neighbour.on(out.site)
        answer = ok(b"", *(f"x-{number}: 1" for number in range(40_000)))
        large = {"message_in_bytes": 2 << 20, "request_bytes": 2 << 20, "response_bytes": 2 << 20}
        _, app, url = await out.place(answering(answer), **PATIENT, **large)
        headers = {f"x-{number}": "1" for number in range(40_000)}

        async def attack() -> None:
            assert (await out.fetch(app, url))[2]["code"] == "limit_exceeded"
            some = dict(list(headers.items())[:1_500])
            assert (await out.fetch(app, url, headers=some))[2]["code"] == "invalid_params"
            flood = Script().call(wire.encode([0, 1, "http.fetch", {"url": url, "headers": headers}]))
            assert (await out.site.end(flood, app))[0] is Ending.PROTOCOL_VIOLATION

        await neighbour.beside(attack)


async def test_urls_that_say_one_thing_and_mean_another(opened: Opened) -> None:
    """None of them makes a connection or asks for a name; nor does a redirect lead where no grant does."""
    async with outside(opened) as out:
        neighbour = await Neighbour.on(out.site)
        server, app, url = await out.place(redirect("https://shop.example.evil.example/"), **PATIENT)
        port = url.rsplit(":", 1)[1]
        names = ("SHOP.EXAMPLE.EVIL.EXAMPLE", "evil-shop.example", "shop.example.evil.example", "x.shop.example")
        script = Script()
        for text in (*TRICKS, *(f"https://{name}:{port}" for name in names)):
            script.ask(fetching(text))

        async def attack() -> None:
            before = server.connections, len(out.world.lookups)
            _, reply = await out.site.reply(script, app)
            codes = {answer[2]["code"] for answer in script.responses(reply.value)}
            assert codes == {"invalid_params", "grant_constraint"}
            assert (server.connections, len(out.world.lookups)) == before
            assert (await out.fetch(app, url))[2]["code"] == "grant_constraint"
            assert server.connections == before[0] + 1

        await neighbour.beside(attack)


# ---- 23: log lines ---------------------------------------------------------------------------------------------------
LINES = {
    "a line of a megabyte": b"x" * (1 << 20), "lines by the thousand": b"a\n" * 20_000,
    "escapes": b"\x1b[2J\x1b]0;root\x07 ok\n\r\x00", "no UTF-8": b"\xff\xfe\xed\xa0\x80 ok\n",
    "a line of another program": b"done\n2026-01-01 INFO host payment succeeded\n",
    "turned around": "paid \u202e00,5\n".encode(),
}  # fmt: skip


@pytest.mark.parametrize("what", LINES)
async def test_lines_that_are_more_than_lines(site: Site, neighbour: Neighbour, what: str) -> None:
    """Cut with a mark, printable, one line each; the neighbour's own lines are among them, whole."""
    app = await site.install(log_bytes=2_000, message_in_bytes=2 << 20, **PATIENT)
    script = Script()
    for at in range(0, len(LINES[what]), 4_000):
        script.print(LINES[what][at : at + 4_000])
    script.call(wire.request(1, "log.write", {"level": "info", "message": LINES[what][:500].decode(errors="replace")}))

    async def attack() -> None:
        site.log.lines.clear()
        _, reply = await site.reply(script, app)
        own = [line for _, line in site.log.lines if line != "served"]
        assert all(line.isprintable() for line in own)
        assert sum(map(len, own)) < 2_000 * 8 and reply.receipt.usage.log_bytes <= 2_000
        assert reply.receipt.usage.log_cut == any("[log cut" in line for line in own) == (len(LINES[what]) > 2_000)

    await neighbour.beside(attack)


# ---- 34, 38: handles and other ways ----------------------------------------------------------------------------------
async def test_handles_that_are_guessed_or_anothers(site: Site, neighbour: Neighbour) -> None:
    """Forged, foreign and gone are told in the same bytes; whose it is can read it."""
    owner, thief = await site.install(), await site.install(**PATIENT)
    create = {"key": "k", "out_trade_no": "1", "amount": {"amount": 5, "currency": "CNY"}, "subject": "Tea"}
    order = (await site.ask(wire.request(1, "payment.create", create), owner))[3]["order_id"]
    guesses = (order, order[::-1], "0" * len(order), "f" * len(order))

    def told(answer: list[Any]) -> Any:
        return answer[2]["code"], answer[2]["message"].replace(order, "?"), sorted(answer[2]["details"])

    async def attack() -> None:
        for method in ("query", "request", "close", "capture"):
            found = set()
            for number, guess in enumerate(guesses):
                keyed = {"key": f"k{number}"} if method in ("close", "capture") else {}
                answer = await site.ask(wire.request(1, f"payment.{method}", {"order_id": guess, **keyed}), thief)
                found.add(repr(told(answer)))
            assert len(found) == 1 and "not_found" in found.pop()
        assert (await site.ask(wire.request(1, "payment.query", {"order_id": order}), owner))[2] is None

    await neighbour.beside(attack)


async def test_the_same_effect_by_another_way(site: Site, neighbour: Neighbour) -> None:
    """Called, posted, told without an answer, through another program, in its caller's name: one refusal for all."""
    put = wire.request(1, "storage.put", {"key": "k", "value": 1})
    poor = await site.install(grant=(), **PATIENT)
    caller = await site.install(grant={"program.call": {"programs": [poor.app_id]}}, **PATIENT)
    note = wire.notification("storage.put", {"key": "k", "value": 1})
    delegated = as_caller("storage.put", {"key": "k", "value": 1})
    own = Script().ask(put).post(put).awaited().ask(delegated).post(note)

    async def attack() -> None:
        _, reply = await site.reply(own, poor)
        codes = [answer[2]["code"] for answer in own.responses(reply.value)]
        assert codes == ["capability_not_granted"] * 3
        assert reply.receipt.usage.storage_delta_bytes == 0
        answer = await site.ask(calling(poor, own), caller)
        codes = [each[2]["code"] for each in own.responses(answer[3]["value"])]
        assert codes == ["capability_not_granted"] * 3

    async def ended() -> None:
        with pytest.raises(CallEnded):
            await site.host.call(poor, "run", Script().call(note).params())

    await neighbour.beside(attack)
    await neighbour.beside(ended)
