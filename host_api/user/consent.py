"""Consents: a user's word on one scope of one program, remembered with the very text it was given to.

What lives here: the rows, what they say at a given time, and the audit records of decisions. A yes holds for a year, a
no is remembered for seven days, both only for the purpose they were given to: a release that words its reason otherwise
has neither. How a user is asked is in asking.py.

Nothing is cached: a consent that was taken back is gone for the very next look, in a call in flight too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Final

from host_api import audit
from host_api.contract import Session
from host_api.errors import ApiError, ErrorCode
from host_api.store.protocol import Row, Store, Transaction
from host_api.user import purpose
from host_api.user.purpose import Purpose
from host_api.user.scopes import SCOPES

DAY_US: Final = 24 * 3600 * 1_000_000
VALID_US: Final = 365 * DAY_US
REFUSED_US: Final = 7 * DAY_US
_COLUMNS: Final = "app_id, user_id, scope, given, purpose_version, purpose, language, decided_us, expires_us"
_FIND: Final = f"SELECT {_COLUMNS} FROM consents WHERE app_id = :app_id AND user_id = :user"


class Standing(Enum):
    """What a user's word on a scope is now."""

    GRANTED = "granted"
    REFUSED = "refused"
    UNDECIDED = "undecided"
    """Never asked, or the time is over, or the purpose is another one now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """One decision, as it was made."""

    app_id: str
    user: str
    scope: str
    given: bool
    purpose: Purpose
    """What was shown: a later release may say something else."""
    decided_us: int
    expires_us: int
    """From then on the user may be asked again; a yes does not hold any more."""

    def standing(self, version: str, now_us: int) -> Standing:
        """For a program whose purpose has that version now."""
        if now_us >= self.expires_us or self.purpose.version != version:
            return Standing.UNDECIDED
        return Standing.GRANTED if self.given else Standing.REFUSED


class ConsentStore:
    """Consents of all users. `new_salt`: see `audit.subject`. `valid_us`, `refused_us`: for how long a yes holds, and
    for how long a no is remembered; microseconds, at least 1."""

    def __init__(
        self, *, store: Store, new_salt: Callable[[], bytes], valid_us: int = VALID_US, refused_us: int = REFUSED_US
    ) -> None:
        if min(valid_us, refused_us) < 1:
            raise ValueError("a consent and a refusal hold for at least a microsecond")
        self._store = store
        self._new_salt = new_salt
        self.valid_us = valid_us
        self._refused_us = refused_us

    # -- what programs may
    def require(self, session: Session, scope: str, now_us: int) -> None:
        """That the session's user consented to `scope` for this program and purpose; looked up anew each time.

        Raises ApiError CONSENT_REQUIRED, CONSENT_DENIED (with retry_after_ms), BUSY.
        """
        self.require_all(session, (scope,), now_us)

    def require_all(self, session: Session, scopes: Iterable[str], now_us: int) -> None:
        """As `require`, for several; the error names all that are missing, those never decided first."""
        wanted = tuple(scopes)
        self._store.read(lambda tx: require_in(tx, session, wanted, now_us))

    def standings(self, session: Session, scopes: Iterable[str], now_us: int) -> dict[str, Standing]:
        """Raises ApiError BUSY."""
        wanted = tuple(scopes)
        return self._store.read(lambda tx: standings_in(tx, session, wanted, now_us))

    def of_session(self, session: Session, now_us: int) -> list[Consent]:
        """What the session's user decided for this program and its purposes of now, in the order of scopes."""
        found = self._store.read(lambda tx: _find(tx, session.app_id, session.user))
        return [
            consent
            for consent in found
            if consent.standing(_version(session, consent.scope), now_us) is not Standing.UNDECIDED
        ]

    # -- what users may
    def of_user(self, user: str) -> list[Consent]:
        """What the user decided last, holding or not, by program and scope: for their own eyes. ApiError BUSY."""
        return self._store.read(
            lambda tx: [
                _consent(row)
                for row in tx.execute(
                    f"SELECT {_COLUMNS} FROM consents WHERE user_id = :user ORDER BY app_id, scope", {"user": user}
                )
            ]
        )

    async def revoke(self, app_id: str, user: str, scope: str | None = None) -> int:
        """The user takes consent back, to one scope or to all; how many there were. From the commit on nothing is
        given out any more, also not to a call in flight; it is remembered as a no. Raises ApiError of the store.
        """
        return await self._store.write(partial(self._revoke, app_id=app_id, user=user, scope=scope))

    def _revoke(self, tx: Transaction, *, app_id: str, user: str, scope: str | None) -> int:
        taken = [
            consent
            for consent in _find(tx, app_id, user)
            if consent.given and tx.now_us < consent.expires_us and scope in (None, consent.scope)
        ]
        for consent in taken:
            self._write(
                tx, "consent.revoked", _decided(consent, given=False, now_us=tx.now_us, for_us=self._refused_us)
            )
        return len(taken)

    # -- the answer of a prompt
    def decide(
        self, tx: Transaction, app_id: str, user: str, scope: str, shown: Purpose, *, given: bool, valid_us: int
    ) -> None:
        """Remember the user's answer on one scope. Part of the transaction that ends the prompt."""
        consent = Consent(
            app_id=app_id,
            user=user,
            scope=scope,
            given=given,
            purpose=shown,
            decided_us=tx.now_us,
            expires_us=tx.now_us + (valid_us if given else self._refused_us),
        )
        self._write(tx, "consent.given" if given else "consent.refused", consent)

    def _write(self, tx: Transaction, effect: str, consent: Consent) -> None:
        """The row and its audit record."""
        tx.execute(
            f"INSERT INTO consents ({_COLUMNS}) VALUES (:app_id, :user, :scope, :given, :version, :text, :language,"
            " :decided_us, :expires_us) ON CONFLICT (app_id, user_id, scope) DO UPDATE SET given = excluded.given,"
            " purpose_version = excluded.purpose_version, purpose = excluded.purpose, language = excluded.language,"
            " decided_us = excluded.decided_us, expires_us = excluded.expires_us",
            {
                "app_id": consent.app_id,
                "user": consent.user,
                "scope": consent.scope,
                "given": int(consent.given),
                "version": consent.purpose.version,
                "text": consent.purpose.text,
                "language": consent.purpose.language,
                "decided_us": consent.decided_us,
                "expires_us": consent.expires_us,
            },
        )
        audit.record(
            tx,
            effect,
            app_id=consent.app_id,
            subject=audit.subject(tx, consent.user, self._new_salt),
            scope=consent.scope,
            purpose_version=consent.purpose.version,
            expires_us=consent.expires_us,
        )


