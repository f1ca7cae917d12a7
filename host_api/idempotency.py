"""Idempotency keys: the same request sent twice has one effect and one outcome.

What lives here: the fingerprint of a request, and the row that remembers an outcome. The row is written in the
transaction of the effect, so there is never one without the other; a twin that comes while the first is under way
waits for its turn at the writer and finds the row. What was carried out is kept; a refusal only where the method says
so (`once`), else it may be tried again with its key.

After the IETF draft on the Idempotency-Key header field (07) and Stripe: same key with other content is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Annotated, Any, Final, TypeVar

import msgspec

from host_api.contract import Codec, Result
from host_api.errors import ApiError, ErrorCode
from host_api.store.protocol import Transaction

RETENTION_US: Final = 7 * 24 * 3600 * 1_000_000
"""How long a key is remembered, to the microsecond. Business keys (out_trade_no) protect for ever."""
HOUR_US: Final = 3600 * 1_000_000
KEYS_PER_HOUR: Final = 1_000
"""New keys of one program and user in any hour. It bounds what a program that makes up keys can fill the store with."""

R = TypeVar("R", bound=Result)
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


def once(
    tx: Transaction,
    request: KeyedRequest,
    effect: Callable[[], R],
    *,
    codec: Codec,
    result: type[R],
    keeps: frozenset[ErrorCode] = frozenset(),
) -> R | ApiError:
    """The effect's result, or the outcome that the key had (its field `replayed` is true then); all in one job.

    A refusal with a code in `keeps` is an outcome like another: what the effect wrote is undone, the refusal is stored
    under the key and returned, for the caller to raise when the job is committed; replayed, its details say so.
    Raises ApiError: KEY_REUSED, RATE_LIMITED (over KEYS_PER_HOUR), and the refusals that are not kept.
    """
    stored = recall(tx, request)
    if stored is not None:
        return _replayed(codec.decode(stored), result)
    _admit_key(tx, request)
    if not keeps:
        given: R | ApiError = effect()
    else:
        try:
            with tx.savepoint():
                given = effect()
        except ApiError as error:
            if error.code not in keeps:
                raise
            given = error
    kept = {"error": given.as_wire()} if isinstance(given, ApiError) else msgspec.to_builtins(given)
    remember(tx, request, codec.encode(kept))
    prune(tx, 2)
    return given


def _replayed(kept: Any, result: type[R]) -> R | ApiError:
    told = kept.get("error")
    if told is None:
        return msgspec.structs.replace(msgspec.convert(kept, result), replayed=True)
    return ApiError(
        ErrorCode[told["code"].upper()],
        told["message"],
        details={**told["details"], "replayed": True},
        retry_after_ms=told["retry_after_ms"],
    )


def _admit_key(tx: Transaction, request: KeyedRequest) -> None:
    rows = tx.execute(
        "SELECT created_us FROM idempotency WHERE app_id = :app_id AND user_id = :user AND created_us > :since"
        f" ORDER BY created_us DESC LIMIT 1 OFFSET {KEYS_PER_HOUR - 1}",  # bound, it would be planned anew each time
        {"app_id": request.app_id, "user": request.user, "since": tx.now_us - HOUR_US},
    )
    if rows:
        raise ApiError(
            ErrorCode.RATE_LIMITED,
            f"{KEYS_PER_HOUR} keys were used in the last hour: send a request again with the key it had",
            details={"limit": "keys_per_hour", "value": KEYS_PER_HOUR, "used": KEYS_PER_HOUR + 1, "unit": "keys"},
            retry_after_ms=-((tx.now_us - HOUR_US - rows[0][0]) // 1000),
        )


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
    old = tx.execute(
        "SELECT app_id, user_id, method, key FROM idempotency WHERE created_us <= ?"
        f" ORDER BY created_us LIMIT {at_most}",
        (tx.now_us - retention_us,),
    )
    for row in old:
        tx.execute("DELETE FROM idempotency WHERE app_id = ? AND user_id = ? AND method = ? AND key = ?", row)
    return len(old)
