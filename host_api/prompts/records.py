"""The rows of prompts, and of what programs asked before. SQL and nothing but SQL; rules: desk.py and cooldown.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from host_api.prompts.cooldown import NOTHING, Past
from host_api.prompts.prompt import Prompt, StoredPrompt, as_json, from_json
from host_api.store.protocol import Row, Transaction

_COLUMNS: Final = (
    "id, kind, app_id, user_id, about, shown, digest, opened_us, expires_us, bounds, token_hash, issued_us"
)
_PROMPT: Final = f"SELECT {_COLUMNS} FROM prompts"


def _stored(row: Row) -> StoredPrompt:
    prompt = Prompt(
        id=row[0],
        kind=row[1],
        app_id=row[2],
        user=row[3],
        about=row[4],
        shown=from_json(row[5]),
        digest=bytes(row[6]),
        opened_us=row[7],
        expires_us=row[8],
        issued_us=row[11],
    )
    return StoredPrompt(prompt=prompt, bounds=from_json(row[9]), token_hash=bytes(row[10]))


def by_id(tx: Transaction, prompt_id: str) -> StoredPrompt | None:
    rows = tx.execute(f"{_PROMPT} WHERE id = :id", {"id": prompt_id})
    return _stored(rows[0]) if rows else None


def bounds_of(tx: Transaction, prompt_id: str) -> Mapping[str, Any]:
    """`StoredPrompt.bounds`; nothing for a prompt that is gone."""
    rows = tx.execute("SELECT bounds FROM prompts WHERE id = :id", {"id": prompt_id})
    found: Mapping[str, Any] = from_json(rows[0][0]) if rows else {}
    return found


def at_place(tx: Transaction, app_id: str, user: str) -> StoredPrompt | None:
    """The one prompt of a program and user, its time over or not."""
    rows = tx.execute(f"{_PROMPT} WHERE app_id = :app_id AND user_id = :user", {"app_id": app_id, "user": user})
    return _stored(rows[0]) if rows else None


def waiting(tx: Transaction, user: str | None, at_most: int) -> list[StoredPrompt]:
    """Prompts that wait now, of one user or of all, the oldest first."""
    whose = "" if user is None else " AND user_id = :user"
    rows = tx.execute(
        f"{_PROMPT} WHERE expires_us > :now_us{whose} ORDER BY opened_us, id LIMIT :at_most",
        {"now_us": tx.now_us, "at_most": at_most} | ({} if user is None else {"user": user}),
    )
    return [_stored(row) for row in rows]


def of_program(tx: Transaction, app_id: str, user: str | None, at_most: int) -> list[StoredPrompt]:
    whose = "" if user is None else " AND user_id = :user"
    rows = tx.execute(
        f"{_PROMPT} WHERE app_id = :app_id{whose} LIMIT :at_most",
        {"app_id": app_id, "at_most": at_most} | ({} if user is None else {"user": user}),
    )
    return [_stored(row) for row in rows]


def over(tx: Transaction, at_most: int) -> list[StoredPrompt]:
    """Prompts whose time is over."""
    rows = tx.execute(
        f"{_PROMPT} WHERE expires_us <= :now_us ORDER BY expires_us LIMIT :at_most",
        {"now_us": tx.now_us, "at_most": at_most},
    )
    return [_stored(row) for row in rows]


def count(tx: Transaction) -> int:
    """How many wait now."""
    return int(tx.execute("SELECT count(*) FROM prompts WHERE expires_us > :now_us", {"now_us": tx.now_us})[0][0])


def are_more_than(tx: Transaction, number: int) -> bool:
    """Whether there are more rows; reads `number` at most."""
    return bool(tx.execute(f"SELECT 1 FROM prompts LIMIT 1 OFFSET {number}"))


def insert(tx: Transaction, stored: StoredPrompt) -> None:
    prompt = stored.prompt
    tx.execute(
        f"INSERT INTO prompts ({_COLUMNS}) VALUES (:id, :kind, :app_id, :user, :about, :shown, :digest, :opened_us,"
        " :expires_us, :bounds, :token_hash, :issued_us)",
        {
            "id": prompt.id,
            "kind": prompt.kind,
            "app_id": prompt.app_id,
            "user": prompt.user,
            "about": prompt.about,
            "shown": as_json(dict(prompt.shown)),
            "digest": prompt.digest,
            "opened_us": prompt.opened_us,
            "expires_us": prompt.expires_us,
            "bounds": as_json(dict(stored.bounds)),
            "token_hash": stored.token_hash,
            "issued_us": prompt.issued_us,
        },
    )


def set_issued(tx: Transaction, prompt_id: str, token_hash: bytes, issued_us: int) -> None:
    tx.execute(
        "UPDATE prompts SET token_hash = :hash, issued_us = :issued_us WHERE id = :id",
        {"hash": token_hash, "issued_us": issued_us, "id": prompt_id},
    )


def delete(tx: Transaction, prompt_id: str) -> None:
    tx.execute("DELETE FROM prompts WHERE id = :id", {"id": prompt_id})


# ---- what was asked before -------------------------------------------------------------------------------------------
def past(tx: Transaction, app_id: str, user: str) -> Past:
    rows = tx.execute(
        "SELECT declines, last_us, paced_us FROM prompt_declines WHERE app_id = :app_id AND user_id = :user",
        {"app_id": app_id, "user": user},
    )
    return Past(count=rows[0][0], last_us=rows[0][1], paced_us=rows[0][2]) if rows else NOTHING


def set_past(tx: Transaction, app_id: str, user: str, row: Past) -> None:
    tx.execute(
        "INSERT INTO prompt_declines (app_id, user_id, declines, last_us, paced_us, gone_us) VALUES (:app_id, :user,"
        " :count, :last_us, :paced_us, :gone_us) ON CONFLICT (app_id, user_id) DO UPDATE SET"
        " declines = excluded.declines, last_us = excluded.last_us, paced_us = excluded.paced_us,"
        " gone_us = excluded.gone_us",
        {
            "app_id": app_id,
            "user": user,
            "count": row.count,
            "last_us": row.last_us,
            "paced_us": row.paced_us,
            "gone_us": row.gone_us,
        },
    )


def forget_past(tx: Transaction, app_id: str, user: str) -> None:
    tx.execute(
        "DELETE FROM prompt_declines WHERE app_id = :app_id AND user_id = :user", {"app_id": app_id, "user": user}
    )


def forget_past_before(tx: Transaction, until_us: int, at_most: int) -> int:
    """Rows that counted no more at `until_us`; how many went."""
    return len(
        tx.execute(
            "DELETE FROM prompt_declines WHERE (app_id, user_id) IN (SELECT app_id, user_id FROM prompt_declines"
            " WHERE gone_us <= :until_us ORDER BY gone_us LIMIT :at_most) RETURNING 1",
            {"until_us": until_us, "at_most": at_most},
        )
    )
