"""The notify service: its two methods, as sessions call them.

What lives here: the order of the checks of one notice. It is looked at twice, before and in the transaction that keeps
it, so that refusals cost no commit and a consent taken back meanwhile counts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from host_api import audit
from host_api.contract import Bound, Session, acting_user
from host_api.errors import ApiError, ErrorCode, limit_exceeded
from host_api.notify import notices
from host_api.notify.methods import (
    CAPABILITY,
    REQUEST,
    SCOPE,
    SEND,
    RequestParams,
    RequestResult,
    SendParams,
    SendResult,
)
from host_api.notify.notices import Notice
from host_api.notify.templates import rendered
from host_api.store.protocol import Store, Transaction
from host_api.user.asking import ConsentPrompts
from host_api.user.consent import ConsentStore, Standing, require_in
from host_api.user.purpose import nearest

_TOLD: Final[dict[Standing, Literal["granted", "refused", "pending"]]] = {
    Standing.GRANTED: "granted",
    Standing.REFUSED: "refused",
    Standing.UNDECIDED: "pending",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wording:
    text: str
    language: str


class NotifyService:
    """Answers notify.*; holds nothing but what it was given."""

    def __init__(
        self,
        *,
        store: Store,
        consents: ConsentStore,
        prompts: ConsentPrompts,
        announce: Callable[[Notice], None],
        new_id: Callable[[], str],
        new_salt: Callable[[], bytes],
    ) -> None:
        """`announce` is called with each notice once it is durable, and must not wait. `new_id`: 128 random bits as
        text. `new_salt`: see `audit.subject`."""
        self._store = store
        self._consents = consents
        self._prompts = prompts
        self._announce = announce
        self._new_id = new_id
        self._new_salt = new_salt

    def bound(self) -> tuple[Bound, ...]:
        return (Bound(REQUEST, self.request), Bound(SEND, self.send))

    async def request(self, session: Session, params: RequestParams) -> RequestResult:
        """Raises ApiError as ConsentPrompts.ask."""
        acting_user(session)
        found = await self._prompts.ask(session, (SCOPE,), params.wait_ms)
        return RequestResult(status=_TOLD[found[SCOPE]])

    async def send(self, session: Session, params: SendParams) -> SendResult:
        """Raises ApiError as `_admit`, and of the store."""
        user = acting_user(session)
        language = params.language or self._language(session)
        self._store.read(lambda tx: _admit(tx, session, params, language))
        notice_id = self._new_id()

        def job(tx: Transaction) -> Notice:
            wording = _admit(tx, session, params, language)
            notice = Notice(
                id=notice_id, app_id=session.app_id, user=user, template=params.template, text=wording.text,
                language=wording.language, created_us=tx.now_us,
            )  # fmt: skip
            notices.insert(tx, notice)
            subject = audit.subject(tx, user, self._new_salt)
            audit.record(
                tx, "notice.sent", app_id=session.app_id, subject=subject, template=params.template, notice=notice_id
            )
            return notice

        self._announce(await self._store.write(job))
        return SendResult(id=notice_id)

    def _language(self, session: Session) -> str:
        """The user's: of the session while they look, else the one they were asked in whether they want messages."""
        if session.interactive:
            return session.locale
        decided = self._consents.of_session(session, self._store.now_us())
        return next((one.purpose.language for one in decided if one.scope == SCOPE), "") or session.locale


def _admit(tx: Transaction, session: Session, params: SendParams, language: str) -> _Wording:
    """What the user is to read.

    Raises ApiError, in this order: of the capability as it is now, GRANT_CONSTRAINT (count), CONSENT_REQUIRED or
    CONSENT_DENIED, INVALID_PARAMS, LIMIT_EXCEEDED.
    """
    grant = session.authority.require(CAPABILITY, tx.now_us)
    sent = notices.sent_in_last_day(tx, session.app_id, session.user)
    if grant.count is not None and sent >= grant.count:
        raise ApiError(
            ErrorCode.GRANT_CONSTRAINT,
            f"{sent + 1} notices in 24 hours are outside the grant's count = {grant.count}",
            details={"constraint": "count", "value": grant.count, "used": sent + 1},
        )
    require_in(tx, session, (SCOPE,), tx.now_us)
    wording = _wording(session, params, language)
    if sent >= session.limits.notices_per_day:
        most = session.limits.notices_per_day
        raise limit_exceeded("notices_per_day", most, sent + 1, "messages", "notices to this user in 24 hours")
    return wording


def _wording(session: Session, params: SendParams, language: str) -> _Wording:
    texts = session.notices.get(params.template)
    if texts is None:
        known = ", ".join(session.notices) or "none"
        raise _invalid("template", f"the manifest has no such notice; it has {known}")
    chosen = nearest(texts, language)
    try:
        return _Wording(text=rendered(texts[chosen], params.params), language=chosen)
    except ValueError as error:
        raise _invalid("params", str(error)) from None


def _invalid(parameter: str, problem: str) -> ApiError:
    return ApiError(
        ErrorCode.INVALID_PARAMS,
        f"{parameter}: {problem}",
        details={"path": f"$.{parameter}", "problem": problem},
    )
