"""user.*: the methods as they are declared. What answers them is in service.py.

There is no parameter for a user: whom a call acts for comes from the host's record alone.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal, get_args

import msgspec

from host_api.contract import Method, Params, Result
from host_api.errors import ErrorCode
from host_api.user.fields import Address
from host_api.user.scopes import ProfileScope, UserScope

PROFILE: Final = "user.profile"
PHONE: Final = "user.phone"
ADDRESS: Final = "user.address"
USER_SCOPES: Final[tuple[str, ...]] = get_args(UserScope)
PROFILE_SCOPES: Final[tuple[str, ...]] = get_args(ProfileScope)


class LoginParams(Params, frozen=True, kw_only=True):
    """None."""


class LoginResult(Result, frozen=True, kw_only=True):
    """The user's id for this program."""

    id: str
    """Always the same for this program, and another one for programs of other developers."""


class AuthorizeParams(Params, frozen=True, kw_only=True):
    """What to ask consent for."""

    scopes: Annotated[list[UserScope], msgspec.Meta(min_length=1, max_length=len(USER_SCOPES))]
    """Each once."""
    wait_ms: Annotated[int, msgspec.Meta(ge=0, le=600_000)] = 0
    """How long to wait for the user; 0 answers at once, never longer than the limit prompt_wait_ms."""

    def __post_init__(self) -> None:
        _each_once(self.scopes)


class AuthorizeResult(Result, frozen=True, kw_only=True):
    """What the user decided."""

    scopes: dict[str, Literal["granted", "refused", "pending"]]
    """Scope → `granted`, `refused`, or `pending`: not decided, or not yet; ask again."""


class ProfileParams(Params, frozen=True, kw_only=True):
    """Which fields."""

    scopes: Annotated[list[ProfileScope], msgspec.Meta(min_length=1, max_length=len(PROFILE_SCOPES))]
    """What is needed now, each once."""

    def __post_init__(self) -> None:
        _each_once(self.scopes)


class ProfileResult(Result, frozen=True, kw_only=True):
    """The fields asked for."""

    profile: dict[str, str | None]
    """Scope → value, of those asked for; nil where it is not known. `avatar` is an https URL, `locale` a BCP 47 tag,
    `age_band` one of 0-12, 13-15, 16-17, 18+."""


class PhoneParams(Params, frozen=True, kw_only=True):
    """How much of it."""

    masked: bool = True
    """The last digits only (scope `phone_masked`), or the whole number (scope `phone`)."""


class PhoneResult(Result, frozen=True, kw_only=True):
    """The number."""

    phone: str | None
    """`****1234`, or the number in E.164; nil where it is not known."""


class AddressParams(Params, frozen=True, kw_only=True):
    """None."""


class AddressResult(Result, frozen=True, kw_only=True):
    """The address."""

    address: Address | None
    """Only parts that are known; nil where none is."""


class ConsentsParams(Params, frozen=True, kw_only=True):
    """None."""


class Decided(msgspec.Struct, frozen=True, kw_only=True):
    """One decision of the user."""

    scope: str
    """What was decided about."""
    given: bool
    """A yes that holds, or a no that is remembered."""
    expires_at_ms: int
    """Until when; milliseconds since the epoch."""


class ConsentsResult(Result, frozen=True, kw_only=True):
    """What this user decided for this program and what holds now, by scope."""

    consents: list[Decided]
    """By scope; only what holds now."""


def _each_once(scopes: list[UserScope] | list[ProfileScope]) -> None:
    if len(set(scopes)) != len(scopes):
        raise ValueError("name each scope once")


_CONSENTED = (ErrorCode.CONSENT_REQUIRED, ErrorCode.CONSENT_DENIED, ErrorCode.BUSY)

LOGIN: Final = Method(
    name="user.login",
    capability="user.login",
    params=LoginParams,
    result=LoginResult,
    errors=(),
    waits=False,
    summary="Who the user is to this program: an id that nobody can join with other programs' ids.",
    example={},
    answer={"id": "k3xq7mmvb2jd4tkz6yfa5uwnpe"},
)
AUTHORIZE: Final = Method(
    name="user.authorize",
    capability=None,
    params=AuthorizeParams,
    result=AuthorizeResult,
    errors=(
        ErrorCode.CAPABILITY_UNDECLARED,
        ErrorCode.CAPABILITY_NOT_GRANTED,
        ErrorCode.GRANT_EXPIRED,
        ErrorCode.RATE_LIMITED,
        ErrorCode.CASHIER_BUSY,
        ErrorCode.NOT_INTERACTIVE,
        ErrorCode.UNKNOWN_OUTCOME,
        ErrorCode.BUSY,
    ),
    waits=True,
    summary="Ask the user, in one dialog, for consent to what is not decided yet; needs the capability of each scope.",
    example={"scopes": ["nickname", "phone_masked"], "wait_ms": 60_000},
    answer={"scopes": {"nickname": "granted", "phone_masked": "granted"}},
)
GET_PROFILE: Final = Method(
    name="user.profile",
    capability=PROFILE,
    params=ProfileParams,
    result=ProfileResult,
    errors=_CONSENTED,
    waits=True,
    summary="Fields of the user's profile that they consented to.",
    example={"scopes": ["nickname", "avatar"]},
    answer={"profile": {"nickname": "Lin", "avatar": None}},
)
GET_PHONE: Final = Method(
    name="user.phone",
    capability=PHONE,
    params=PhoneParams,
    result=PhoneResult,
    errors=_CONSENTED,
    waits=True,
    summary="The user's phone number: its last digits, or the whole of it.",
    example={},
    answer={"phone": "****0123"},
)
GET_ADDRESS: Final = Method(
    name="user.address",
    capability=ADDRESS,
    params=AddressParams,
    result=AddressResult,
    errors=_CONSENTED,
    waits=True,
    summary="The user's postal address.",
    example={},
    answer={"address": {"recipient": "Lin Mei", "country": "CN", "city": "Hangzhou", "street": "1 West Lake Road"}},
)
CONSENTS: Final = Method(
    name="user.consents",
    capability=None,
    params=ConsentsParams,
    result=ConsentsResult,
    errors=(ErrorCode.BUSY,),
    waits=False,
    summary="What the user decided for this program: what may be asked for without a dialog.",
    example={},
    answer={"consents": [{"scope": "nickname", "given": True, "expires_at_ms": 1_831_536_000_000}]},
)
