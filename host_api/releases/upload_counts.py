"""How many bundles a developer may send: in a day, and waiting for a review.

What lives here: the counts. Jobs of `Store.write`. An upload counts from before its bundle is looked at, whatever comes
of it: a refusal, a client that goes away, a crash. One that became a release is counted by that.
"""

from __future__ import annotations

from typing import Final

from host_api.releases.transitions import RegistryRefused
from host_api.store.protocol import Transaction

DAY_US: Final = 24 * 3600 * 1_000_000
_SWEPT_AT_ONCE: Final = 1_000


def begin(tx: Transaction, developer: str, *, per_day: int, pending: int) -> int:
    """A bundle of theirs is about to be looked at. Gives its number, for `end`. Raises RegistryRefused:
    `uploads_pending`, `uploads_per_day`."""
    check(tx, developer, per_day=per_day, pending=pending)
    tx.execute(
        "DELETE FROM refused_uploads WHERE n IN"
        " (SELECT n FROM refused_uploads WHERE begun_us <= :since ORDER BY begun_us LIMIT :at_most)",
        {"since": tx.now_us - DAY_US, "at_most": _SWEPT_AT_ONCE},
    )
    (row,) = tx.execute(
        "INSERT INTO refused_uploads (developer, begun_us) VALUES (:developer, :now_us) RETURNING n",
        {"developer": developer, "now_us": tx.now_us},
    )
    return int(row[0])


def end(tx: Transaction, begun: int) -> None:
    """It became a release, was one already, or nobody can say that it was the developer's doing. May be repeated."""
    tx.execute("DELETE FROM refused_uploads WHERE n = :n", {"n": begun})


def check(tx: Transaction, developer: str, *, per_day: int, pending: int) -> None:
    """Whether one more is too many. Raises as `begin`."""
    waiting = tx.execute(
        "SELECT count(*) FROM releases WHERE developer = :developer AND status = 'submitted'", {"developer": developer}
    )[0][0]
    if waiting >= pending:
        raise RegistryRefused(
            "uploads_pending",
            f"{waiting} uploads of the developer wait for a review; uploads_pending is {pending}: wait for one",
            limit="uploads_pending", value=pending, used=waiting, scope="developer",
        )  # fmt: skip
    today = 0
    for table, at in (("releases", "uploaded_us"), ("refused_uploads", "begun_us")):
        today += len(
            tx.execute(
                f"SELECT 1 FROM {table} WHERE developer = :developer AND {at} > :since LIMIT :at_most",
                {"developer": developer, "since": tx.now_us - DAY_US, "at_most": per_day},
            )
        )
    if today >= per_day:
        raise RegistryRefused(
            "uploads_per_day",
            f"the developer sent {today} uploads in 24 hours, refused ones included; uploads_per_day is {per_day}: try"
            " again tomorrow",
            limit="uploads_per_day", value=per_day, used=today, scope="developer",
        )  # fmt: skip
