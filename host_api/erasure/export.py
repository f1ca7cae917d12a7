"""Everything the host keeps of a user, as plain values: what a person may ask a platform for.

What lives here: one reading of all tables with a user in them, by section, some rows at a time, so that nothing waits
for it. It is not one moment's: what changes meanwhile is in it as it was or as it is. Nothing is written. Values of
programs are decoded; times are microseconds since the epoch, amounts minor units, as everywhere.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import trio

from host_api.contract import Codec
from host_api.store.protocol import Row, Store, Transaction

Entry = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Section:
    """Where rows of one kind are. Its order has an index behind it, or few rows."""

    columns: str
    table: str
    whose: str = "user_id = :whose"
    order: str
    """Columns of its own that no two rows share."""


_SECTIONS: Final[Mapping[str, _Section]] = {
    "consents": _Section(
        columns="app_id scope given purpose_version purpose language decided_us expires_us",
        table="consents",
        order="app_id scope",
    ),
    "prompts": _Section(
        columns="id kind app_id about shown opened_us expires_us", table="prompts", order="opened_us id"
    ),
    "trials": _Section(columns="app_id", table="trial_users", order="app_id"),
    "declines": _Section(columns="app_id declines last_us", table="prompt_declines", order="app_id"),
    "notices": _Section(
        columns="id app_id template text language created_us taken_us", table="notices", order="created_us id"
    ),
    "events": _Section(
        columns="app_id app_seq stream stream_seq topic payload created_us acked_us",
        table="events",
        order="app_id app_seq",
    ),
    "payment_usage": _Section(
        columns="order_id app_id currency amount at_us", table="payment_usage", order="app_id currency at_us order_id"
    ),
    "orders": _Section(
        columns=(
            "id app_id out_trade_no amount currency subject capture status close_reason declines captured refunded fee"
            " fee_returned created_us expires_us hold_until_us captured_us"
        ),
        table="orders",
        order="app_id created_us id",
    ),
    "keys": _Section(
        columns="app_id method key outcome created_us", table="idempotency", order="app_id created_us method key"
    ),
}
_TRANSFER: Final = "seq kind phase amount currency order_id refund_id created_us"
_WITHOUT_ORDER: Final = tuple(
    _Section(
        columns=_TRANSFER, table="transfers", whose=f"{side}_account = :whose AND order_id = ''",
        order="seq",
    )
    for side in ("credit", "debit")
)  # fmt: skip
_JSON: Final = frozenset({"shown", "payload"})
_CONFIRMATION: Final = "order_version amount currency payee confirmed_us"
_REFUND: Final = "id out_request_no amount fee_returned reason created_us"
_ROWS_AT_ONCE: Final = 50
_BYTES_AT_ONCE: Final = 256 << 10
"""Of values, between two of which others have their turn."""


async def export_user(store: Store, user: str, codec: Codec) -> Entry:
    """By section; sections of a user of whom nothing is kept are empty. Cancelled, it stops. Raises ApiError BUSY."""
    wallets = store.read(lambda tx: _wallets(tx, user))
    found: Entry = {
        "user": user,
        "exported_us": store.now_us(),
        "fields": dict(store.read(lambda tx: _fields(tx, user))),
        "balances": [_named(("currency", "posted", "held", "incoming"), row[1:]) for row in wallets],
        "storage": await _storage(store, user, codec),
    }
    for name, section in _SECTIONS.items():
        found[name] = await _rows(store, section, user)
    for key in found["keys"]:
        key["outcome"] = codec.decode(key["outcome"])
        await trio.lowlevel.checkpoint()
    found["transfers"] = [
        transfer for account, *_ in wallets for side in _WITHOUT_ORDER for transfer in await _rows(store, side, account)
    ]
    accounts = {account for account, *_ in wallets}
    orders = found["orders"]
    for first in range(0, len(orders), _ROWS_AT_ONCE):
        found["transfers"] += _complete(store, orders[first : first + _ROWS_AT_ONCE], accounts)
        await trio.lowlevel.checkpoint()
    return found


async def _rows(store: Store, section: _Section, whose: str | int) -> list[Entry]:
    """All rows of one section."""
    names, order = section.columns.split(), section.order.split()
    head = f"SELECT {', '.join(names)} FROM {section.table} WHERE {section.whose}"
    tail = f" ORDER BY {', '.join(order)} LIMIT {_ROWS_AT_ONCE}"
    beyond = f" AND ({', '.join(order)}) > ({', '.join(f':{column}' for column in order)})"
    found: list[Entry] = []
    page = store.read(lambda tx: tx.execute(head + tail, {"whose": whose}))
    while page:
        found += [_named(names, row) for row in page]
        last = dict(zip(names, page[-1], strict=True))
        of = {"whose": whose, **{column: last[column] for column in order}}
        await trio.lowlevel.checkpoint()
        page = store.read(lambda tx, of=of: tx.execute(head + beyond + tail, of))  # type: ignore[misc]
    return found


def _named(names: Sequence[str], row: Sequence[Any]) -> Entry:
    return {name: json.loads(value) if name in _JSON else value for name, value in zip(names, row, strict=True)}


def _fields(tx: Transaction, user: str) -> list[Row]:
    return tx.execute("SELECT field, value FROM user_fields WHERE user_id = :user ORDER BY field", {"user": user})


def _wallets(tx: Transaction, user: str) -> list[Row]:
    """One a currency."""
    return tx.execute(
        "SELECT id, currency, credits_posted - debits_posted, debits_pending, credits_pending FROM accounts"
        " WHERE kind = 'wallet' AND owner = :user ORDER BY currency",
        {"user": user},
    )


async def _storage(store: Store, user: str, codec: Codec) -> list[Entry]:
    """By program. What a program keeps in its own scope is not known to be anybody's."""
    programs = store.read(
        lambda tx: tx.execute(
            "SELECT app_id FROM storage_usage WHERE scope_user = :user AND keys > 0 ORDER BY app_id", {"user": user}
        )
    )
    return [{"app_id": app_id, "values": await _values(store, app_id, user, codec)} for (app_id,) in programs]


