"""A program leaves the registry: first nobody can call it, at the end nothing of it is here but whose its name is.

What lives here: jobs of `Store.write`, in this order: `leave`, `remove_some` until nothing is left, `forget`. Between
them its payments are ended and, where that is asked for, what it kept is erased. A crash in the middle leaves a program
that nobody can call; to uninstall it again does the rest.
"""

from __future__ import annotations

from typing import Final

from host_api import audit
from host_api.releases import contents, records
from host_api.store.protocol import Transaction, owe_scrub

BYTES_AT_ONCE: Final = 4 << 20
"""Of contents deleted in one transaction; what is deleted is overwritten, so it costs what it is long."""


def leave(tx: Transaction, app_id: str) -> bool:
    """From now on nobody can call it. False: there is no such program."""
    if records.find_program(tx, app_id) is None:
        return False
    records.change_program(tx, app_id, leaving=1)
    return True


def remove_some(tx: Transaction, app_id: str, *, scrub: bool = False) -> bool:
    """Some of its releases, with what no other program has of them; True while there are more. Nothing is done to a
    program that does not leave (it was installed anew)."""
    program = records.find_program(tx, app_id)
    if program is not None and not program.leaving:
        return False
    more = _remove(tx, app_id, BYTES_AT_ONCE)
    tx.execute("DELETE FROM trial_users WHERE app_id = :app_id", {"app_id": app_id})
    records.change_program(
        tx, app_id, candidate_code=0, stage="", share=0, killed="", quarantined="", sector="", min_code=0
    )
    if scrub:
        owe_scrub(tx)
    return more


def remove_releases(tx: Transaction, app_id: str) -> None:
    """All of them at once: for a program that is installed anew while it leaves."""
    while _remove(tx, app_id, BYTES_AT_ONCE):
        pass
    tx.execute("DELETE FROM trial_users WHERE app_id = :app_id", {"app_id": app_id})


def _remove(tx: Transaction, app_id: str, bytes_at_most: int) -> bool:
    dropped = 0
    while rows := tx.execute(
        "DELETE FROM releases WHERE app_id = :app_id"
        f" AND code = (SELECT min(code) FROM releases WHERE app_id = :app_id) RETURNING {contents.HAD}",
        {"app_id": app_id},
    ):
        for had in rows:
            dropped += contents.drop_unused(tx, had)
        if dropped > bytes_at_most:
            return True
    return False


def forget(tx: Transaction, app_id: str) -> bool:
    """The last of it, told in the audit. False: it was installed anew meanwhile, and stays."""
    gone = tx.execute("DELETE FROM programs WHERE app_id = :app_id AND leaving = 1 RETURNING 1", {"app_id": app_id})
    audit.record(tx, "program.uninstalled", app_id=app_id)
    return bool(gone)
