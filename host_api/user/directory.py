"""The directory of users: what is known of each. A platform brings its own, or uses the embedded one.

What lives here: the interface and the embedded directory, on the table user_fields. What a value may be is in
fields.py; whether a program may see one is not decided here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Protocol

from host_api import audit
from host_api.erasure.tombstone import PREFIX, is_tombstone
from host_api.store.protocol import Store, Transaction
from host_api.user.fields import checked


class Directory(Protocol):
    """Where the host looks fields of a user up, each time a program asks."""

    async def fields(self, user: str, names: Sequence[str]) -> Mapping[str, str]:
        """Those of `names` (see `fields.FIELDS`) that are known of `user`; {} for a user nobody knows.

        Called with fields the user consented to, and no others. It may wait; it is cancelled with the call. A value
        that `fields.checked` refuses is as if it were not known. Whatever is raised is answered as `busy`.
        """
        ...


class EmbeddedDirectory:
    """In the host's own store. `new_salt`: see `audit.subject`."""

    def __init__(self, *, store: Store, new_salt: Callable[[], bytes]) -> None:
        self._store = store
        self._new_salt = new_salt

    async def fields(self, user: str, names: Sequence[str]) -> Mapping[str, str]:
        """See Directory. Raises ApiError BUSY."""
        rows = self._store.read(
            lambda tx: tx.execute("SELECT field, value FROM user_fields WHERE user_id = :user", {"user": user})
        )
        return {name: value for name, value in rows if name in names}

    async def put(self, user: str, fields: Mapping[str, str | None]) -> None:
        """The operator's: set what is known of `user`; None forgets a field, others stay as they are.

        Raises ValueError with what a value must be (all of them are checked first), ApiError of the store.
        """
        if not user:
            raise ValueError("a user has a name: '' is nobody")
        if is_tombstone(user):
            raise ValueError(f"no user is called so: {PREFIX} stands for users that were erased")
        values = {name: None if value is None else checked(name, value) for name, value in fields.items()}
        await self._store.write(partial(self._put, user=user, values=values))

    def _put(self, tx: Transaction, *, user: str, values: Mapping[str, str | None]) -> None:
        for name, value in values.items():
            place = {"user": user, "field": name}
            if value is None:
                tx.execute("DELETE FROM user_fields WHERE user_id = :user AND field = :field", place)
            else:
                tx.execute(
                    "INSERT INTO user_fields (user_id, field, value) VALUES (:user, :field, :value)"
                    " ON CONFLICT (user_id, field) DO UPDATE SET value = excluded.value",
                    {**place, "value": value},
                )
        names = " ".join(sorted(values))
        audit.record(tx, "user.fields_put", subject=audit.subject(tx, user, self._new_salt), fields=names)
