"""Which parameters a request may have: written down again, from the specification."""

from __future__ import annotations

import string
from collections.abc import Callable
from typing import Any

CURRENCIES = frozenset({"CNY", "JPY", "KWD", "EUR"})
"""Those that the simulator pays in."""
AMOUNT_MAX = 10**12
Check = Callable[[Any], bool]
_PRINTABLE = frozenset(string.ascii_letters + string.digits + string.punctuation)
_NAME = frozenset(string.ascii_letters + string.digits + "_.:-")


def whole(least: int, most: int) -> Check:
    return lambda value: type(value) is int and least <= value <= most


def text(most: int, allowed: frozenset[str]) -> Check:
    return lambda value: type(value) is str and 1 <= len(value) <= most and allowed.issuperset(value)


def one_of(*values: str) -> Check:
    return lambda value: type(value) is str and value in values


def maybe(check: Check) -> Check:
    return lambda value: value is None or check(value)


def money(value: Any) -> bool:
    return (
        type(value) is dict
        and value.keys() == {"amount", "currency"}
        and whole(1, AMOUNT_MAX)(value["amount"])
        and one_of(*CURRENCIES)(value["currency"])
    )


def identity(value: Any) -> bool:
    return type(value) is str and 1 <= len(value) <= 64


KEY, NUMBER, LINE = text(64, _PRINTABLE), text(64, _NAME), text(64, _PRINTABLE | {" "})
SCHEMA: dict[str, tuple[dict[str, Check], dict[str, Check]]] = {
    "payment.create": (
        {"key": KEY, "out_trade_no": NUMBER, "amount": money, "subject": LINE},
        {"ttl_s": whole(60, 86_400), "capture": one_of("auto", "manual")},
    ),
    "payment.request": ({"order_id": identity}, {"wait_ms": whole(0, 600_000)}),
    "payment.query": ({}, {"order_id": maybe(identity), "out_trade_no": maybe(NUMBER)}),
    "payment.capture": ({"key": KEY, "order_id": identity}, {"amount": maybe(whole(1, AMOUNT_MAX))}),
    "payment.close": ({"key": KEY, "order_id": identity}, {}),
    "payment.refund": (
        {
            "key": KEY,
            "order_id": identity,
            "out_request_no": NUMBER,
            "amount": whole(1, AMOUNT_MAX),
            "reason": LINE,
        },
        {},
    ),
    "payment.refund_query": ({"order_id": identity, "out_request_no": NUMBER}, {}),
}
"""Method → required and optional parameters."""


def valid(method: str, params: Any) -> bool:
    required, optional = SCHEMA[method]
    known = required | optional
    if not required.keys() <= params.keys() <= known.keys():
        return False
    if method == "payment.query" and (params.get("order_id") is None) == (params.get("out_trade_no") is None):
        return False
    return all(known[name](value) for name, value in params.items())
