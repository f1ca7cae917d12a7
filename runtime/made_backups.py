"""Which backups were made of a state directory, as its audit tells. Making one, and what is in it, is backup.py's."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from host_api.store.protocol import Transaction

_RECORDS: Final = "SELECT n, record FROM audit WHERE {} ORDER BY n DESC".format(
    " OR ".join(f'record LIKE \'%"effect":"{name}"%\'' for name in ("state.backed_up", "user.erased", "program.erased"))
)


class MadeBackup(msgspec.Struct, frozen=True, kw_only=True):
    """A backup that was made of a state directory, as its audit tells."""

    made_us: int
    path: str
    head_n: int
    """Records of the audit that are in it."""
    erasures_since: int
    """Erasures of users and programs afterwards: the backup still holds what they erased."""


def made(tx: Transaction) -> list[MadeBackup]:
    """The backups that the audit tells of, newest first, each with the erasures that came after it."""
    backups: list[dict[str, Any]] = []
    erasures: list[tuple[int, object]] = []
    for n, text in tx.execute(_RECORDS):
        record: dict[str, Any] = msgspec.json.decode(text)
        if record["effect"] == "state.backed_up":
            backups.append(record)
        else:
            erasures.append((n, record.get("app_id", n)))
    found: list[MadeBackup] = []
    erased: set[object] = set()
    at = 0
    for record in sorted(backups, key=lambda one: -one["head_n"]):
        while at < len(erasures) and erasures[at][0] > record["head_n"]:  # also before it was whole: not in the copy
            erased.add(erasures[at][1])
            at += 1
        found.append(
            MadeBackup(
                made_us=record["at_us"], path=record["path"], head_n=record["head_n"], erasures_since=len(erased)
            )
        )
    return found
