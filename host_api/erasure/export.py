"""Everything the host keeps of a user, as plain values: what a person may ask a platform for.

What lives here: one reading of all tables with a user in them, by section. Nothing is written. Values of programs are
decoded; times are microseconds since the epoch, amounts minor units, as everywhere.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from host_api.contract import Codec
from host_api.store.protocol import Transaction

_SECTIONS: Final[Mapping[str, tuple[str, str]]] = {
    "consents": (
        "app_id scope given purpose_version purpose language decided_us expires_us",
        "FROM consents WHERE user_id = :user ORDER BY app_id, scope",
    ),
    "prompts": (
        "id kind app_id about shown opened_us expires_us",
        "FROM prompts WHERE user_id = :user ORDER BY opened_us, id",
    ),
    "declines": (
        "app_id declines last_us",
        "FROM prompt_declines WHERE user_id = :user ORDER BY app_id",
    ),
    "notices": (
        "id app_id template text language created_us taken_us",
        "FROM notices WHERE user_id = :user ORDER BY created_us, id",
    ),
    "events": (
        "seq app_id stream stream_seq topic payload created_us acked_us",
        "FROM events WHERE user_id = :user ORDER BY seq",
    ),
    "payment_usage": (
        "order_id app_id currency amount at_us",
        "FROM payment_usage WHERE user_id = :user ORDER BY at_us, order_id",
    ),
    "transfers": (
        "kind phase amount currency order_id refund_id created_us",
        "FROM transfers WHERE debit_account IN (SELECT id FROM accounts WHERE kind = 'wallet' AND owner = :user)"
        " OR credit_account IN (SELECT id FROM accounts WHERE kind = 'wallet' AND owner = :user) ORDER BY seq",
    ),
}
"""Section → its columns, and where they are."""
_JSON: Final = frozenset({"shown", "payload"})
_ORDER: Final = (
    "id app_id out_trade_no amount currency subject capture status close_reason declines captured refunded fee"
    " fee_returned created_us expires_us hold_until_us captured_us"
)
_CONFIRMATION: Final = "order_version amount currency payee confirmed_us"
_REFUND: Final = "id out_request_no amount fee_returned reason created_us"


def export_user(tx: Transaction, user: str, codec: Codec) -> dict[str, Any]:
    """By section; sections of a user of whom nothing is kept are empty.

    Reads all of it at once, and the user's storage may be tens of megabytes: run it as a job of `Store.write`, which
    does not hold the event loop.
    """
    sections = {name: _rows(tx, columns, rest, user) for name, (columns, rest) in _SECTIONS.items()}
    return {
        "user": user,
        "exported_us": tx.now_us,
        "fields": dict(_fields(tx, user)),
        "balances": _balances(tx, user),
        "storage": _storage(tx, user, codec),
        "keys": _keys(tx, user, codec),
        "orders": [_order(tx, order) for order in _rows(tx, _ORDER, "FROM orders WHERE user_id = :user", user)],
        **sections,
    }


def _rows(tx: Transaction, columns: str, rest: str, user: str) -> list[dict[str, Any]]:
    names = columns.split()
    return [_named(names, row) for row in tx.execute(f"SELECT {', '.join(names)} {rest}", {"user": user})]


def _named(names: Sequence[str], row: Sequence[Any]) -> dict[str, Any]:
    return {name: json.loads(value) if name in _JSON else value for name, value in zip(names, row, strict=True)}


def _fields(tx: Transaction, user: str) -> list[tuple[str, str]]:
    found = tx.execute("SELECT field, value FROM user_fields WHERE user_id = :user ORDER BY field", {"user": user})
    return [(field, value) for field, value in found]


def _balances(tx: Transaction, user: str) -> list[dict[str, Any]]:
    found = tx.execute(
        "SELECT currency, credits_posted - debits_posted, debits_pending, credits_pending FROM accounts"
        " WHERE kind = 'wallet' AND owner = :user ORDER BY currency",
        {"user": user},
    )
    return [_named(("currency", "posted", "held", "incoming"), row) for row in found]


def _storage(tx: Transaction, user: str, codec: Codec) -> list[dict[str, Any]]:
    """By program. What a program keeps in its own scope is not known to be anybody's."""
    programs = tx.execute(
        "SELECT app_id FROM storage_usage WHERE scope_user = :user AND keys > 0 ORDER BY app_id", {"user": user}
    )
    return [{"app_id": app_id, "values": _values(tx, app_id, user, codec)} for (app_id,) in programs]


def _values(tx: Transaction, app_id: str, user: str, codec: Codec) -> list[dict[str, Any]]:
    found = tx.execute(
        "SELECT key, value, version FROM storage_values WHERE app_id = :app_id AND scope_user = :user ORDER BY key",
        {"app_id": app_id, "user": user},
    )
    return [{"key": key, "value": codec.decode(value), "version": version} for key, value, version in found]


def _keys(tx: Transaction, user: str, codec: Codec) -> list[dict[str, Any]]:
    """Idempotency keys, and what is remembered under each."""
    found = tx.execute(
        "SELECT app_id, method, key, outcome, created_us FROM idempotency WHERE user_id = :user"
        " ORDER BY created_us, app_id, method, key",
        {"user": user},
    )
    return [
        {"app_id": app_id, "method": method, "key": key, "outcome": codec.decode(outcome), "created_us": created_us}
        for app_id, method, key, outcome, created_us in found
    ]


def _order(tx: Transaction, order: dict[str, Any]) -> dict[str, Any]:
    """With the user's yes and what came back."""
    of_order = {"id": order["id"]}
    confirmed = _CONFIRMATION.split()
    rows = tx.execute(f"SELECT {', '.join(confirmed)} FROM confirmations WHERE order_id = :id", of_order)
    back = _REFUND.split()
    refunds = tx.execute(
        f"SELECT {', '.join(back)} FROM refunds WHERE order_id = :id ORDER BY created_us, id", of_order
    )
    return {
        **order,
        "confirmation": _named(confirmed, rows[0]) if rows else None,
        "refunds": [_named(back, row) for row in refunds],
    }
