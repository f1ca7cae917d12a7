"""Orders that a user confirms and pays at once (docs/protocol.md §8.3, §8.6): create, request, query, close."""

from __future__ import annotations

import hashlib
import secrets
from collections import Counter
from dataclasses import dataclass
from typing import Any

from .call import Call
from .wire import Refused

PROMPT_US, EARLY_US = 120_000_000, 500_000
_WHY = {"expired": "expired", "declined": "declined", "no_funds": "insufficient_funds"}


@dataclass(eq=False)
class Order:
    app_id: str
    user: str
    payee: str
    out_trade_no: str
    amount: dict[str, Any]
    subject: str
    expires_us: int
    id: str
    status: str = "pending"
    close_reason: str | None = None
    captured: int = 0
    version: int = 1
    declined: int = 0

    def told(self, *, replayed: bool = False) -> dict[str, Any]:
        return {
            "order_id": self.id, "out_trade_no": self.out_trade_no, "status": self.status,
            "close_reason": self.close_reason, "amount": self.amount, "subject": self.subject,
            "expires_at_ms": self.expires_us // 1000, "replayed": replayed, "capture": "auto",
            "captured": self.captured, "refunded": 0, "hold_expires_at_ms": None, "refundable_until_ms": None,
            "version": self.version,
        }  # fmt: skip

    def to(self, status: str, close_reason: str | None = None) -> None:
        self.status, self.close_reason, self.version = status, close_reason, self.version + 1


@dataclass(eq=False)
class Prompt:
    order: Order
    opened_us: int
    expires_us: int
    id: str
    token: str = ""
    issued_us: int = 0

    def told(self) -> dict[str, Any]:
        order = self.order
        parts = (order.id, str(order.version), str(order.amount["amount"]), order.amount["currency"], order.payee)
        sized = b"".join(len(part.encode()).to_bytes(4, "big") + part.encode() for part in parts)
        shown = {"payee": order.payee, "amount": order.amount, "subject": order.subject,
                 "amount_text": f"{order.amount['amount']} / 100 {order.amount['currency']}"}  # fmt: skip
        return {
            "id": self.id, "kind": "payment", "app_id": order.app_id, "user": order.user, "about": order.id,
            "shown": shown, "digest": hashlib.sha256(b"hostel confirmation 1\0" + sized).digest(),
            "opened_us": self.opened_us, "expires_us": self.expires_us, "token": "", "issued_us": self.issued_us,
        }  # fmt: skip


