"""Rows that go when a user or a program is erased: some at a time, so that no transaction is long.

What lives here: how rows of a table are deleted in part. Whose they are is said in user.py and program.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from host_api.store.protocol import Transaction

PRIMARY_KEYS: Final[Mapping[str, str]] = {
    "storage_usage": "app_id, scope_user",
    "idempotency": "app_id, user_id, method, key",
    "user_fields": "user_id, field",
    "notices": "id",
    "consents": "app_id, user_id, scope",
    "prompts": "id",
    "prompt_declines": "app_id, user_id",
    "trial_users": "app_id, user_id",
    "subjects": "user_id",
}
VALUE_BYTES_AT_ONCE: Final = 4 << 20
"""Of programs' values; what is deleted is overwritten, so it costs what it is long."""


def delete(tx: Transaction, table: str, column: str, whose: str, at_most: int) -> int:
    """Delete up to `at_most` rows with `whose` in the column; how many. `column` and what it is found by: an index."""
    key = PRIMARY_KEYS[table]
    return len(
        tx.execute(
            f"DELETE FROM {table} WHERE ({key}) IN"
            f" (SELECT {key} FROM {table} WHERE {column} = :whose LIMIT :at_most) RETURNING 1",
            {"whose": whose, "at_most": at_most},
        )
    )


def delete_values(tx: Transaction, app_id: str, user: str | None, at_most: int) -> tuple[int, bool]:
    """Delete what a program keeps of one user, or (None) in all scopes: up to `at_most` values and about
    VALUE_BYTES_AT_ONCE. How many, and whether that is all there were."""
    of: dict[str, Any] = {"app_id": app_id} | ({} if user is None else {"user": user})
    in_scope = "" if user is None else " AND scope_user = :user"
    found = tx.execute(
        f"SELECT scope_user, key, bytes FROM storage_values WHERE app_id = :app_id{in_scope}"
        " ORDER BY scope_user, key LIMIT :at_most",
        {**of, "at_most": at_most},
    )
    size = deleted = 0
    for scope, key, length in found:
        if deleted and size + length > VALUE_BYTES_AT_ONCE:
            return deleted, False
        tx.execute(
            "DELETE FROM storage_values WHERE app_id = :app_id AND scope_user = :scope AND key = :key",
            {"app_id": app_id, "scope": scope, "key": key},
        )
        size, deleted = size + length, deleted + 1
    return deleted, deleted < at_most
