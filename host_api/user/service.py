"""The user service: its six methods, as sessions call them.

What lives here: the order of the checks (user, capability, consent), asking the directory, and looking again before
what it said is given out. Nothing here tells a user that nobody knows from one of whom nothing is known.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

from host_api.contract import Bound, Clock, Session, acting_user
from host_api.errors import ApiError, ErrorCode
from host_api.user import fields, methods
from host_api.user.asking import TOLD, ConsentPrompts
from host_api.user.consent import ConsentStore
from host_api.user.directory import Directory
from host_api.user.fields import checked, masked
from host_api.user.methods import (
    AddressParams,
    AddressResult,
    AuthorizeParams,
    AuthorizeResult,
    ConsentsParams,
    ConsentsResult,
    Decided,
    LoginParams,
    LoginResult,
    PhoneParams,
    PhoneResult,
    ProfileParams,
    ProfileResult,
)
from host_api.user.pairwise import PairwiseIds
from host_api.user.scopes import SCOPES

_log = logging.getLogger(__name__)

RETRY_AFTER_MS: Final = 1_000


class UserService:
    """Answers user.*; holds nothing but what it was given. `clock`: what grants and consents end by."""

    def __init__(
        self,
        *,
        clock: Clock,
        directory: Directory,
        consents: ConsentStore,
        prompts: ConsentPrompts,
        pairwise: PairwiseIds,
    ) -> None:
        self._now_us = clock.now_us
        self._directory = directory
        self._consents = consents
        self._prompts = prompts
        self._pairwise = pairwise

    def bound(self) -> tuple[Bound, ...]:
        return (
            Bound(methods.LOGIN, self.login),
            Bound(methods.AUTHORIZE, self.authorize),
            Bound(methods.GET_PROFILE, self.profile),
            Bound(methods.GET_PHONE, self.phone),
            Bound(methods.GET_ADDRESS, self.address),
            Bound(methods.CONSENTS, self.consents),
        )

    # -- at once
    def login(self, session: Session, params: LoginParams) -> LoginResult:
        """No consent is needed: the id tells a program nothing but that it is the same user again."""
        return LoginResult(id=self._pairwise.of(session.sector, acting_user(session)))

    def consents(self, session: Session, params: ConsentsParams) -> ConsentsResult:
        acting_user(session)
        found = self._consents.of_session(session, self._now_us())
        return ConsentsResult(
            consents=[Decided(scope=one.scope, given=one.given, expires_at_ms=one.expires_us // 1_000) for one in found]
        )

    # -- after the user's answer
    async def authorize(self, session: Session, params: AuthorizeParams) -> AuthorizeResult:
        """Raises ApiError: of the capabilities, the one that comes first in the order of codes; see ConsentPrompts."""
        acting_user(session)
        _require_capabilities(session, params.scopes, self._now_us())
        found = await self._prompts.ask(session, params.scopes, params.wait_ms)
        return AuthorizeResult(scopes={scope: TOLD[standing] for scope, standing in found.items()})

    # -- after the directory's answer
    async def profile(self, session: Session, params: ProfileParams) -> ProfileResult:
        return ProfileResult(profile=await self._look_up(session, params.scopes, params.scopes))

    async def phone(self, session: Session, params: PhoneParams) -> PhoneResult:
        scope = "phone_masked" if params.masked else "phone"
        phone = (await self._look_up(session, (scope,), ("phone",)))["phone"]
        return PhoneResult(phone=masked(phone) if phone is not None and params.masked else phone)

    async def address(self, session: Session, params: AddressParams) -> AddressResult:
        text = (await self._look_up(session, ("address",), ("address",)))["address"]
        return AddressResult(address=None if text is None else fields.address(text))

    async def _look_up(self, session: Session, scopes: Sequence[str], names: Sequence[str]) -> dict[str, str | None]:
        """What the directory knows of `names`, if `scopes` are consented to: now, and still when it has answered.

        Raises ApiError as the capability and the consent say, BUSY.
        """
        user = acting_user(session)
        self._consents.require_all(session, scopes, self._now_us())
        found = await self._ask_directory(user, names)
        now_us = self._now_us()
        _require_capabilities(session, scopes, now_us)
        self._consents.require_all(session, scopes, now_us)
        return found

    async def _ask_directory(self, user: str, names: Sequence[str]) -> dict[str, str | None]:
        try:
            found = await self._directory.fields(user, names)
            return {name: _sound(name, found.get(name)) for name in names}
        except Exception as error:  # whatever it says may name the user
            _log.error("the directory of users failed: %s", type(error).__name__)
            raise ApiError(
                ErrorCode.BUSY, "the directory of users does not answer now", retry_after_ms=RETRY_AFTER_MS
            ) from None


def _require_capabilities(session: Session, scopes: Sequence[str], now_us: int) -> None:
    refused = []
    for capability in dict.fromkeys(SCOPES[scope].capability for scope in scopes):
        try:
            session.authority.require(capability, now_us)
        except ApiError as error:
            refused.append(error)
    if refused:
        raise min(refused, key=lambda error: error.code.number)


def _sound(name: str, value: object) -> str | None:
    """The directory's value; None for one that may not be given out, which is logged without it."""
    if value is None:
        return None
    try:
        return checked(name, value)
    except ValueError:
        _log.warning("the directory of users gave a %s that cannot be", name)
        return None