class Payments:
    def __init__(self) -> None:
        self.orders: dict[str, Order] = {}
        self.prompts: dict[str, Prompt] = {}
        self.posted: Counter[tuple[str, str, str]] = Counter()
        """Kind, owner and currency of an account → what lies in it."""

    def move(self, source: tuple[str, str], target: tuple[str, str], money: dict[str, Any]) -> None:
        self.posted[*source, money["currency"]] -= money["amount"]
        self.posted[*target, money["currency"]] += money["amount"]

    # ---- what a guest asks for ---------------------------------------------------------------------------------------
    def payment_create(
        self, call: Call, key: str, out_trade_no: str, amount: dict[str, Any], subject: str, ttl_s: int, capture: str
    ) -> Any:
        if not call.session["user"]:
            raise Refused("invalid_params", "nobody is there who could pay")
        if not 1 <= len(subject) <= 64 or not amount["currency"].isascii() or not amount["currency"].isupper():
            raise Refused("invalid_params", "amount.currency or subject is none", parameter="subject")
        self._granted(call, amount)
        if capture == "manual":
            raise Refused("busy", "holds are not built", capture=capture)
        order = Order(
            call.program.app_id, call.session["user"], call.program.payee, out_trade_no, amount, subject,
            call.clock.now_us + ttl_s * 1_000_000, secrets.token_hex(16),
        )  # fmt: skip
        self.orders[order.id] = order
        return order.told()

    @staticmethod
    def _granted(call: Call, amount: dict[str, Any]) -> None:
        for told in (call.program.bundle.permissions["payment"], call.program.grants["payment"]):
            if amount["amount"] > told.get("amount_max", amount["amount"]):
                value = told["amount_max"]
                raise Refused(
                    "grant_constraint", f"at most {value}", constraint="amount_max", value=value, used=amount["amount"]
                )
            if amount["currency"] not in (known := told.get("currencies", [amount["currency"]])):
                raise Refused("grant_constraint", f"only {known}"[:200], constraint="currencies", value=known,
                              used=amount["currency"])  # fmt: skip

    def payment_request(self, call: Call, order_id: str, wait_ms: int) -> Any:
        if not call.session["interactive"] or not call.session["user"]:
            raise Refused("not_interactive", "nobody is looking")
        order = self._own(call, order_id)
        self._still_open(order, "pending", "confirming")
        self._granted(call, order.amount)
        theirs = [
            one for one in self.prompts.values() if (one.order.app_id, one.order.user) == (order.app_id, order.user)
        ]
        if any(one.order is not order for one in theirs):
            raise Refused("cashier_busy", "another question waits")
        if not theirs:
            now = call.clock.now_us
            prompt = Prompt(order, now, min(now + PROMPT_US, order.expires_us), secrets.token_hex(16))
            self.prompts[prompt.id] = prompt
            order.to("confirming")
        if wait_ms:
            call.ask_person(wait_ms, lambda: self._now(call.clock.now_us) or order.status != "confirming")
        return order.told(replayed=bool(theirs))

    def payment_query(self, call: Call, order_id: str | None, out_trade_no: str | None) -> Any:
        if (order_id is None) == (out_trade_no is None):
            raise Refused("invalid_params", "one of order_id and out_trade_no", parameter="order_id")
        if order_id is None:
            mine = [one.id for one in self.orders.values() if one.out_trade_no == out_trade_no]
            order_id = mine[-1] if mine else ""
        return self._own(call, order_id).told()

    def payment_close(self, call: Call, key: str, order_id: str) -> Any:
        order = self._own(call, order_id)
        self._still_open(order, "pending", "confirming")
        order.to("closed", "closed")
        self._drop_prompts(order)
        return order.told()

    def _own(self, call: Call, order_id: str) -> Order:
        self._now(call.clock.now_us)
        order = self.orders.get(order_id)
        if order is None or (order.app_id, order.user) != (call.program.app_id, call.session["user"]):
            raise Refused("not_found", "there is no such order")
        return order

    @staticmethod
    def _still_open(order: Order, *states: str) -> None:
        if order.status not in states:
            code = _WHY.get(order.close_reason or "", "invalid_state")
            raise Refused(code, f"the order is {order.status}", status=order.status, close_reason=order.close_reason)

    # ---- time and the cashier ----------------------------------------------------------------------------------------
    def _now(self, now_us: int) -> None:
        """What time does to orders and prompts."""
        for prompt in [one for one in self.prompts.values() if one.expires_us <= now_us < one.order.expires_us]:
            self._no(prompt.order)
        for order in self.orders.values():
            if order.status in ("pending", "confirming") and order.expires_us <= now_us:
                order.to("closed", "expired")
                self._drop_prompts(order)

    def _drop_prompts(self, order: Order) -> None:
        self.prompts = {name: one for name, one in self.prompts.items() if one.order is not order}

    def _no(self, order: Order) -> None:
        order.declined += 1
        order.to(*(("closed", "declined") if order.declined == 3 else ("pending",)))
        self._drop_prompts(order)

    def pending(self, now_us: int, user: str | None) -> list[Prompt]:
        self._now(now_us)
        return [one for one in self.prompts.values() if user in (None, one.order.user)]

    def prompt(self, now_us: int, prompt_id: str) -> Prompt:
        self._now(now_us)
        if prompt_id not in self.prompts:
            raise Refused("prompt_not_found", "no such question waits")
        return self.prompts[prompt_id]

    def issue(self, now_us: int, prompt_id: str) -> dict[str, Any]:
        prompt = self.prompt(now_us, prompt_id)
        prompt.token, prompt.issued_us = secrets.token_urlsafe(32), now_us
        return {**prompt.told(), "token": prompt.token}

    def answer(self, now_us: int, prompt_id: str, token: str, digest: bytes, approved: bool) -> str:
        prompt = self.prompt(now_us, prompt_id)
        if not prompt.token or not secrets.compare_digest(token.encode(), prompt.token.encode()):
            raise Refused("token_refused", "this is not the token that was issued last")
        if digest != prompt.told()["digest"]:
            raise Refused("token_refused", "this is not what was shown")
        if now_us < prompt.issued_us + EARLY_US:
            raise Refused("answer_early", "nobody has read it yet", (prompt.issued_us + EARLY_US - now_us) // 1000)
        order = prompt.order
        if not approved:
            self._no(order)
            return "declined"
        wallet = ("wallet", order.user)
        if self.posted[*wallet, order.amount["currency"]] < order.amount["amount"]:
            order.to("closed", "no_funds")
        else:
            self.move(wallet, ("merchant", order.app_id), order.amount)
            order.captured = order.amount["amount"]
            order.to("succeeded")
        self._drop_prompts(order)
        return "approved"
