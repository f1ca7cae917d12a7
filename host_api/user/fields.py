"""The fields of a user: which there are, and what each may hold.

What lives here: checking a field's value, the parts of an address, masking a phone number. A value is personal data: no
message here quotes one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Final
from urllib.parse import urlsplit

import msgspec

VALUE_CHARS_MAX: Final = 4_096
"""Of any field: an address is JSON, so more than its parts together."""
NICKNAME_CHARS_MAX: Final = 64
AVATAR_CHARS_MAX: Final = 1_024
LOCALE_CHARS_MAX: Final = 35
PART_CHARS_MAX: Final = 128
AGE_BANDS: Final = ("0-12", "13-15", "16-17", "18+")
_JOINERS: Final = "\u200c\u200d"
"""Zero-width non-joiner and joiner: invisible, and part of names in Persian and of many emoji."""
_LOCALE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*")
_PHONE = re.compile(r"\+[1-9][0-9]{6,14}")

Part = Annotated[str, msgspec.Meta(min_length=1, max_length=PART_CHARS_MAX)]


class Address(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A postal address: parts as they are known, each 1 to 128 printable characters; at least one."""

    recipient: Part | None = None
    """Whom it is for."""
    country: Part | None = None
    """ISO 3166-1 alpha-2."""
    region: Part | None = None
    """State, province or prefecture."""
    city: Part | None = None
    """City or town."""
    district: Part | None = None
    """Part of the city."""
    street: Part | None = None
    """Street, house and flat."""
    postal_code: Part | None = None
    """As the country writes it."""

    def __post_init__(self) -> None:
        parts = msgspec.structs.asdict(self)
        known = [part for part in parts.values() if part is not None]
        if not known or not all(map(_visible, known)):
            raise ValueError("an address has at least one part, and each is visible text")
        if self.country is not None and not re.fullmatch("[A-Z]{2}", self.country):
            raise ValueError("a country is two capital letters (ISO 3166-1)")


def checked(name: str, value: object) -> str:
    """The value as it is kept. Raises ValueError: there is no such field, or what its value must be."""
    if name not in FIELDS:
        raise ValueError(f"unknown field {ascii(name)[:40]}; known: {', '.join(FIELDS)}")
    if not isinstance(value, str) or len(value) > VALUE_CHARS_MAX:
        raise ValueError(f"{name} must be a text of at most {VALUE_CHARS_MAX} characters")
    return FIELDS[name](value)


def address(value: str) -> Address:
    """From the JSON it is kept as. Raises ValueError."""
    try:
        return msgspec.json.decode(value, type=Address)
    except (msgspec.MsgspecError, RecursionError):
        parts = ", ".join(Address.__struct_fields__)
        raise ValueError(
            f"address must be a JSON object of some of {parts}, each 1 to {PART_CHARS_MAX} visible characters,"
            " country two capital letters"
        ) from None


def masked(phone: str) -> str:
    """`****` and the last four digits; the last two of a number so short that four would give it away."""
    return "****" + (phone[-4:] if len(phone) > 10 else phone[-2:])


def _visible(text: str) -> bool:
    plain = text.translate(dict.fromkeys(map(ord, _JOINERS)))
    return plain.isprintable() and bool(plain.strip())


def _nickname(value: str) -> str:
    if len(value) > NICKNAME_CHARS_MAX or not _visible(value):
        raise ValueError(f"nickname must be 1 to {NICKNAME_CHARS_MAX} visible characters")
    return value


def _avatar(value: str) -> str:
    try:
        url = urlsplit(value)
        sound = url.scheme == "https" and url.hostname and url.username is None and url.password is None
        sound = sound and url.port != 0  # a port that is none raises ValueError
    except ValueError:
        sound = False
    if not sound or len(value) > AVATAR_CHARS_MAX or not value.isascii() or not value.isprintable() or " " in value:
        raise ValueError(f"avatar must be an https URL of at most {AVATAR_CHARS_MAX} ASCII characters, without a user")
    return value


def _locale(value: str) -> str:
    if len(value) > LOCALE_CHARS_MAX or not _LOCALE.fullmatch(value):
        raise ValueError(f"locale must be a language tag (BCP 47) of at most {LOCALE_CHARS_MAX} characters")
    return value


def _age_band(value: str) -> str:
    if value not in AGE_BANDS:
        raise ValueError(f"age_band must be one of {', '.join(AGE_BANDS)}")
    return value


def _phone(value: str) -> str:
    if not _PHONE.fullmatch(value):
        raise ValueError("phone must be a number in E.164: + and 7 to 15 digits, the first not 0")
    return value


def _address(value: str) -> str:
    return msgspec.json.encode(address(value)).decode()


FIELDS: Final[Mapping[str, Callable[[str], str]]] = {
    "nickname": _nickname,
    "avatar": _avatar,
    "locale": _locale,
    "age_band": _age_band,
    "phone": _phone,
    "address": _address,
}
"""Every field there is → its value as it is kept, or ValueError."""
