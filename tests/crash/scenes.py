"""Every operation that changes money or consent: what must be there before, and the operation itself.

An operation may be done again after it failed anywhere: with the same keys, by the same users, it ends in one and the
same state. Ids are the same each time it is begun.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from host_api.payment.orders import CloseReason
from host_api.store.protocol import Transaction
from runtime.limits import Limits
from runtime.testing import SeededIds
from tests.simulator.world import PAYMENT, World

APP, USER = "shop", "alice"
DAY_S = 24 * 3600
Act = Callable[[World], Awaitable[Any]]


class Ids:
    """As SeededIds, and can be begun anew."""

    def __init__(self) -> None:
        self.begin("before")

    def begin(self, what: str) -> None:
        self._next = SeededIds(sum(what.encode()))

    def __call__(self) -> str:
        return self._next()


@dataclass(frozen=True, slots=True)
class Scene:
    before: Act
    act: Act


def installed(world: World) -> None:
    world.install(APP, Limits(payment_day_amount=5_000), [*PAYMENT, "user.profile"])


async def order(world: World, number: str = "1", **changes: Any) -> str:
    params = {"key": f"create {number}".replace(" ", "-"), "out_trade_no": number, "subject": "Tea", **changes}
    _, made = await world.ask(APP, USER, "payment.create", amount={"amount": 1_000, "currency": "CNY"}, **params)
    return str(made["order_id"])


def named(world: World, number: str = "1") -> str:
    """The id of the order with this number."""
    found = world.store.read(lambda tx: tx.execute("SELECT id FROM orders WHERE out_trade_no = ?", (number,)))
    return str(found[0][0])


async def asked(world: World, number: str = "1", **changes: Any) -> None:
    """A fresh order whose prompt is open, and old enough to be answered."""
    await world.ask(APP, USER, "payment.request", order_id=await order(world, number, **changes))
    world.clock.advance(s=1)


async def rich(world: World) -> None:
    await world.deposit(USER, 3_000)
    await world.set_fees(APP, 250, 3)


def about(method: str, **params: Any) -> Act:
    return lambda world: world.ask(APP, USER, method, order_id=named(world), **params)


def answer(yes: bool) -> Act:
    """Whoever lost the answer still has the prompt on the screen, and says it again."""
    return lambda world: world.decide(APP, USER, yes, shown=world.shown)


def after(*steps: Act) -> Act:
    async def do(world: World) -> None:
        for step in steps:
            await step(world)

    return do


def later(seconds: int) -> Act:
    async def do(world: World) -> None:
        world.clock.advance(s=seconds)

    return do


async def no_steps(world: World) -> None:
    return None


async def swept(world: World) -> None:
    await world.sweep_all(2)


async def consent_asked(world: World) -> None:
    await world.asking.ask(world.session(APP, USER), ["nickname", "avatar"], 0)
    world.clock.advance(s=1)


async def acknowledged(world: World) -> Any:
    return await world.ask(APP, USER, "events.ack", seq=2)


async def declined_twice(world: World) -> None:
    await asked(world)
    for _ in range(2):
        await world.decide(APP, USER, False)
        world.clock.advance(s=200)
        await world.ask(APP, USER, "payment.request", order_id=named(world))
        world.clock.advance(s=1)


def pay(capture: str = "auto", number: str = "1") -> Act:
    return after(lambda world: asked(world, number, capture=capture), answer(True))


PAID, HELD = after(rich, pay()), after(rich, pay("manual"))
SCENES: Mapping[str, Scene] = {
    "deposit": Scene(no_steps, lambda world: world.deposit(USER, 10, reference="once")),
    "create": Scene(rich, order),
    "request": Scene(after(rich, order), about("payment.request")),
    "request again": Scene(after(rich, asked, later(130)), about("payment.request")),
    "confirm": Scene(after(rich, asked), answer(True)),
    "confirm, manual": Scene(after(rich, lambda world: asked(world, capture="manual")), answer(True)),
    "confirm, no funds": Scene(asked, answer(True)),
    "confirm, lapsed hold": Scene(
        after(rich, *(pay("manual", number) for number in "345"), later(7 * DAY_S), asked), answer(True)
    ),
    "decline": Scene(after(rich, asked), answer(False)),
    "decline, the third time": Scene(declined_twice, answer(False)),
    "capture": Scene(HELD, about("payment.capture", key="c")),
    "capture, a part": Scene(HELD, about("payment.capture", key="c", amount=400)),
    "capture, too much": Scene(HELD, about("payment.capture", key="c", amount=1_001)),
    "close": Scene(after(rich, order), about("payment.close", key="x")),
    "close, confirming": Scene(after(rich, asked), about("payment.close", key="x")),
    "close, held": Scene(HELD, about("payment.close", key="x")),
    "refund": Scene(PAID, about("payment.refund", key="r", out_request_no="1", amount=333, reason="late")),
    "refund, too much": Scene(PAID, about("payment.refund", key="r", out_request_no="1", amount=1_001, reason="late")),
    "sweep, expired": Scene(after(rich, order, lambda w: asked(w, "2"), later(DAY_S)), swept),
    "sweep, hold": Scene(after(HELD, later(7 * DAY_S)), swept),
    "sweep, finished": Scene(after(PAID, later(90 * DAY_S)), swept),
    "sweep, prompt": Scene(after(rich, asked, later(130)), swept),
    "uninstall": Scene(
        after(rich, pay("manual", "3"), order, lambda w: asked(w, "2")),
        lambda world: world.stop(APP, CloseReason.UNINSTALLED, at_most=2),
    ),
    "withdraw": Scene(after(rich, asked), lambda world: world.desk.withdraw_program(APP)),
    "consent, yes": Scene(consent_asked, answer(True)),
    "consent, no": Scene(consent_asked, answer(False)),
    "consent, revoked": Scene(after(consent_asked, answer(True)), lambda world: world.consents.revoke(APP, USER)),
    "events, acknowledged": Scene(PAID, acknowledged),
    "erase": Scene(
        after(HELD, consent_asked, answer(True), lambda world: asked(world, "2")),
        lambda world: world.erasure.erase_user(USER, forfeit_balance=True),
    ),
}  # fmt: skip


def dump(tx: Transaction) -> dict[str, list[Any]]:
    """All there is in the store but the time of the last write, which is kept even where a job was undone."""
    tables = tx.execute(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT IN ('schema_migrations', 'host_clock')"
    )
    return {name: tx.execute(f"SELECT * FROM {name} ORDER BY rowid") for (name,) in tables}


def essence(contents: dict[str, list[Any]]) -> Any:
    """Of a dump, what is owed to whom and what was decided; not how it came to that."""
    orders = [(row[0], row[8], row[9], row[11:14]) for row in contents["orders"]]
    return [orders, *(contents[name] for name in ("accounts", "transfers", "refunds", "consents", "confirmations"))]
