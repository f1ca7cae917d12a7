"""What can happen, and how often: programs' requests, honest and hostile, users, the clock, the operator, the wire.

Everything is drawn from one `random.Random`, so that a seed is a whole run. Nothing here knows what should come of it.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.simulator.model import Model
from tests.simulator.order import DAY, HOUR, SECOND, Order
from tests.simulator.valid import SCHEMA

APPS = ("shop", "taxi", "clinic")
USERS = ("alice", "bob", "carol", "shop")
"""One of them is called as a program is: what is whose must not be found by name alone."""
CURRENCIES = ("CNY", "JPY", "KWD")
WEIGHTS: Mapping[str, int] = {
    "create": 150, "request": 130, "yes": 130, "no": 25, "capture": 60, "close": 30, "refund": 90, "query": 60,
    "refund_query": 20, "again": 80, "later": 25, "hostile": 90, "wait": 12, "cancel": 6, "clock": 45, "sweep": 25,
    "deposit": 45, "pay_out": 4, "fees": 3, "limits": 3, "narrow": 4, "grant": 12, "revoke": 2, "uninstall": 1,
    "bad_token": 4, "restart": 6,
}  # fmt: skip
"""Operation → how often among so many."""

_NUMBERS = (-1, 0, 10**12, 10**12 + 1, 2**63 - 1, 2**63, 2**64 - 1, 1.0, 0.5, True, False, "5", None, [], {}, b"5")
_TEXTS = (
    "", "x" * 64, "x" * 65, "x" * 5000, "tab\t", "line\n", "\u202eevil", "a\u200bb", "\x00", "\U000e0041", 5, None,
    True, [], b"tea",
)  # fmt: skip
_CURRENCIES = ("EUR\n", "eur", "ЕUR", "EU", "EURO", "XXX", "XAU", "", "EUR ", "CN\u0059\u0301", 978, None, b"EUR")
_IDS = ("", "0" * 32, "x" * 64, "x" * 65, "'; DROP TABLE orders; --", "%", "../../x", 7, None, "\n")

_JUMPS = (400_000, SECOND, 20 * SECOND, 31 * SECOND, 121 * SECOND, 900 * SECOND, HOUR, DAY)


@dataclass(frozen=True, slots=True)
class Message:
    """One request of a program's, as it goes over the wire."""

    app: str
    user: str
    method: str
    params: Mapping[str, Any]
    interactive: bool = True


