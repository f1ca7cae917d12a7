"""What is a user's own: consents, notices, and the wallet. Of the session's user, and of nobody else."""

from __future__ import annotations

from typing import Final

from host_api.ledger import AccountKind, AccountName
from runtime.daemon.http.endpoint import Answer, Ask, Endpoint, Nothing
from runtime.daemon.http.refusal import Refused


class ConsentAnswer(Answer, frozen=True, kw_only=True):
    """The user's last word on one scope. Times are µs since the epoch."""

    app_id: str
    scope: str
    given: bool
    purpose: str
    """The text that was shown."""
    language: str
    """Of the text, BCP 47; '' where the program names none."""
    decided_us: int
    expires_us: int
    """From then on it holds no more."""


class Consents(Answer, frozen=True, kw_only=True):
    consents: list[ConsentAnswer]
    """By program and scope."""


class TakenBack(Answer, frozen=True, kw_only=True):
    taken_back: int
    """1, or 0 where no consent held."""


class NoticeAnswer(Answer, frozen=True, kw_only=True):
    """A message of a program to the user. Who it comes from is drawn from `app_id`; the text never says it."""

    id: str
    app_id: str
    text: str
    language: str
    """Of the text, BCP 47; '' where the program names none."""
    created_us: int


class NoticeList(Answer, frozen=True, kw_only=True):
    notices: list[NoticeAnswer]
    """The oldest first, 100 at most."""


class Taken(Answer, frozen=True, kw_only=True):
    taken: bool
    """Always true: the notice was shown, and the host has forgotten its text."""


class Wallet(Answer, frozen=True, kw_only=True):
    """In minor units: 1250 is 12.50 of a currency with two digits."""

    currency: str
    available: int
    held: int
    """For payments that were confirmed and are not captured yet."""


async def list_consents(ask: Ask) -> Consents:
    session = ask.session
    return Consents(
        consents=[
            ConsentAnswer(
                app_id=consent.app_id, scope=consent.scope, given=consent.given, purpose=consent.purpose.text,
                language=consent.purpose.language, decided_us=consent.decided_us, expires_us=consent.expires_us,
            )
            for consent in ask.host.consents.of_user(session.user)
            if session.may_reach(consent.app_id)
        ]
    )  # fmt: skip


async def take_consent_back(ask: Ask) -> TakenBack:
    app_id = ask.of("app_id")
    if not ask.session.may_reach(app_id):
        return TakenBack(taken_back=0)
    return TakenBack(taken_back=await ask.host.consents.revoke(app_id, ask.session.user, ask.of("scope")))


async def list_notices(ask: Ask) -> NoticeList:
    session = ask.session
    return NoticeList(
        notices=[
            NoticeAnswer(
                id=notice.id, app_id=notice.app_id, text=notice.text, language=notice.language,
                created_us=notice.created_us,
            )
            for notice in ask.host.notices.pending(session.user)
            if session.may_reach(notice.app_id)
        ]
    )  # fmt: skip


async def take_notice(ask: Ask) -> Taken:
    wanted, session = ask.of("id"), ask.session
    mine = (notice for notice in ask.host.notices.pending(session.user) if session.may_reach(notice.app_id))
    if not any(notice.id == wanted for notice in mine) or not await ask.host.notices.take(wanted):
        raise Refused("notice_not_found", "no such notice waits: it was taken, or its time is over")
    return Taken(taken=True)


async def show_wallet(ask: Ask) -> Wallet:
    try:
        account = AccountName(kind=AccountKind.WALLET, owner=ask.session.user, currency=ask.of("currency"))
    except ValueError:
        raise Refused("invalid_argument", "no currency is called so (ISO 4217), such as EUR") from None
    balance = ask.host.balance(account)
    return Wallet(currency=account.currency, available=balance.available, held=balance.held)


ENDPOINTS: Final = (
    Endpoint(
        name="listConsents",
        method="GET",
        path="/v1/consents",
        summary="What the user allowed and refused to programs.",
        run=list_consents,
        answer=Consents,
    ),
    Endpoint(
        name="takeConsentBack",
        method="DELETE",
        path="/v1/consents/{app_id}/{scope}",
        summary="Take a consent back; nothing is given out from then on.",
        run=take_consent_back,
        answer=TakenBack,
    ),
    Endpoint(
        name="listNotices",
        method="GET",
        path="/v1/notices",
        summary="Messages of programs that wait for the user.",
        run=list_notices,
        answer=NoticeList,
    ),
    Endpoint(
        name="takeNotice",
        method="POST",
        path="/v1/notices/{id}/take",
        summary="The notice was shown: forget it.",
        run=take_notice,
        answer=Taken,
        body=Nothing,
    ),
    Endpoint(
        name="showWallet",
        method="GET",
        path="/v1/wallet/{currency}",
        summary="What lies in the user's wallet, in one currency (ISO 4217).",
        run=show_wallet,
        answer=Wallet,
    ),
)
