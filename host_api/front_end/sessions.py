"""Sessions of front ends: issued by the platform's backend, carried as tokens, ended before their time.

What lives here: what the host says yes to, and the rows of users whose sessions were ended. The form of a token is in
token.py; how one travels is the front door's business (HTTP).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from host_api import audit
from host_api.front_end.token import LIFE_S, LIFE_S_MAX, FrontEndSession, TokenRefused, TokenSigner
from host_api.store.protocol import Store, Transaction

_LIFE_US_MAX: Final = LIFE_S_MAX * 1_000_000


class FrontEnds:
    """Issues tokens and takes them. `key`: KEY_BYTES secret bytes; `new_salt`: see `audit.subject`."""

    def __init__(self, *, store: Store, key: bytes, new_salt: Callable[[], bytes]) -> None:
        self._store = store
        self._signer = TokenSigner(key)
        self._new_salt = new_salt

    def issue_token(
        self,
        user: str,
        *,
        interactive: bool = True,
        locale: str = "en",
        time_zone: str = "UTC",
        currency: str = "CNY",
        programs: Sequence[str] | None = None,
        life_s: int = LIFE_S,
    ) -> str:
        """A token with which a front end speaks for `user`, for `life_s` seconds (1 to 3,600).

        For the platform's backend, once it knows who the user is: whoever has the token is that user to the host.
        `interactive`: the user is looking, so prompts may open and be answered. `programs`: app_ids it may speak of;
        None: all. Nothing is stored. Raises ValueError for what cannot be.
        """
        now_us = self._store.now_us()
        return self._signer.sign(
            FrontEndSession(
                user=user, interactive=interactive, locale=locale, time_zone=time_zone, currency=currency,
                programs=None if programs is None else tuple(programs), issued_us=now_us,
                expires_us=now_us + life_s * 1_000_000,
            )
        )  # fmt: skip

    def session_of(self, token: str) -> FrontEndSession:
        """The session that a token carries. Raises TokenRefused, ApiError BUSY of the store."""
        session = self._signer.read(token, self._store.now_us())
        user_hash = self._signer.hash_of(session.user)
        rows = self._store.read(
            lambda tx: tx.execute("SELECT before_us FROM ended_sessions WHERE user_hash = :hash", {"hash": user_hash})
        )
        if rows and session.issued_us <= rows[0][0]:
            raise TokenRefused("token_invalid", "this is no token of this host, or its session was ended")
        return session

    async def end_sessions(self, user: str, *, erasing: bool = False) -> None:
        """Tokens issued for `user` up to now count no more, from the commit on; what was begun with them goes on.
        Audited, unless it is part of an erasure, which leaves a record of its own and no salt behind. Raises ValueError
        for nobody, and ApiError of the store."""
        if not user:
            raise ValueError("a user has a name: '' is nobody")
        await self._store.write(partial(self._end, user=user, erasing=erasing))

    def _end(self, tx: Transaction, *, user: str, erasing: bool) -> None:
        tx.execute(
            "INSERT INTO ended_sessions (user_hash, before_us, gone_us) VALUES (:hash, :before_us, :gone_us)"
            " ON CONFLICT (user_hash) DO UPDATE SET before_us = excluded.before_us, gone_us = excluded.gone_us",
            {"hash": self._signer.hash_of(user), "before_us": tx.now_us, "gone_us": tx.now_us + _LIFE_US_MAX + 1},
        )
        if not erasing:
            audit.record(tx, "sessions.ended", subject=audit.subject(tx, user, self._new_salt))


def prune(tx: Transaction, at_most: int) -> int:
    """Delete up to `at_most` rows that no token is left for; returns how many."""
    return len(
        tx.execute(
            "DELETE FROM ended_sessions WHERE user_hash IN (SELECT user_hash FROM ended_sessions"
            " WHERE gone_us <= :now_us ORDER BY gone_us LIMIT :at_most) RETURNING 1",
            {"now_us": tx.now_us, "at_most": at_most},
        )
    )
