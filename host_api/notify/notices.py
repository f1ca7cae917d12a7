"""Notices: their rows, and what a front end does with them. A notice is kept until it is taken, and not for ever.

What lives here: SQL, and how long a text is kept. A row outlives its text, so that notices of a day can be counted.
Whether a program may send one is decided in service.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from host_api.notify.methods import SCOPE
from host_api.store.protocol import Row, Store, Transaction
from host_api.user.consent import is_given

DAY_US: Final = 24 * 3600 * 1_000_000
KEPT_US: Final = 30 * DAY_US
"""How long a notice waits for its user's front end."""
KEPT_MAX: Final = 100
"""Notices of one program that wait for one user; one more takes the place of the oldest."""
LISTED_MAX: Final = 100
"""`Notices.pending` gives the oldest ones."""
_COLUMNS: Final = "id, app_id, user_id, template, text, language, created_us"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One message, for a front end to show. `text` is one line, from the program's template; who it comes from is drawn
    by the front end, from `app_id`, and never stands in the text by itself."""

    id: str
    app_id: str
    user: str
    template: str
    text: str
    language: str
    """Of the text, BCP 47; '' where the manifest names none."""
    created_us: int


class Notices:
    """For front ends: what waits for users, and that it was shown."""

    def __init__(self, *, store: Store) -> None:
        self._store = store

    def pending(self, user: str | None = None) -> list[Notice]:
        """What waits, of one user or of all, the oldest first; LISTED_MAX at most. Raises ApiError BUSY."""
        return self._store.read(lambda tx: _waiting(tx, user))

    async def take(self, notice_id: str) -> bool:
        """It was shown: the host forgets its text. False if it was taken before, or is over. Raises ApiError of the
        store."""
        return await self._store.write(lambda tx: _take(tx, notice_id))


def _notice(row: Row) -> Notice:
    identity, app_id, user, template, text, language, created_us = row
    return Notice(
        id=identity, app_id=app_id, user=user, template=template, text=text, language=language, created_us=created_us
    )


def _waiting(tx: Transaction, user: str | None) -> list[Notice]:
    whose = "" if user is None else " AND user_id = :user"
    rows = tx.execute(
        f"SELECT {_COLUMNS} FROM notices WHERE taken_us = 0 AND gone_us > :now_us{whose}"
        " ORDER BY created_us, id LIMIT :at_most",
        {"now_us": tx.now_us, "at_most": LISTED_MAX} | ({} if user is None else {"user": user}),
    )
    return [_notice(row) for row in rows]


def to_announce(tx: Transaction, notice_id: str) -> Notice | None:
    """The notice, if it waits and its user still wants to be told."""
    rows = tx.execute(
        f"SELECT {_COLUMNS} FROM notices WHERE id = :id AND taken_us = 0 AND gone_us > :now_us",
        {"id": notice_id, "now_us": tx.now_us},
    )
    notice = _notice(rows[0]) if rows else None
    return notice if notice is not None and is_given(tx, notice.app_id, notice.user, SCOPE) else None


def _take(tx: Transaction, notice_id: str) -> bool:
    rows = tx.execute(
        "SELECT created_us FROM notices WHERE id = :id AND taken_us = 0 AND gone_us > :now_us",
        {"id": notice_id, "now_us": tx.now_us},
    )
    for (created_us,) in rows:
        _forget(tx, notice_id, created_us)
    return bool(rows)


def _forget(tx: Transaction, notice_id: str, created_us: int) -> None:
    """The text goes; the row when nobody counts it any more."""
    tx.execute(
        "UPDATE notices SET text = '', taken_us = :now_us, gone_us = :gone_us WHERE id = :id",
        {"now_us": tx.now_us, "gone_us": max(tx.now_us, created_us + DAY_US), "id": notice_id},
    )


def sent_in_last_day(tx: Transaction, app_id: str, user: str) -> int:
    """Of the 24 hours that end now; one sent exactly 24 hours ago no longer counts."""
    rows = tx.execute(
        "SELECT count(*) FROM notices WHERE app_id = :app_id AND user_id = :user AND created_us > :since",
        {"app_id": app_id, "user": user, "since": tx.now_us - DAY_US},
    )
    return int(rows[0][0])


def insert(tx: Transaction, notice: Notice) -> None:
    """With KEPT_MAX waiting already, the oldest of them goes untaken."""
    tx.execute(
        f"INSERT INTO notices ({_COLUMNS}, gone_us) VALUES (:id, :app_id, :user, :template, :text, :language,"
        " :created_us, :gone_us)",
        {
            "id": notice.id,
            "app_id": notice.app_id,
            "user": notice.user,
            "template": notice.template,
            "text": notice.text,
            "language": notice.language,
            "created_us": notice.created_us,
            "gone_us": notice.created_us + KEPT_US,
        },
    )
    for identity, created_us in tx.execute(
        "SELECT id, created_us FROM notices WHERE app_id = :app_id AND user_id = :user AND taken_us = 0"
        " ORDER BY created_us DESC, id DESC LIMIT 1 OFFSET :kept",
        {"app_id": notice.app_id, "user": notice.user, "kept": KEPT_MAX},
    ):
        _forget(tx, identity, created_us)


def prune(tx: Transaction, at_most: int) -> int:
    """Delete up to `at_most` notices whose time is over, oldest first; returns how many."""
    return len(
        tx.execute(
            "DELETE FROM notices WHERE id IN (SELECT id FROM notices WHERE gone_us <= :now_us"
            " ORDER BY gone_us LIMIT :at_most) RETURNING 1",
            {"now_us": tx.now_us, "at_most": at_most},
        )
    )
