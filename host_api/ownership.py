"""Whose a program's id is: the developer whose key first signed a release of it, for ever.

What lives here: the rule and its row. What a program keeps, what users allowed it and what it was paid are found by its
id; so nobody else may release under that id, unless the operator says that the program has changed hands. Runs inside a
job of `Store.write`.
"""

from __future__ import annotations

from collections.abc import Collection

from host_api import audit
from host_api.store.protocol import Transaction


class NotOwner(Exception):
    """The id is another developer's. `owner` is who that is: a developer's id, or a name of the operator's keyring."""

    def __init__(self, app_id: str, owner: str) -> None:
        super().__init__(f"{app_id} belongs to {owner}")
        self.owner = owner


def owner_of(tx: Transaction, app_id: str) -> str:
    """'' for nobody."""
    rows = tx.execute("SELECT developer FROM program_owners WHERE app_id = :app_id", {"app_id": app_id})
    return str(rows[0][0]) if rows else ""


def claim(
    tx: Transaction, app_id: str, developer: str, *, new_owner: bool, also_known_as: Collection[str] = ()
) -> None:
    """`developer` ('' for a release that nobody vouches for) releases under `app_id`: the first who is somebody owns it
    from then on. Raises NotOwner for another, unless `new_owner`; then what users allowed the program before is gone.

    `also_known_as`: what the same developer was called before: by a keyring, or by the id of a key. It is the same one,
    and is called by its new name from then on.
    """
    owner = owner_of(tx, app_id)
    if developer == owner:
        return
    known = bool(owner) and owner in also_known_as
    if owner and not new_owner and not known:
        raise NotOwner(app_id, owner)
    tx.execute(
        "INSERT INTO program_owners (app_id, developer) VALUES (:app_id, :developer)"
        " ON CONFLICT (app_id) DO UPDATE SET developer = excluded.developer",
        {"app_id": app_id, "developer": developer},
    )
    if owner and not known:
        tx.execute("DELETE FROM consents WHERE app_id = :app_id", {"app_id": app_id})
    audit.record(tx, "program.owned", app_id=app_id, developer=developer, before=owner)
