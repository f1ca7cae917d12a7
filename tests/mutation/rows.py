"""For every constraint of the tables of money, one row that breaks it and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Row = Mapping[str, Any]
H16, H32 = bytes(16), bytes(32)

VALID: Mapping[str, Row] = {
    "accounts": {
        "id": 3, "kind": "wallet", "owner": "bob", "currency": "CNY", "debits_pending": 0, "debits_posted": 4,
        "credits_pending": 0, "credits_posted": 10,
    },
    "transfers": {
        "id": b"t" * 16, "batch_id": H16, "kind": "capture", "phase": "single", "debit_account": 1, "credit_account": 2,
        "amount": 5, "currency": "CNY", "pending_id": None, "expires_us": None, "order_id": "o", "refund_id": "",
        "created_us": 1,
    },
    "merchants": {"app_id": "taxi", "fee_bps": 1, "fee_fixed": 1},
    "orders": {
        "id": "o2", "app_id": "shop", "user_id": "alice", "out_trade_no": "2", "amount": 10, "currency": "CNY",
        "subject": "Tea", "capture": "auto", "status": "succeeded", "close_reason": "", "declines": 0, "captured": 9,
        "refunded": 5, "fee": 4, "fee_returned": 2, "version": 1, "created_us": 1, "expires_us": 2,
    },
    "confirmations": {
        "order_id": "o3", "order_version": 1, "amount": 10, "currency": "CNY", "payee": "Shop", "digest": H32,
        "confirmed_us": 1,
    },
    "payment_usage": {
        "order_id": "o3", "app_id": "shop", "user_id": "alice", "currency": "CNY", "amount": 10, "at_us": 1,
    },
    "idempotency": {
        "app_id": "shop", "user_id": "alice", "method": "m", "key": "k2", "schema_version": 1, "fingerprint": H32,
        "outcome": b"", "created_us": 1,
    },
    "refunds": {
        "id": "r2", "order_id": "o1", "out_request_no": "2", "amount": 5, "fee_returned": 2, "reason": "",
        "created_us": 1,
    },
    "events": {
        "app_id": "shop", "user_id": "alice", "app_seq": 2, "stream": "o1", "stream_seq": 2, "topic": "t",
        "payload": "{}", "created_us": 1, "next_us": 0,
    },
    "audit": {"n": 2, "record": "{}", "hash": H32},
    "prompts": {
        "id": "p2", "kind": "payment", "app_id": "shop", "user_id": "bob", "about": "o2", "shown": "{}", "bounds": "{}",
        "digest": H32, "token_hash": b"", "opened_us": 1, "expires_us": 2,
    },
}  # fmt: skip
"""A row of each table that the schema takes, after those of FIRST."""

FIRST: tuple[tuple[str, Row], ...] = (
    ("accounts", {"id": 1, "owner": "alice"}),
    ("accounts", {"id": 2, "kind": "merchant", "owner": "shop"}),
    ("transfers", {"id": b"p" * 16, "phase": "pending", "expires_us": 9}),
    ("transfers", {"id": b"v" * 16, "phase": "void", "pending_id": b"p" * 16}),
    ("transfers", {"id": b"q" * 16, "phase": "pending", "expires_us": 9}),
    ("merchants", {"app_id": "shop"}),
    ("orders", {"id": "o1", "out_trade_no": "1"}),
    ("orders", {"id": "o3", "out_trade_no": "3"}),
    ("confirmations", {"order_id": "o1"}),
    ("payment_usage", {"order_id": "o1"}),
    ("idempotency", {"key": "k1"}),
    ("refunds", {"id": "r1", "out_request_no": "1"}),
    ("events", {"app_seq": 1, "stream_seq": 1}),
    ("audit", {"n": 1}),
    ("prompts", {"id": "p1", "user_id": "alice"}),
)
"""What is there: the valid row with these changes."""

BREAKS: Mapping[str, Row] = {
    "accounts: kind CHECK": {"kind": "purse"},
    "accounts: currency CHECK": {"currency": "CNYX"},
    "accounts: debits_pending CHECK": {"debits_pending": -1},
    "accounts: debits_posted CHECK": {"debits_posted": -1},
    "accounts: credits_pending CHECK": {"credits_pending": -1},
    "accounts: credits_posted CHECK": {"kind": "funding", "owner": "", "credits_posted": -1},
    "accounts: UNIQUE": {"owner": "alice"},
    "accounts: CONSTRAINT no_overdraft CHECK": {"debits_pending": 7},
    "transfers: id UNIQUE": {"id": b"p" * 16},
    "transfers: id CHECK": {"id": b"short"},
    "transfers: batch_id CHECK": {"batch_id": b"short"},
    "transfers: phase CHECK": {"phase": "double"},
    "transfers: debit_account REFERENCES": {"debit_account": 99},
    "transfers: credit_account REFERENCES": {"credit_account": 99},
    "transfers: amount CHECK": {"amount": 0},
    "transfers: currency CHECK": {"currency": ""},
    "transfers: pending_id UNIQUE": {"phase": "post", "pending_id": b"p" * 16},
    "transfers: pending_id REFERENCES": {"phase": "post", "pending_id": b"n" * 16},
    "transfers: CHECK (debit_account": {"credit_account": 1},
    "transfers: CHECK ((phase IN": {"phase": "post"},
    "transfers: CHECK ((phase =": {"expires_us": 9},
    "merchants: app_id TEXT PRIMARY KEY": {"app_id": "shop"},
    "merchants: fee_bps CHECK": {"fee_bps": 10_001},
    "merchants: fee_fixed CHECK": {"fee_fixed": -1},
    "orders: id TEXT PRIMARY KEY": {"id": "o1"},
    "orders: user_id CHECK": {"user_id": ""},
    "orders: amount CHECK": {"amount": 10**12 + 1},
    "orders: currency CHECK": {"currency": "EU"},
    "orders: capture CHECK": {"capture": "never"},
    "orders: status CHECK": {"status": "lost", "captured": 0, "refunded": 0, "fee": 0, "fee_returned": 0},
    "orders: declines CHECK": {"declines": -1},
    "orders: version CHECK": {"version": 0},
    "orders: expires_us CHECK": {"expires_us": 1},
    "orders: UNIQUE": {"out_trade_no": "1"},
    "orders: CHECK ((status = 'closed')": {"close_reason": "declined"},
    "orders: CHECK ((status IN": {"status": "authorized"},
    "orders: CHECK (0 <= refunded": {"refunded": 10},
    "orders: CHECK (0 <= fee AND": {"fee": 10},
    "orders: fee_returned CHECK": {"fee_returned": 5},
    "confirmations: order_id TEXT PRIMARY KEY": {"order_id": "o1"},
    "confirmations: order_id REFERENCES": {"order_id": "none"},
    "confirmations: digest CHECK": {"digest": b"short"},
    "payment_usage: order_id TEXT PRIMARY KEY": {"order_id": "o1"},
    "payment_usage: order_id REFERENCES": {"order_id": "none"},
    "payment_usage: amount CHECK": {"amount": 0},
    "idempotency: schema_version CHECK": {"schema_version": 0},
    "idempotency: fingerprint CHECK": {"fingerprint": b""},
    "idempotency: PRIMARY KEY": {"key": "k1"},
    "refunds: id TEXT PRIMARY KEY": {"id": "r1"},
    "refunds: order_id REFERENCES": {"order_id": "none"},
    "refunds: amount CHECK": {"amount": 10**12 + 1},
    "refunds: fee_returned CHECK": {"fee_returned": 6},
    "refunds: UNIQUE": {"out_request_no": "1"},
    "events: stream_seq CHECK": {"stream_seq": 0},
    "events: attempts CHECK": {"attempts": -1},
    "events: app_seq CHECK": {"app_seq": 0},
    "events: UNIQUE (app_id, app_seq": {"app_seq": 1},
    "events: UNIQUE (app_id, stream": {"stream_seq": 1},
    "events: CHECK (next_us": {"next_us": 1, "acked_us": 1},
    "audit: hash CHECK": {"hash": b"short"},
    "prompts: id TEXT PRIMARY KEY": {"id": "p1"},
    "prompts: kind CHECK": {"kind": "guess"},
    "prompts: user_id CHECK": {"user_id": ""},
    "prompts: digest CHECK": {"digest": b"short"},
    "prompts: expires_us CHECK": {"expires_us": 1},
    "prompts: UNIQUE": {"user_id": "alice"},
    "orders: untold CHECK": {"untold": -1},
    "orders: audit_n CHECK": {"audit_n": -1},
}
"""Beginning of a constraint's label → what makes the valid row break it."""