class Operations:
    def __init__(self, chance: random.Random, model: Model) -> None:
        self.chance = chance
        self.model = model
        self.count = 0
        self.sent: list[Message] = []
        self.names = list(WEIGHTS)
        self.weights = list(WEIGHTS.values())

    def next(self) -> str:
        return self.chance.choices(self.names, self.weights)[0]

    def who(self) -> tuple[str, str]:
        return self.chance.choice(APPS), self.chance.choice(USERS)

    def jump(self) -> int:
        """How far the clock goes on: mostly a moment, sometimes to the very edge of something."""
        kind = self.chance.random()
        if kind < 0.25 and (edge := self.edge()) is not None:
            return max(0, edge - self.model.now + self.chance.choice((-1, 0, 0, 1)))
        return self.chance.choices(_JUMPS, (8, 8, 8, 6, 4, 2, 1, 1))[0]

    def edge(self) -> int | None:
        order = self.order()
        if order is None:
            return None
        times = (
            order.expires,
            order.prompt_until,
            order.hold_until,
            order.created + HOUR,
            order.paid_at and order.paid_at + DAY,
            order.captured_at and order.captured_at + 90 * DAY * (self.chance.random() < 0.05),
        )
        return max(self.chance.choice(times), self.model.now)

    def order(self, *statuses: str) -> Order | None:
        """One of the last orders, rather one in such a state."""
        recent = list(self.model.numbers.values())[-60:]
        wanted = [order for order in recent if order.status in statuses] or recent
        return self.chance.choice(wanted) if wanted else None

    def key(self) -> str:
        self.count += 1
        return f"k{self.count if self.chance.random() < 0.93 else self.chance.randrange(1, self.count + 1)}"

    # ---- honest requests -----------------------------------------------------------------------------------------
    def create(self) -> Message:
        app, user = self.who()
        number = self.chance.randrange(1, 40) if self.chance.random() < 0.1 else self.count + 1000
        params: dict[str, Any] = {
            "key": self.key(),
            "out_trade_no": f"n{number}",
            "amount": {"amount": self.amount(), "currency": self.chance.choice(CURRENCIES)},
            "subject": self.chance.choice(("Tea", "Fruit basket")),
        }
        if self.chance.random() < 0.5:
            params["capture"] = self.chance.choice(("manual", "manual", "auto"))
        if self.chance.random() < 0.3:
            params["ttl_s"] = self.chance.choice((60, 120, 900, 86_400))
        return Message(app, user, "payment.create", params)

    def amount(self) -> int:
        return self.chance.choice((1, 2, 3, 33, 50, 99, 100, 101, self.chance.randrange(1, 1200)))

    def request(self, wait_ms: int = 0) -> Message:
        order = self.order("pending")
        message = self.about(order, "payment.request", {"wait_ms": wait_ms} if wait_ms else {})
        if self.chance.random() < 0.03:
            return Message(message.app, message.user, message.method, message.params, interactive=False)
        return message

    def about(self, order: Order | None, method: str, params: dict[str, Any]) -> Message:
        """A request about an order, mostly of the program and user whose it is."""
        app, user = self.who() if order is None or self.chance.random() < 0.03 else (order.app, order.user)
        return Message(app, user, method, {"order_id": order.id if order else "0" * 32, **params})

    def query(self) -> Message:
        order = self.order()
        if order is not None and self.chance.random() < 0.4:
            return Message(order.app, self.chance.choice((order.user, "bob")), "payment.query",
                           {"out_trade_no": order.number})  # fmt: skip
        return self.about(order, "payment.query", {})

    def capture(self) -> Message:
        order = self.order("authorized")
        most = order.amount if order else 10
        amounts = ({}, {"amount": self.chance.randint(1, most)}, {"amount": most}, {"amount": most + 1})
        return self.about(order, "payment.capture", {"key": self.key(), **self.chance.choice(amounts)})

    def close(self) -> Message:
        order = self.order("pending", "confirming", "authorized")
        return self.about(order, "payment.close", {"key": self.key()})

    def refund(self) -> Message:
        order = self.order("succeeded")
        left = order.captured - order.refunded if order else 1
        amount = self.chance.choice((1, left, left + 1, left // 2, left // 7, self.amount()))
        params = {
            "key": self.key(),
            "out_request_no": f"r{self.chance.randrange(1, 9)}",
            "amount": max(1, amount),
            "reason": self.chance.choice(("bad apple", "late")),
        }
        return self.about(order, "payment.refund", params)

    def refund_query(self) -> Message:
        return self.about(
            self.order("succeeded"), "payment.refund_query", {"out_request_no": f"r{self.chance.randrange(1, 9)}"}
        )

    # ---- hostile ones --------------------------------------------------------------------------------------------
    def hostile(self) -> Message:
        """A valid request with one thing wrong, or one that is another's."""
        make = self.chance.choice((self.create, self.request, self.query, self.capture, self.close, self.refund))
        message = make()
        params = {**message.params}
        kind = self.chance.randrange(6)
        if kind == 0:
            params[self.chance.choice(("payee", "user", "currency", "app_id", "status", ""))] = "alice"
        elif kind == 1:
            params.pop(self.chance.choice(list(params)))
        elif kind == 2 and self.sent:
            return self.of_another(self.chance.choice(self.sent))
        else:
            self.spoil(params, self.chance.choice(list(params)))
        return Message(message.app, message.user, message.method, params, message.interactive)

    def spoil(self, params: dict[str, Any], name: str) -> None:
        pick = self.chance.choice
        if name in ("ttl_s", "wait_ms") or (name == "amount" and type(params[name]) is int):
            params[name] = pick(_NUMBERS)
        elif name == "amount" and type(params[name]) is dict:
            which, wrong = pick((("amount", _NUMBERS), ("currency", _CURRENCIES)))
            params[name] = {**params[name], which: pick(wrong)}
        elif name == "order_id":
            params[name] = pick(_IDS)
        else:
            params[name] = pick(_TEXTS)

    def of_another(self, sent: Message) -> Message:
        """Somebody else's message word for word, or its key with other content."""
        app, user = self.who()
        if self.chance.random() < 0.5:
            return Message(app, user, sent.method, sent.params, sent.interactive)
        params = {**sent.params}
        if type(params.get("amount")) is int and params["amount"] < 2**63:
            params["amount"] += 1
        elif "ttl_s" in SCHEMA[sent.method][1]:
            params["ttl_s"] = 901
        return Message(sent.app, sent.user, sent.method, params, sent.interactive)
