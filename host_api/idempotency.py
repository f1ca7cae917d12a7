"""Idempotency keys: the same request sent twice has one effect and one outcome.

What lives here: the fingerprint of a request, and the row that remembers an outcome. The row is written in the
transaction of the effect, so there is never one without the other; a twin that comes while the first is under way
waits for its turn at the writer and finds the row. Only outcomes of requests that were carried out are kept: a
refusal may be tried again.

After the IETF draft on the Idempotency-Key header field (07) and Stripe: same key with other content is an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Annotated, Any, Final

import msgspec

from host_api.contract import Codec
from host_api.errors import ApiError, ErrorCode
from host_api.store.protocol import Transaction

RETENTION_US: Final = 7 * 24 * 3600 * 1_000_000
"""How long a key is remembered, to the microsecond. Business keys (out_trade_no) protect for ever."""

Key = Annotated[str, msgspec.Meta(pattern=r"\A[!-~]{1,64}\Z", description="1 to 64 printable ASCII characters")]


def fingerprint(codec: Codec, method: str, schema_version: int, content: Mapping[str, Any]) -> bytes:
    """SHA-256 over method, schema version and the validated params without the key, in an order of its own.

    `schema_version` counts changes of what the method's params mean, not releases of the host: a host that was
    upgraded between two tries must still see the same request.
    """
    return sha256(codec.encode([method, schema_version, [[name, content[name]] for name in sorted(content)]])).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyedRequest:
    """One request that carries a key. `user` is '' where there is none."""

    app_id: str
    user: str
    method: str
    key: str
    schema_version: int
    fingerprint: bytes


def recall(tx: Transaction, request: KeyedRequest, *, retention_us: int = RETENTION_US) -> bytes | None:
    """The outcome stored under the key, or None. Raises ApiError KEY_REUSED if it was of another request."""
    rows = tx.execute(
        "SELECT schema_version, fingerprint, outcome FROM idempotency WHERE app_id = :app_id AND user_id = :user"
        " AND method = :method AND key = :key AND created_us > :since",
        {
            "app_id": request.app_id,
            "user": request.user,
            "method": request.method,
            "key": request.key,
            "since": tx.now_us - retention_us,
        },
    )
    if not rows:
        return None
    schema_version, known, outcome = rows[0]
    if (schema_version, known) != (request.schema_version, request.fingerprint):
        raise ApiError(
            ErrorCode.KEY_REUSED,
            f"key {request.key} was used for another {request.method}: {ErrorCode.KEY_REUSED.cure}",
            details={"key": request.key},
        )
    return bytes(outcome)


def remember(tx: Transaction, request: KeyedRequest, outcome: bytes) -> None:
    """Keep the outcome, in the transaction of the effect; a row whose time is over is replaced."""
    tx.execute(
        "INSERT INTO idempotency (app_id, user_id, method, key, schema_version, fingerprint, outcome, created_us)"
        " VALUES (:app_id, :user, :method, :key, :schema_version, :fingerprint, :outcome, :now_us)"
        " ON CONFLICT (app_id, user_id, method, key) DO UPDATE SET schema_version = excluded.schema_version,"
        " fingerprint = excluded.fingerprint, outcome = excluded.outcome, created_us = excluded.created_us",
        {
            "app_id": request.app_id,
            "user": request.user,
            "method": request.method,
            "key": request.key,
            "schema_version": request.schema_version,
            "fingerprint": request.fingerprint,
            "outcome": outcome,
            "now_us": tx.now_us,
        },
    )


def prune(tx: Transaction, at_most: int, *, retention_us: int = RETENTION_US) -> int:
    """Delete up to `at_most` of the oldest rows whose time is over; returns how many.

    Each new row deletes two old ones at most, so that the table follows the traffic without a sweeper.
    """
    return len(
        tx.execute(
            "DELETE FROM idempotency WHERE (app_id, user_id, method, key) IN ("
            "SELECT app_id, user_id, method, key FROM idempotency WHERE created_us <= :until"
            " ORDER BY created_us LIMIT :at_most) RETURNING 1",
            {"until": tx.now_us - retention_us, "at_most": at_most},
        )
    )
