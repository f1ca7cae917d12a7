"""What payments do, in plain dicts: the specification once more, by somebody who has not seen the host's code.

Time and ids are given; all else follows. An order's `told` is what its program must be able to read as events.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any

from tests.simulator.order import DAY, HOUR, REFUND_WINDOW, SECOND, Order, Program, shown, shown_refund
from tests.simulator.valid import CURRENCIES, valid

PROMPT_LIFE, HOLD, KEYS_KEPT = 120 * SECOND, 7 * DAY, 7 * DAY
KEYS_AN_HOUR, REFUNDS_MOST, ASKS_MOST = 1_000, 100, 20
PROMPTS_AT_ONCE, PACE = 20, 180 * SECOND
DEFAULTS = {"payment.create": {"ttl_s": 900, "capture": "auto"}}
_ENDED = {"limit_exceeded", "invalid_state", "expired", "declined", "insufficient_funds"}
KEPT = {
    "payment.capture": _ENDED,
    "payment.refund": _ENDED
    | {"order_mismatch", "refund_exceeds_captured", "refund_window_over", "merchant_funds_low"},
}
"""Refusals that are the outcome of their key."""
UNPAID = ("pending", "confirming", "authorized")


class No(Exception):
    """The answer is an error of this code; where the order's state is why, with that state."""

    def __init__(self, code: str, order: Order | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.state = None if order is None else (order.status, order.reason)


class Model:
    def __init__(self, programs: dict[str, Program], now: int) -> None:
        self.programs = programs
        self.now = now
        self.orders: dict[str, Order] = {}
        self.numbers: dict[tuple[str, str], Order] = {}
        self.keys: dict[tuple[str, ...], tuple[Any, Any, int]] = {}
        self.keyed_at: dict[tuple[str, str], list[int]] = defaultdict(list)
        self.made: dict[tuple[str, str], list[int]] = defaultdict(list)
        self.paid: dict[tuple[str, str, str], list[Order]] = defaultdict(list)
        self.held: dict[tuple[str, str], list[Order]] = defaultdict(list)
        self.wallets: dict[tuple[str, str], int] = defaultdict(int)
        self.merchants: dict[tuple[str, str], int] = defaultdict(int)
        self.fees: dict[str, int] = defaultdict(int)
        self.open: dict[tuple[str, str], Order] = {}
        self.noes: dict[tuple[str, str], tuple[int, int]] = {}
        self.paced: dict[tuple[str, str], int] = defaultdict(int)
        self.fresh_id = ""
        """What the host calls the next order that is made."""

    # ---- time ----------------------------------------------------------------------------------------------------
    def at(self, order: Order) -> Order:
        """The order with what happened to it by itself."""
        if order.status == "confirming" and self.now >= order.prompt_until < order.expires:
            self.declined(order)
        until = order.hold_until if order.status == "authorized" else order.expires
        if order.status in UNPAID and self.now >= until:
            order.to("closed", "expired")
        elif order.status == "succeeded" and self.now >= order.captured_at + REFUND_WINDOW:
            order.to("finished")
        return order

    def available(self, user: str, currency: str) -> int:
        """What a user has to pay with."""
        held = self.held[user, currency] = [o for o in self.held[user, currency] if self.at(o).status == "authorized"]
        return self.wallets[user, currency] - sum(order.amount for order in held)

    # ---- a program's requests ------------------------------------------------------------------------------------
    def answer(self, app: str, user: str, interactive: bool, method: str, params: Any) -> dict[str, Any]:
        """The result. Raises No."""
        grant = self.programs[app].grants.get("payment.refund" if "refund" in method else "payment")
        if grant is None:
            raise No("capability_not_granted")
        if self.now >= grant.get("expires_at_us", self.now + 1):
            raise No("grant_expired")
        if not valid(method, params):
            raise No("invalid_params")
        given = DEFAULTS.get(method, {}) | {name: value for name, value in params.items() if value is not None}
        key, ask = given.pop("key", None), getattr(self, method.partition(".")[2])
        if method == "payment.request":
            given |= {"interactive": interactive}
        result: dict[str, Any] = (
            ask(app, user, **given) if key is None else self.once((app, user, method, key), given, ask)
        )
        return result

    def once(self, key: tuple[str, ...], given: Any, ask: Callable[..., Any]) -> Any:
        kept = self.keys.get(key)
        if kept is not None and self.now < kept[2] + KEYS_KEPT:
            if kept[0] != given:
                raise No("key_reused")
            if isinstance(kept[1], No):
                raise kept[1]
            return {**kept[1], "replayed": True}
        times = self.keyed_at[key[0], key[1]]
        if len(times) >= KEYS_AN_HOUR and times[-KEYS_AN_HOUR] > self.now - HOUR:
            raise No("rate_limited")
        try:
            outcome = ask(key[0], key[1], **given)
        except No as no:
            if no.code not in KEPT.get(key[2], ()):
                raise
            outcome = no
        self.keys[key] = (given, outcome, self.now)
        times.append(self.now)
        if isinstance(outcome, No):
            raise outcome
        return outcome

    def create(self, app: str, user: str, out_trade_no: str, amount: Any, **given: Any) -> dict[str, Any]:
        wanted = Order(app, user, out_trade_no, amount["amount"], amount["currency"], created=self.now, **given)
        known = self.numbers.get((app, out_trade_no))
        if known is not None and known.request != wanted.request:
            raise No("order_mismatch")
        if known is not None:
            return shown(self.at(known), replayed=True)
        program, made = self.programs[app], self.made[app, user]
        self.admit_amount(program, wanted)
        recent = sum(at > self.now - HOUR for at in made[-program.limits["payment_hour_count"] - 1 :])
        if recent >= program.grants["payment"].get("count", recent + 1):
            raise No("grant_constraint")
        if recent >= program.limits["payment_hour_count"]:
            raise No("limit_exceeded")
        wanted.id = self.fresh_id
        self.numbers[app, out_trade_no] = self.orders[wanted.id] = wanted
        made.append(self.now)
        return shown(wanted)

    def admit_amount(self, program: Program, order: Order) -> None:
        self.admit_grant(program.grants["payment"], order, order.amount)
        if order.amount > program.limits["payment_amount"]:
            raise No("limit_exceeded")

    def admit_grant(self, grant: dict[str, Any], order: Order, amount: int) -> None:
        if amount > grant.get("amount_max", amount) or order.currency not in grant.get("currencies", CURRENCIES):
            raise No("grant_constraint")

    def own(self, app: str, user: str, order_id: str | None, out_trade_no: str | None = None) -> Order:
        order = self.orders.get(order_id or "") if out_trade_no is None else self.numbers.get((app, out_trade_no))
        if order is None or (order.app, order.user) != (app, user):
            raise No("not_found")
        return self.at(order)

    def wrong(self, order: Order) -> No:
        codes = {"expired": "expired", "declined": "declined", "no_funds": "insufficient_funds"}
        return No(codes.get(order.reason or "", "invalid_state"), order)

    def prompt(self, app: str, user: str) -> Order | None:
        """What the user is being asked about by this program."""
        order = self.open.get((app, user))
        return order if order is not None and self.at(order).status == "confirming" else None

    def to_be_asked(self, app: str, user: str, order_id: str) -> Order:
        """Of what is wrong and a pause after a no, the one that stands first in the list of codes is told."""
        pause = self.must_wait((app, user))
        try:
            order = self.own(app, user, order_id)
            self.admit_grant(self.programs[app].grants["payment"], order, order.amount)
            if order.status != "pending":
                raise self.wrong(order)
            if order.told.count("confirming") >= ASKS_MOST:
                raise No("limit_exceeded")
        except No as no:
            if pause and no.code not in ("grant_constraint", "limit_exceeded"):
                raise No("rate_limited") from None
            raise
        if pause:
            raise No("rate_limited")
        return order

    def request(self, app: str, user: str, order_id: str, interactive: bool, wait_ms: int = 0) -> dict[str, Any]:
        open_now = self.prompt(app, user)
        if open_now is not None and open_now.id == order_id:
            return shown(open_now, replayed=True)
        program, order = self.programs[app], self.to_be_asked(app, user, order_id)
        if open_now is not None:
            raise No("cashier_busy")
        if not interactive:
            raise No("not_interactive")
        order.to("confirming")
        order.asked_at, order.asked_under, order.asked_with = (
            self.now,
            program,
            replace(program, grants=dict(program.grants)),
        )
        order.prompt_until = min(self.now + PROMPT_LIFE, order.expires)
        self.open[app, user] = order
        self.paced[app, user] = max(self.paced[app, user], self.now) + PACE
        return shown(order)

    def must_wait(self, place: tuple[str, str]) -> bool:
        """Whether the program asked this user too often, or was refused too lately."""
        noes, last = self.noes.get(place, (0, 0))
        if noes and self.now < last + (DAY if noes >= 5 else 30 * SECOND << (noes - 1)):
            return True
        return self.paced[place] - self.now > (PROMPTS_AT_ONCE - 1) * PACE

    def query(self, app: str, user: str, **which: Any) -> dict[str, Any]:
        return shown(self.own(app, user, which.get("order_id"), which.get("out_trade_no")))

    def capture(self, app: str, user: str, order_id: str, amount: int | None = None) -> dict[str, Any]:
        order = self.own(app, user, order_id)
        self.admit_grant(self.programs[app].grants["payment"], order, amount or order.amount)
        if order.status != "authorized":
            raise self.wrong(order)
        if (amount or 0) > order.amount:
            raise No("limit_exceeded")
        self.take(order, amount or order.amount)
        return shown(order)

    def take(self, order: Order, amount: int) -> None:
        program = self.programs[order.app]
        order.captured, order.captured_at = amount, self.now
        order.fee = min(amount, round(Fraction(amount * program.bps, 10_000)) + program.fixed)
        self.wallets[order.user, order.currency] -= amount
        self.merchants[order.app, order.currency] += amount - order.fee
        self.fees[order.currency] += order.fee
        order.to("succeeded")

    def close(self, app: str, user: str, order_id: str) -> dict[str, Any]:
        order = self.own(app, user, order_id)
        if order.status not in UNPAID:
            raise self.wrong(order)
        order.to("closed", "voided" if order.status == "authorized" else "closed")
        return shown(order)

    def refund(
        self, app: str, user: str, order_id: str, out_request_no: str, amount: int, reason: str
    ) -> dict[str, Any]:
        order = self.own(app, user, order_id)
        known = order.refunds.get(out_request_no)
        if known is not None and known != (amount, reason):
            raise No("order_mismatch")
        if known is not None:
            return shown_refund(order, out_request_no, replayed=True)
        self.admit_grant(self.programs[app].grants["payment.refund"], order, amount)
        if len(order.refunds) >= REFUNDS_MOST:
            raise No("limit_exceeded")
        if order.captured and order.refunded + amount > order.captured:
            raise No("refund_exceeds_captured")
        if order.status != "succeeded":
            raise No("refund_window_over", order) if order.status == "finished" else self.wrong(order)
        back = order.fee * (order.refunded + amount) // order.captured - order.fee_back
        if self.merchants[app, order.currency] + back < amount:
            raise No("merchant_funds_low")
        self.merchants[app, order.currency] += back - amount
        self.wallets[user, order.currency] += amount
        self.fees[order.currency] -= back
        order.refunded += amount
        order.refunds[out_request_no] = (amount, reason)
        order.to("succeeded", told="refunded")
        return shown_refund(order, out_request_no)

    def refund_query(self, app: str, user: str, order_id: str, out_request_no: str) -> dict[str, Any]:
        order = self.own(app, user, order_id)
        if out_request_no not in order.refunds:
            raise No("not_found")
        return shown_refund(order, out_request_no)

    # ---- the user's answers --------------------------------------------------------------------------------------
    def declined(self, order: Order) -> None:
        order.declines += 1
        order.to("closed", "declined") if order.declines == 3 else order.to("pending")

    def decide(self, app: str, user: str, yes: bool) -> None:
        """The user's answer to the prompt that is open."""
        order = self.open.pop((app, user))
        if not yes:
            count, last = self.noes.get((app, user), (0, 0))
            self.noes[app, user] = (1 if self.now >= last + DAY else count + 1, self.now)
            return self.declined(order)
        self.noes.pop((app, user), None)
        self.paced.pop((app, user), None)
        if not self.allowed(order):
            return order.to("closed", "limit")
        if order.amount > self.available(user, order.currency):
            return order.to("closed", "no_funds")
        order.paid_at = self.now
        self.paid[app, user, order.currency].append(order)
        if order.capture == "auto":
            return self.take(order, order.amount)
        order.hold_until = self.now + HOLD
        self.held[user, order.currency].append(order)
        return order.to("authorized")

    def allowed(self, order: Order) -> bool:
        """Whether limits and grant let it be paid now."""
        program = order.asked_under
        grant = program.grants.get("payment")
        if grant is None or self.now >= grant.get("expires_at_us", self.now + 1):
            return False
        if order.amount > min(program.limits["payment_amount"], grant.get("amount_max", order.amount)):
            return False
        if order.currency not in grant.get("currencies", CURRENCIES):
            return False
        mine = self.paid[order.app, order.user, order.currency]
        recent = [self.at(other) for other in mine if other.paid_at > self.now - DAY]
        total = order.amount + sum(o.amount if o.status == "authorized" else o.captured for o in recent)
        return total <= min(program.limits["payment_day_amount"], grant.get("day_max", total))

    # ---- the operator's ------------------------------------------------------------------------------------------
    def stop(self, app: str, reason: str) -> None:
        """The program may take no payments any more, or is gone."""
        for order in self.orders.values():
            if order.app == app and self.at(order).status in UNPAID:
                order.to("closed", reason)