async def _values(store: Store, app_id: str, user: str, codec: Codec) -> list[Entry]:
    found: list[Entry] = []
    after = ""
    while page := store.read(lambda tx: list(_page(tx, app_id, user, after))):  # noqa: B023
        for key, value, version in page:
            found.append({"key": key, "value": codec.decode(value), "version": version})
            await trio.lowlevel.checkpoint()
        after = page[-1][0]
    return found


def _page(tx: Transaction, app_id: str, user: str, after: str) -> Iterator[Row]:
    of = {"app_id": app_id, "user": user}
    size = 0
    for key, length in tx.execute(
        "SELECT key, bytes FROM storage_values WHERE app_id = :app_id AND scope_user = :user AND key > :after"
        " ORDER BY key LIMIT :at_most",
        {**of, "after": after, "at_most": _ROWS_AT_ONCE},
    ):
        size += length
        if size > _BYTES_AT_ONCE and size > length:
            return
        yield from tx.execute(
            "SELECT key, value, version FROM storage_values"
            " WHERE app_id = :app_id AND scope_user = :user AND key = :key",
            {**of, "key": key},
        )


def _complete(store: Store, orders: Sequence[Entry], accounts: set[int]) -> list[Entry]:
    """Give orders the user's yes and what came back; their transfers from and to the user's wallets."""

    def read(tx: Transaction) -> list[Entry]:
        return [transfer for order in orders for transfer in _of_order(tx, order, accounts)]

    return store.read(read)


def _of_order(tx: Transaction, order: Entry, accounts: set[int]) -> list[Entry]:
    of_order = {"id": order["id"]}
    confirmed, back, moved = _CONFIRMATION.split(), _REFUND.split(), _TRANSFER.split()
    rows = tx.execute(f"SELECT {', '.join(confirmed)} FROM confirmations WHERE order_id = :id", of_order)
    order["confirmation"] = _named(confirmed, rows[0]) if rows else None
    rows = tx.execute(f"SELECT {', '.join(back)} FROM refunds WHERE order_id = :id ORDER BY created_us, id", of_order)
    order["refunds"] = [_named(back, row) for row in rows]
    rows = tx.execute(
        f"SELECT debit_account, credit_account, {', '.join(moved)} FROM transfers WHERE order_id = :id ORDER BY seq",
        of_order,
    )
    return [_named(moved, row[2:]) for row in rows if not accounts.isdisjoint(row[:2])]