def standings_in(tx: Transaction, session: Session, scopes: Iterable[str], now_us: int) -> dict[str, Standing]:
    """For a job that acts on a consent: in its own transaction."""
    found = {consent.scope: consent for consent in _find(tx, session.app_id, session.user)}
    return {
        scope: found[scope].standing(_version(session, scope), now_us) if scope in found else Standing.UNDECIDED
        for scope in scopes
    }


def require_in(tx: Transaction, session: Session, scopes: Iterable[str], now_us: int) -> None:
    """See ConsentStore.require_all; for a job that acts on the consent: in its own transaction."""
    found = standings_in(tx, session, scopes, now_us)
    if undecided := [scope for scope, standing in found.items() if standing is Standing.UNDECIDED]:
        raise _refusal(ErrorCode.CONSENT_REQUIRED, "the user has not been asked about", undecided)
    if refused := [scope for scope, standing in found.items() if standing is Standing.REFUSED]:
        until_us = max(one.expires_us for one in _find(tx, session.app_id, session.user) if one.scope in refused)
        raise _refusal(ErrorCode.CONSENT_DENIED, "no consent to", refused, -(-(until_us - now_us) // 1_000))


def is_given(tx: Transaction, app_id: str, user: str, scope: str) -> bool:
    """Whether the user's last word on the scope was a yes whose time is not over, whatever its purpose was."""
    return any(
        consent.scope == scope and consent.given and tx.now_us < consent.expires_us
        for consent in _find(tx, app_id, user)
    )


def _refusal(code: ErrorCode, what: str, scopes: list[str], retry_after_ms: int | None = None) -> ApiError:
    return ApiError(
        code, f"{what} {', '.join(scopes)}: {code.cure}", details={"scopes": scopes}, retry_after_ms=retry_after_ms
    )


def _version(session: Session, scope: str) -> str:
    return purpose.version(session.reasons.get(SCOPES[scope].capability, {}))


def _decided(consent: Consent, *, given: bool, now_us: int, for_us: int) -> Consent:
    return Consent(
        app_id=consent.app_id,
        user=consent.user,
        scope=consent.scope,
        given=given,
        purpose=consent.purpose,
        decided_us=now_us,
        expires_us=now_us + for_us,
    )


def _find(tx: Transaction, app_id: str, user: str) -> list[Consent]:
    """At most one a scope."""
    return [_consent(row) for row in tx.execute(f"{_FIND} ORDER BY scope", {"app_id": app_id, "user": user})]


def _consent(row: Row) -> Consent:
    return Consent(
        app_id=row[0],
        user=row[1],
        scope=row[2],
        given=bool(row[3]),
        purpose=Purpose(version=row[4], text=row[5], language=row[6]),
        decided_us=row[7],
        expires_us=row[8],
    )
