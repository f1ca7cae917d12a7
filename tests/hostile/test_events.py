"""Events as real guests meet them: woken, acknowledging or not, and never seeing what is another user's.

The guest relays: a call carries one request, which it sends to the host, and answers with the response. A notification
it logs as it came, and then reacts as a test says: it acknowledges, does nothing, traps, sleeps.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
import trio.testing

from host_api import audit
from host_api.events import outbox
from host_api.events.delivery import LADDER_US, PUSHES_MAX
from host_api.money import Money
from runtime import App, Host, HostSettings, ScriptedCashier, wire
from runtime.pushes import patience_s
from runtime.testing import LogLines, VirtualClock
from tests.hostile.conftest import Opened, Site
from tests.hostile.guests import bundle, module

SEQ_AT = 20
"""Of a notification [2, "hostel.event", {"seq": …: where the number begins."""
ACK_HEAD = b"\x94\x00\x07\xaaevents.ack\x81\xa3seq"
ROOM = 0x2_0000
HEAD = b"\x94\x01\x01\xc0\xc6"
"""Of the answer [1, 1, nil, bytes of a length in 32 bits]."""
INFO = wire.request(9, "session.info", {})
CREATE = {"key": "k", "out_trade_no": "no-1", "amount": {"amount": 5, "currency": "CNY"}, "subject": "Tea"}
WAIT_S = 20


def text(content: bytes) -> str:
    return "".join(f"\\{byte:02x}" for byte in content)


ACK = f"""
  (memory.copy (i32.const {0x800 + len(ACK_HEAD)})
    (i32.add (local.get $pointer) (i32.const {SEQ_AT})) (i32.const 9))
  (drop (call $call (i32.const 0x800) (i32.add (i32.const {len(ACK_HEAD)})
    (call $int_size (i32.load8_u offset={SEQ_AT} (local.get $pointer)))) (i32.const {ROOM}) (i32.const 4096)))"""
TELL_SESSION = f"""
  (call $log (i32.const {ROOM}) (call $call (i32.const 0xc00) (i32.const {len(INFO)})
    (i32.const {ROOM}) (i32.const 4096)))"""
SLEEP = wire.request(9, "session.sleep", {"ms": 60_000})


def relay(reaction: str = ACK) -> bytes:
    """The guest. `reaction`: what it does with a notification it has logged, as WAT."""
    more = f"""
      (data (i32.const 0x800) "{text(ACK_HEAD)}") (data (i32.const 0xc00) "{text(INFO)}")
      (data (i32.const 0xd00) "{text(SLEEP)}") (data (i32.const {ROOM}) "{text(HEAD)}")
      (func $int_size (param $first i32) (result i32)
        (if (result i32) (i32.lt_u (local.get $first) (i32.const 0x80)) (then (i32.const 1))
          (else (i32.add (i32.const 1) (i32.shl (i32.const 1) (i32.sub (local.get $first) (i32.const 0xcc)))))))
      (func $log (param $from i32) (param $size i32)
        (i32.store8 (i32.add (local.get $from) (local.get $size)) (i32.const 10))
        (i32.store (i32.const 0xe00) (local.get $from))
        (i32.store (i32.const 0xe04) (i32.add (local.get $size) (i32.const 1)))
        (drop (call $fd_write (i32.const 1) (i32.const 0xe00) (i32.const 1) (i32.const 0xe08))))
      (func $relay (param $request i32) (param $size i32) (result i64) (local $n i32)
        (local.set $n (call $call (local.get $request) (local.get $size)
          (i32.const {ROOM + 9}) (i32.const 0x6_0000)))
        (i32.store8 (i32.const {ROOM + 5}) (i32.shr_u (local.get $n) (i32.const 24)))
        (i32.store8 (i32.const {ROOM + 6}) (i32.shr_u (local.get $n) (i32.const 16)))
        (i32.store8 (i32.const {ROOM + 7}) (i32.shr_u (local.get $n) (i32.const 8)))
        (i32.store8 (i32.const {ROOM + 8}) (local.get $n))
        (i64.or (i64.const {ROOM << 32}) (i64.extend_i32_u (i32.add (local.get $n) (i32.const 9)))))"""
    handle = f"""
      (if (i32.eq (i32.load8_u offset=1 (local.get $pointer)) (i32.const 2))
        (then (call $log (local.get $pointer) (local.get $size)) {reaction} (return (i64.const 0))))
      ;; [0, 1, "run", {{"r": a bin of 8 bits of length
      (call $relay (i32.add (local.get $pointer) (i32.const 12)) (i32.load8_u offset=11 (local.get $pointer)))"""
    return module(handle, alloc="(i32.const 4096)", memory="10", imports=("call", "fd_write"), more=more)


class Shop:
    """A site with one relaying guest on it."""

    def __init__(self, site: Site, app_id: str = "org.example.shop") -> None:
        self.site, self.app_id = site, app_id

    async def install(self, reaction: str = ACK, *, events: bool = True, code: int = 1, **limits: int) -> App:
        made = bundle(relay(reaction), self.app_id, code=code, events=events)
        return await self.site.host.install(made, grant=["payment"], limits=limits)

    async def ask(self, method: str, params: Any, user: str = "alice") -> Any:
        """(error's code, result) of one host call of the guest."""
        request = wire.request(1, method, params)
        assert len(request) < 256
        reply = await self.site.host.call(self.app_id, "run", {"r": request}, user=user)
        _, _, error, result = msgspec.msgpack.decode(reply.value)
        return (error and error["code"]), result

    async def order(self, number: int = 1, user: str = "alice") -> str:
        params = {**CREATE, "key": f"k{number}", "out_trade_no": f"no-{number}"}
        _, created = await self.ask("payment.create", params, user)
        return str(created["order_id"])

    async def publish(self, count: int = 1, stream: str = "o", user: str = "alice", payload: Any = None) -> None:
        def job(tx: Any) -> None:
            for _ in range(count):
                told = payload or {"of": stream}
                outbox.publish(tx, app_id=self.app_id, user=user, stream=stream, topic="test.told", payload=told)

        await self.site.host._store.write(job)

    def rows(self, columns: str = "topic, attempts, acked_us > 0") -> list[Any]:
        statement = f"SELECT {columns} FROM events WHERE app_id = :app_id ORDER BY seq"
        return self.site.host._store.read(lambda tx: tx.execute(statement, {"app_id": self.app_id}))

    def acked(self) -> list[bool]:
        return [bool(acked) for *_, acked in self.rows()]

    def attempts(self) -> int:
        return sum(attempts for _, attempts, _ in self.rows())

    def idle(self) -> bool:
        return not self.site.host.statistics().calls_in_flight

    def lines(self) -> list[str]:
        return [line for _, line in self.site.log.lines]


async def until(condition: Callable[[], bool]) -> None:
    with trio.fail_after(WAIT_S):
        while not condition():
            await trio.lowlevel.checkpoint()


@pytest.fixture(params=["memory", "file"])
async def shop(request: pytest.FixtureRequest, tmp_path: Path, opened: Opened) -> AsyncIterator[Shop]:
    async with opened(tmp_path / "state" if request.param == "file" else None) as site:
        made = Shop(site)
        yield made
        await until(made.idle)
        assert site.host.verify() == []


# ---- woken -----------------------------------------------------------------------------------------------------------
async def test_every_state_of_a_payment_is_told_in_order_and_acknowledged_by_the_guest(shop: Shop) -> None:
    await shop.install()
    await shop.site.host.deposit("alice", Money(amount=100, currency="CNY"))
    order_id = await shop.order()
    code, paid = await shop.ask("payment.request", {"order_id": order_id, "wait_ms": 60_000})
    assert (code, paid["status"]) == (None, "succeeded")
    await until(lambda: all(shop.acked()) and len(shop.acked()) == 3)
    told = [line for line in shop.lines() if "hostel.event" in line]
    assert len(told) == 3
    for line, topic in zip(told, ("payment.pending", "payment.confirming", "payment.succeeded"), strict=True):
        assert topic in line and order_id in line
    assert [attempts for _, attempts, _ in shop.rows()] == [1, 1, 1]


async def test_the_notification_acts_for_the_orders_user_and_is_not_interactive(shop: Shop) -> None:
    await shop.install(TELL_SESSION + ACK)
    await shop.order(user="bob")
    await until(lambda: shop.acked() == [True])  # acknowledged by a session that sees bob's events, and no one else's
    (told,) = [line for line in shop.lines() if "time_zone" in line]
    assert told.partition("interactive")[2].encode()[0] == 0xC2  # false; in the log, the first half of a character


async def test_a_program_that_did_not_ask_for_events_is_never_woken_and_pulls(shop: Shop) -> None:
    await shop.install(events=False)
    order_id = await shop.order()
    await trio.testing.wait_all_tasks_blocked(0.01)
    assert shop.rows() == [("payment.pending", 0, False)]
    _, page = await shop.ask("events.list", {})
    (event,) = page["events"]
    assert (event["topic"], event["stream"], event["acked"], page["more"]) == (
        "payment.pending",
        order_id,
        False,
        False,
    )
    for _ in range(3):
        assert await shop.ask("events.ack", {"seq": event["seq"]}) == (None, {})
    assert shop.rows() == [("payment.pending", 0, True)]


async def test_an_acknowledgement_in_any_later_call_lets_the_stream_go_on(shop: Shop) -> None:
    await shop.install("")
    await shop.publish(2)
    await until(lambda: shop.attempts() == 1)
    await trio.testing.wait_all_tasks_blocked(0.01)
    _, page = await shop.ask("events.list", {})
    await shop.ask("events.ack", {"seq": page["events"][0]["seq"]})
    await until(lambda: [row[1] for row in shop.rows()] == [1, 1])


# ---- guests that do not ----------------------------------------------------------------------------------------------
MISDEEDS = {
    "silent": "",
    "traps": "(unreachable)",
    "spins": "(loop $on (br $on))",
    "answers": "(return (i64.const 0x2000000000005))",
    "violates": "(drop (call $call (i32.const -1) (i32.const 9) (i32.const 0) (i32.const 0)))",
    "acknowledges another": "(i32.store8 offset=20 (local.get $pointer) (i32.const 127))" + ACK,
}


@pytest.mark.parametrize("misdeed", MISDEEDS)
async def test_who_never_acknowledges_is_woken_by_the_ladder_and_then_no_more(
    opened: Opened, tmp_path: Path, misdeed: str
) -> None:
    clock = VirtualClock()
    async with opened(tmp_path / "state", clock=clock) as site:
        shop = Shop(site)
        await shop.install(MISDEEDS[misdeed], cpu_us=2_000)
        await shop.publish()
        await settled(shop)
        assert shop.attempts() == 1
        for pushes, rung_us in enumerate(LADDER_US, start=1):
            clock.advance(us=max(rung_us, patience_s(pushes) * 1_000_000) - 1)
            await settled(shop)
            assert shop.attempts() == pushes
            clock.advance(us=1)
            await settled(shop)
            assert shop.attempts() == pushes + 1
        clock.advance(s=40 * 24 * 3_600)
        await settled(shop)
        assert shop.attempts() == PUSHES_MAX
        assert len([line for line in shop.lines() if "hostel.event" in line]) == PUSHES_MAX
        assert shop.acked() == [False]
        _, page = await shop.ask("events.list", {})
        assert [event["seq"] for event in page["events"]] == [1]
        assert await shop.ask("events.ack", {"seq": 1}) == (None, {})


async def settled(shop: Shop) -> None:
    """Whatever is due now has been pushed."""
    pushes = shop.site.host._pushes
    pushes.wake()
    await trio.testing.wait_all_tasks_blocked()
    await until(lambda: not pushes._under_way and not pushes._looks)
    await until(shop.idle)


async def test_a_guest_that_sleeps_delays_its_own_events_only(shop: Shop) -> None:
    nap = f"(drop (call $call (i32.const 0xd00) (i32.const {len(SLEEP)}) (i32.const {ROOM}) (i32.const 64)))"
    await shop.install(nap)
    for number in range(40):
        await shop.publish(stream=f"{number}")
    await until(lambda: shop.attempts() == 1)
    quick = Shop(shop.site, "org.example.quick")
    await quick.install()
    for number in range(5):
        await quick.publish(stream=f"{number}")
    await until(lambda: quick.acked() == [True] * 5)
    assert shop.attempts() == 1
    await shop.site.host.uninstall(shop.app_id, end_calls=True)


# ---- whose -----------------------------------------------------------------------------------------------------------
async def test_one_users_call_sees_and_acknowledges_nothing_of_another(shop: Shop) -> None:
    await shop.install(events=False)
    await shop.order(1, "alice")
    await shop.order(2, "bob")
    other = Shop(shop.site, "org.example.other")
    await other.install(events=False)
    await other.order(3, "alice")
    seqs = {owner: [row[0] for row in found.rows("seq")] for owner, found in (("shop", shop), ("other", other))}
    alices, bobs = seqs["shop"]
    _, page = await shop.ask("events.list", {}, "alice")
    assert [event["seq"] for event in page["events"]] == [alices]
    for seq in (bobs, seqs["other"][0], 10_000):
        assert await shop.ask("events.ack", {"seq": seq}, "alice") == ("not_found", None)
    assert not any(shop.acked() + other.acked())
    _, page = await shop.ask("events.list", {}, "")
    assert [event["seq"] for event in page["events"]] == [alices, bobs]


async def test_a_page_of_the_longest_events_fits_a_guests_response(shop: Shop) -> None:
    await shop.install(events=False)
    payload = {"x": "y" * (outbox.PAYLOAD_CHARS_MAX - 8)}
    await shop.publish(150, payload=payload)
    seqs: list[int] = []
    more = True
    while more:
        code, page = await shop.ask("events.list", {"after": seqs[-1] if seqs else 0})
        assert code is None
        seqs += [event["seq"] for event in page["events"]]
        more = page["more"]
    assert seqs == [row[0] for row in shop.rows("seq")]


async def test_a_page_over_a_programs_response_limit_is_refused_and_a_shorter_one_is_not(shop: Shop) -> None:
    await shop.install(events=False, response_bytes=1_024)
    await shop.publish(20, payload={"x": "y" * 400})
    assert (await shop.ask("events.list", {}))[0] == "limit_exceeded"
    code, page = await shop.ask("events.list", {"limit": 1})
    assert (code, len(page["events"])) == (None, 1)


# ---- restarts --------------------------------------------------------------------------------------------------------
async def test_what_was_published_before_a_restart_is_pushed_after_it(opened: Opened, tmp_path: Path) -> None:
    async with opened(tmp_path / "state") as site:
        shop = Shop(site)
        await shop.install(events=False)
        await shop.order()
        assert shop.rows() == [("payment.pending", 0, False)]
    async with opened(tmp_path / "state") as site:
        shop = Shop(site)
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert shop.attempts() == 0  # nobody is there to be woken
        await shop.install()
        await until(lambda: shop.rows() == [("payment.pending", 1, True)] and shop.idle())
        assert site.host.verify() == []


async def test_a_push_that_a_restart_cut_off_is_repeated(opened: Opened, tmp_path: Path, artifacts: Path) -> None:
    clock, log = VirtualClock(), LogLines()
    nap = f"(drop (call $call (i32.const 0xd00) (i32.const {len(SLEEP)}) (i32.const {ROOM}) (i32.const 64)))"
    settings = HostSettings(slots=4, allow_unsigned=True, cache_dir=artifacts, drain_s=0)
    async with Host.open(tmp_path / "state", settings=settings, clock=clock, log_sink=log) as host:
        shop = Shop(Site(host, log, ScriptedCashier()))
        await shop.install(nap + ACK)
        await shop.publish()
        await until(lambda: any("hostel.event" in line for line in shop.lines()))
    async with opened(tmp_path / "state", clock=clock) as site:
        shop = Shop(site)
        await shop.install(code=2)
        assert shop.rows() == [("test.told", 1, False)]
        clock.advance(us=LADDER_US[0])
        site.host._pushes.wake()
        await until(lambda: shop.rows() == [("test.told", 2, True)] and shop.idle())


async def test_uninstalled_it_is_not_woken_and_installed_anew_it_is(shop: Shop) -> None:
    await shop.install()
    await shop.site.host.uninstall(shop.app_id)
    await shop.publish()
    await trio.testing.wait_all_tasks_blocked(0.01)
    assert shop.rows() == [("test.told", 0, False)]
    await shop.install(code=2)
    await until(lambda: shop.rows() == [("test.told", 1, True)])


# ---- refusals --------------------------------------------------------------------------------------------------------
async def test_what_a_guest_was_refused_is_counted_into_the_audit(opened: Opened, tmp_path: Path) -> None:
    async with opened(tmp_path / "state") as site:
        shop = Shop(site)
        await shop.install(events=False)
        for _ in range(5):
            assert (await shop.ask("payment.query", {"order_id": "none"}))[0] == "not_found"
        assert (await shop.ask("payment.steal", {}))[0] == "unknown_method"
    async with opened(tmp_path / "state") as site:
        records = [
            msgspec.json.decode(text) for _, text in site.host._store.read(lambda tx: audit.records_after(tx, 0, 100))
        ]
        refused = [
            (record["app_id"], record["method"], record["code"], record["count"])
            for record in records
            if record["effect"] == "host_call.refused"
        ]
        assert sorted(refused) == [
            ("org.example.shop", "", "unknown_method", 1), ("org.example.shop", "payment.query", "not_found", 5),
        ]  # fmt: skip
