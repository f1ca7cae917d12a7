"""A client against a real host: the same names give the same results and the same errors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from host_api.erasure.user import BalanceLeft
from host_api.errors import ApiError, ErrorCode
from host_api.ledger import AccountKind, AccountName
from host_api.money import Money
from host_api.payment.fees import FeeTerms
from host_api.prompts.prompt import Answer, PromptError
from runtime import Host, HostSettings, wire
from runtime.client import Client
from runtime.control import money
from runtime.daemon import control
from runtime.daemon.control import ControlServer, ControlSettings
from runtime.errors import CallEnded, ConnectionLost, Ending, HostelError, NotInstalled, UsageError
from tests.hostile.guests import MEMORY, Script, bundle, module, scripted
from tests.runtime.daemon.control.conftest import until

APP = "org.example.guest"
SPIN = module("(loop $on (br $on)) (unreachable)")
SLEEP = wire.request(1, "session.sleep", {"ms": 60_000})


class Pair:
    """One host, and a client of it."""

    def __init__(self, host: Host, client: Client, server: ControlServer) -> None:
        self.host, self.client, self.server = host, client, server

    async def both(self, ask: Callable[[Any], Any]) -> tuple[Any, Any]:
        """What each of them gives or raises."""
        return await outcome(ask, self.host), await outcome(ask, self.client)


async def outcome(ask: Callable[[Any], Any], side: Any) -> Any:
    try:
        given = ask(side)
        return await given if isinstance(given, Awaitable) else given
    except (HostelError, ApiError, PromptError, BalanceLeft, ValueError) as error:
        return error


@asynccontextmanager
async def opened(path: Path, state: Path | None = None, **settings: Any) -> AsyncIterator[Pair]:
    chosen = HostSettings(slots=16, allow_unsigned=True, **settings)
    async with Host.open(state, settings=chosen) as host, trio.open_nursery() as nursery:
        server = await nursery.start(partial(control.serve, host, ControlSettings(socket=path)))
        async with Client.connect(path) as client:
            yield Pair(host, client, server)
        nursery.cancel_scope.cancel()


@pytest.fixture
async def pair(tmp_path: Path, artifacts: Path) -> AsyncIterator[Pair]:
    async with opened(tmp_path / "hostel.sock", tmp_path / "state", cache_dir=artifacts) as made:
        yield made


# ---- calls -----------------------------------------------------------------------------------------------------------
ENDINGS: dict[str, Callable[[], tuple[bytes, dict[str, Any], dict[str, int]]]] = {
    "completed": lambda: (scripted(), Script().step("sched_yield").params(), {}),
    "failed": lambda: (module(alloc="(i32.const 0)"), {}, {}),
    "exited": lambda: (scripted(), Script().step("proc_exit", 7).params(), {}),
    "trapped": lambda: (scripted(), Script().step("load", MEMORY).params(), {}),
    "cpu_exceeded": lambda: (SPIN, {}, {"cpu_us": 5_000}),
    "deadline_exceeded": lambda: (scripted(), Script().ask(SLEEP).params(), {"wall_ms": 50}),
    "protocol_violation": lambda: (scripted(), Script().ask(b"\xc1").params(), {}),
}
MEASURED = {"cpu_us", "wall_us", "call_id"}
"""Of a receipt: never twice the same."""


def told(result: Any) -> Any:
    """All there is to see of a result or an error, without what is measured."""
    receipt = getattr(result, "receipt", None)
    fields = dict(vars(result)) if isinstance(result, Exception) else {"value": result.value}
    fields.pop("receipt", None)
    flat = None if receipt is None else {k: v for k, v in receipt.as_dict().items() if k not in MEASURED}
    return type(result), fields, flat


@pytest.mark.parametrize("ending", ENDINGS)
async def test_every_ending_is_the_same_from_outside(pair: Pair, ending: str) -> None:
    wasm, params, limits = ENDINGS[ending]()
    await pair.client.install(bundle(wasm, APP), grant=["storage"], limits=limits)
    here, there = await pair.both(lambda side: side.call(APP, "run", params, user="alice"))
    if ending in ("cpu_exceeded", "deadline_exceeded"):  # what was used when it was stopped is measured too
        for error in (here, there):
            error.details.pop("used", None)
            error.args, error.message = (), ""
    assert told(here) == told(there)
    assert (here.receipt.ending if ending == "completed" else here.ending) == ending


async def test_a_call_is_cancelled_with_its_scope(pair: Pair) -> None:
    await pair.client.install(bundle(scripted(), APP))
    with trio.move_on_after(0.1) as scope:
        await pair.client.call(APP, "run", Script().ask(SLEEP).params())
    assert scope.cancelled_caught
    await until(lambda: not pair.host.statistics().calls_in_flight)
    assert await pair.client.ping() > 0


async def test_many_calls_at_once(pair: Pair) -> None:
    await pair.client.install(bundle(scripted(), APP))
    params = Script().step("sched_yield").params()
    replies = []

    async def one() -> None:
        replies.append(await pair.client.call(APP, "run", params))

    async with trio.open_nursery() as nursery:
        for _ in range(40):
            nursery.start_soon(one)
    assert {reply.receipt.ending for reply in replies} == {Ending.COMPLETED}
    assert len({reply.receipt.call_id for reply in replies}) == 40


async def test_a_traceparent_becomes_the_programs_trace(pair: Pair) -> None:
    await pair.client.install(bundle(scripted(), APP))
    script = Script().ask(wire.request(1, "session.info", {}))
    reply = await pair.client.call(APP, "run", script.params(), trace_id="mine")
    assert script.responses(reply.value)[0][3]["trace_id"] == "mine"


# ---- refusals --------------------------------------------------------------------------------------------------------
WRONG: dict[str, Callable[[Any], Any]] = {
    "not installed": lambda side: side.call("org.example.nobody", "m"),
    "uninstall what is not there": lambda side: side.uninstall("org.example.nobody"),
    "a method without a name": lambda side: side.call(APP, ""),
    "an unknown capability": lambda side: side.revoke(APP, "everything"),
    "an unknown grant": lambda side: side.install(bundle(scripted(), "org.example.b"), grant=["everything"]),
    "an unknown limit": lambda side: side.install(bundle(scripted(), "org.example.b"), limits={"beds": 1}),
    "no prompt": lambda side: side.prompts.issue("nothing"),
    "no field": lambda side: side.users.put("alice", {"colour": "red"}),
    "money left": lambda side: side.erase_user("alice"),
    "nobody": lambda side: side.erase_user(""),
    "no order": lambda side: side.order(APP, "none"),
    "no developer": lambda side: side.developers.get("nobody"),
    "no release": lambda side: side.releases.show(APP, 77),
    "a step that cannot be": lambda side: side.releases.rollback(APP),
    "no trust": lambda side: side.developers.set_trust("nobody", "blind"),
}


@pytest.mark.parametrize("ask", WRONG.values(), ids=WRONG.keys())
async def test_refusals_are_the_same_errors(pair: Pair, ask: Callable[[Any], Any]) -> None:
    await pair.host.install(bundle(scripted(), APP))
    await pair.host.deposit("alice", Money(amount=5, currency="CNY"), reference="r")
    here, there = await pair.both(ask)
    assert isinstance(here, Exception)
    assert (type(here), vars(here), str(here)) == (type(there), vars(there), str(there))


# ---- the rest --------------------------------------------------------------------------------------------------------
async def test_programs_money_and_people(pair: Pair) -> None:
    client, host = pair.client, pair.host
    app = await client.install(
        bundle(scripted(), APP), grant={"storage": {}}, limits={"cpu_us": 9_000}, config={"a": 1}
    )
    assert app.app_id == APP and (await client.programs())[0].limits == {"cpu_us": 9_000}
    assert await client.program(app) == host.program(app)
    assert (await client.set_limits(app, {"cpu_us": 8_000})).limits == {"cpu_us": 8_000}
    assert (await client.set_grants(app, ["storage"])).grants.keys() == {"storage"}
    await client.revoke(app, "storage")
    assert not (await client.program(app)).grants
    await client.set_fees(app, FeeTerms(bps=60))
    money = Money(amount=500, currency="CNY")
    assert await client.deposit("alice", money, reference="one") and not await client.deposit(
        "alice", money, reference="one"
    )
    wallet = AccountName(kind=AccountKind.WALLET, owner="alice", currency="CNY")
    assert await client.balance(wallet) == host.balance(wallet)
    assert await client.balances() == host.balances() and await client.balances("alice") == host.balances("alice")
    await client.users.put("alice", {"nickname": "Lin"})
    assert await client.users.fields("alice", ["nickname"]) == {"nickname": "Lin"}
    assert await client.consents.of_user("alice") == [] and await client.consents.revoke(APP, "alice") == 0
    assert await client.notices.pending() == [] and not await client.notices.take("none")
    exported = await client.export_user("alice")
    assert exported["fields"] == {"nickname": "Lin"} and exported["balances"][0]["posted"] == 500
    with pytest.raises(BalanceLeft) as left:
        await client.erase_user("alice")
    assert left.value.balances == (money,)
    erased = await client.erase_user("alice", forfeit_balance=True)
    assert erased.forfeited == (money,)
    await client.uninstall(app, erase=True)
    with pytest.raises(NotInstalled):
        await client.call(app, "run")


async def test_proof(pair: Pair) -> None:
    client, host = pair.client, pair.host
    await client.deposit("alice", Money(amount=500, currency="CNY"))
    head = await client.audit_head()
    assert head == host.audit_head() and (await client.signed_head()).head == head
    records, last = await client.audit_records(effect="ledger.")
    assert last == head.n and [n for n, _ in host.audit_records()] == list(range(1, last + 1))
    parts: list[str] = []
    assert await client.verify(head, progress=parts.append) == host.verify(head) == []
    assert set(parts) <= {"ledger", "payments", "events", "audit"}
    assert await client.verify(type(head)(n=head.n, hash=bytes(32))) == host.verify(
        type(head)(n=head.n, hash=bytes(32))
    )
    assert await client.statistics() == host.statistics()
    assert records == [] or records


async def test_a_prompt_is_answered_through_the_socket(pair: Pair) -> None:
    client = pair.client
    made = bundle(scripted(), APP)
    await client.install(made, grant=["payment"])
    await client.deposit("alice", Money(amount=500, currency="CNY"))
    order = {"key": "k", "out_trade_no": "t1", "subject": "apples", "amount": {"amount": 250, "currency": "CNY"}}
    script = Script().ask(wire.request(1, "payment.create", order))
    reply = await client.call(APP, "run", script.params(), user="alice")
    order_id = script.responses(reply.value)[0][3]["order_id"]
    script = Script().ask(wire.request(1, "payment.request", {"order_id": order_id, "wait_ms": 0}))
    await client.call(APP, "run", script.params(), user="alice")
    (waiting,) = await client.prompts.pending("alice")
    assert await client.prompts.find(waiting.id) == waiting and await client.prompts.count() == 1
    prompt = await client.prompts.issue(waiting.id)
    with pytest.raises(PromptError) as refused:
        await client.prompts.answer(prompt.id, "wrong", prompt.digest, True)
    assert refused.value.code in ("token_refused", "answer_early")
    await trio.sleep(max(0, prompt.answerable_us - await client.ping()) / 1e6)
    assert await client.prompts.answer(prompt.id, prompt.token, prompt.digest, True) is Answer.APPROVED
    assert (await client.order(APP, order_id)).status == "succeeded"
    with pytest.raises(ApiError) as nothing:
        await client.order(APP, "none")
    assert nothing.value.code is ErrorCode.NOT_FOUND


# ---- connections -----------------------------------------------------------------------------------------------------
async def test_nobody_there(tmp_path: Path) -> None:
    with pytest.raises(ConnectionLost, match="hostel serve") as lost:
        async with Client.connect(tmp_path / "none.sock"):
            pass
    assert (lost.value.code, lost.value.details["outcome"]) == ("unreachable", "none")
    with pytest.raises(UsageError, match="no address"):
        async with Client.connect("somewhere"):
            pass
    with pytest.raises(UsageError, match="107 bytes at most"):
        async with Client.connect(tmp_path / ("x" * 120) / "none.sock"):
            pass
    with pytest.raises(UsageError, match=r"none\.pem is no PEM file"):
        async with Client.connect("127.0.0.1:1", token="t", tls=tmp_path / "none.pem"):
            pass


@pytest.mark.parametrize(("method", "known"), [("run", "unknown"), ("audit_head", "none")])
async def test_a_connection_that_breaks_says_what_is_known(pair: Pair, method: str, known: str) -> None:
    client, found = pair.client, []
    await client.install(bundle(scripted(), APP))

    async def ask() -> None:
        with pytest.raises(ConnectionLost) as lost:
            if method == "run":
                await client.call(APP, "run", Script().ask(SLEEP).params())
            else:
                await trio.sleep(0.05)
                await client.audit_head()
        found.append(lost.value.details["outcome"])

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        if method == "run":
            await until(lambda: pair.host.statistics().calls_in_flight == 1)
        for peer in list(pair.server.peers):
            peer.close()
    assert found == [known]


async def test_a_connection_that_ends_while_a_request_is_half_sent(pair: Pair) -> None:
    """Its reader learns of it before its writer goes on, whose socket is closed then."""
    link = pair.client._link
    link._send(bytes(32 << 20))
    link.lose("over")
    await trio.testing.wait_all_tasks_blocked()
    with pytest.raises(ConnectionLost, match="over") as lost:
        await pair.client.ping()
    assert lost.value.details["outcome"] == "none"


async def test_what_cannot_be_sent_is_a_mistake_of_the_caller(pair: Pair) -> None:
    await pair.host.install(bundle(scripted(), APP))
    here, there = await pair.both(lambda side: side.call(APP, "run", {"a": object()}))
    assert type(here) is type(there) is UsageError
    assert isinstance(await outcome(lambda side: side.call(APP, "run", {"a": 2**70}), pair.client), UsageError)
    assert not isinstance(here, CallEnded)


async def test_a_deposit_has_one_name_to_be_booked_under(tmp_path: Path) -> None:
    """With two of them, one that is sent again under either would be booked twice."""
    async with opened(tmp_path / "hostel.sock") as pair:
        asked = money.Deposit(user="alice", money=Money(amount=5, currency="EUR"), reference="a", key="b")
        with pytest.raises(UsageError) as refused:
            await pair.client._link.request(money.DEPOSIT, asked)
        assert refused.value.code == "invalid_params"
        assert pair.host.balances("alice") == []


def test_without_trio_the_client_for_threads_is_named(tmp_path: Path) -> None:
    async def connect() -> None:
        async with Client.connect(tmp_path / "hostel.sock"):
            pass

    with pytest.raises(UsageError, match=r"runtime\.blocking\.BlockingClient"):
        asyncio.run(connect())
