"""Front-end tokens: bytes that say for whom a front end speaks, and that the host said so. Stateless; no I/O.

What lives here: the form of a token, and what one may say. Whether the user's sessions were ended meanwhile is
sessions.py's.

    hostel1.KEY.CLAIMS.MAC

KEY is the id of the host's key, CLAIMS a JSON object, MAC = HMAC-SHA256(key, "hostel front-end token 1\\0" ‖ everything
before the last dot); the last two in base64url without padding. The text is compared, never its decoded bytes, so that
there is one text for each token.
"""

from __future__ import annotations

import hmac
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec

from host_api.money import EXPONENTS
from host_api.store.key_file import KEY_BYTES, key_id

KEY_PURPOSE: Final = "tokens"
"""Its key file in the state directory's `keys/`."""
LIFE_S: Final = 900
LIFE_S_MAX: Final = 3_600
TOKEN_CHARS_MAX: Final = 4_096
USER_CHARS_MAX: Final = 256
PROGRAMS_MAX: Final = 32
_FORM: Final = "hostel1"
_DOMAIN: Final = b"hostel front-end token 1\0"
_LOCALE: Final = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,7}")
_TIME_ZONE: Final = re.compile(r"[A-Za-z0-9_+-]{1,32}(/[A-Za-z0-9_+-]{1,32}){0,2}")
_APP_ID: Final = re.compile(r"[a-z0-9._-]{1,128}")


class TokenRefused(Exception):
    """`code` is stable: `token_invalid` (not made by this host, or changed, or ended), `token_expired`."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontEndSession:
    """For whom a front end speaks, and how far. Raises ValueError for what cannot be."""

    user: str
    """The host's own id of the user, 1 to 256 characters."""
    interactive: bool
    """The user is looking: prompts may open, and be answered."""
    locale: str
    """BCP 47."""
    time_zone: str
    """IANA."""
    currency: str
    """ISO 4217."""
    programs: tuple[str, ...] | None
    """The app_ids it may speak of, at most 32; None: all."""
    issued_us: int
    expires_us: int
    """From then on it counts no more; µs since the epoch, at most an hour after `issued_us`."""

    def __post_init__(self) -> None:
        if not 1 <= len(self.user) <= USER_CHARS_MAX or not is_text(self.user):
            raise ValueError(f"a session has a user: 1 to {USER_CHARS_MAX} characters")
        if not _LOCALE.fullmatch(self.locale):
            raise ValueError(f"{ascii(self.locale)[:80]} is no language tag (BCP 47), such as en-GB")
        if not _TIME_ZONE.fullmatch(self.time_zone):
            raise ValueError(f"{ascii(self.time_zone)[:80]} is no time zone (IANA), such as Europe/London")
        if self.currency not in EXPONENTS:
            raise ValueError(f"{ascii(self.currency)[:16]} is no currency (ISO 4217), such as EUR")
        if self.programs is not None:
            if not 1 <= len(self.programs) <= PROGRAMS_MAX:
                raise ValueError(f"programs: 1 to {PROGRAMS_MAX} app_ids, or None for all, not {len(self.programs)}")
            for app_id in self.programs:
                if not _APP_ID.fullmatch(app_id):
                    raise ValueError(f"programs: {ascii(app_id)[:80]} is no app_id")
        if not 0 < self.expires_us - self.issued_us <= LIFE_S_MAX * 1_000_000:
            raise ValueError(f"a session lives 1 to {LIFE_S_MAX} seconds")

    def may_reach(self, app_id: str) -> bool:
        """Whether the front end may speak of that program."""
        return self.programs is None or app_id in self.programs


class _Claims(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    user: str
    interactive: bool
    locale: str
    time_zone: str
    currency: str
    programs: tuple[str, ...] | None
    issued_us: Annotated[int, msgspec.Meta(ge=0)]
    expires_us: Annotated[int, msgspec.Meta(ge=0)]


class TokenSigner:
    """Makes and reads tokens with one key: KEY_BYTES secret bytes, ValueError for another length."""

    __slots__ = ("_head", "_key")

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"a key of tokens has {KEY_BYTES} bytes, this one has {len(key)}")
        self._key = key
        self._head = f"{_FORM}.{key_id(KEY_PURPOSE, key)}."

    def sign(self, session: FrontEndSession) -> str:
        """The session as a token. Raises ValueError where it is over TOKEN_CHARS_MAX."""
        claims = _Claims(**{name: getattr(session, name) for name in _Claims.__struct_fields__})
        signed = self._head + _base64(msgspec.json.encode(claims))
        token = f"{signed}.{self._mac(signed)}"
        if len(token) > TOKEN_CHARS_MAX:
            raise ValueError(f"the token has {len(token)} characters, {TOKEN_CHARS_MAX} at most: name fewer programs")
        return token

    def read(self, token: str, now_us: int) -> FrontEndSession:
        """The session of a token that this very key made, and whose time is not over. Raises TokenRefused."""
        signed, dot, mac = token.rpartition(".")
        if len(token) > TOKEN_CHARS_MAX or not token.isascii() or not dot or not signed.startswith(self._head):
            raise _invalid()
        if not hmac.compare_digest(mac, self._mac(signed)):
            raise _invalid()
        try:
            claims = msgspec.json.decode(urlsafe_b64decode(_padded(signed[len(self._head) :])), type=_Claims)
            session = FrontEndSession(**msgspec.structs.asdict(claims))
        except ValueError:  # made by this key, by a hostel that said more, or something else
            raise _invalid() from None
        if now_us >= session.expires_us:
            raise TokenRefused("token_expired", "the session is over: have the platform's backend issue a new token")
        return session

    def hash_of(self, user: str) -> bytes:
        """32 bytes that stand for a user where nothing may say who it is."""
        return hmac.digest(self._key, b"hostel front-end user 1\0" + user.encode(), "sha256")

    def _mac(self, signed: str) -> str:
        return _base64(hmac.digest(self._key, _DOMAIN + signed.encode("ascii"), "sha256"))


def _invalid() -> TokenRefused:
    return TokenRefused("token_invalid", "this is no token of this host, or its session was ended")


def _base64(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _padded(text: str) -> str:
    return text + "=" * (-len(text) % 4)


def is_text(text: str) -> bool:
    """Whether it has a form in UTF-8: no half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
