"""Header fields: those a program may send, and those of an answer that it is given. No I/O."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final, TypeAlias

Fields: TypeAlias = tuple[tuple[str, str], ...]

_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE: Final = re.compile(r"[\x21-\x7e](?:[\t\x20-\x7e]*[\x21-\x7e])?|")

HOP_BY_HOP: Final = frozenset(
    {"connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
     "transfer-encoding", "upgrade"}
)  # fmt: skip
"""They belong to the connection, and that is the host's."""
_HOSTS_OWN: Final = HOP_BY_HOP | {"content-length", "expect", "host"}
_KEPT_ACROSS_ORIGINS: Final = frozenset({"accept", "accept-encoding", "accept-language", "user-agent"})
_OF_A_BODY: Final = "content-"
_DEFAULTS: Final = {"accept-encoding": "identity", "user-agent": "hostel"}


class HeaderRefused(ValueError):
    """The message is one line that says what is wrong, free of what the value said."""


def of_request(given: Mapping[str, str]) -> Fields:
    """What a program wants to send, names in lower case, with what the host adds. Raises HeaderRefused."""
    fields: dict[str, str] = {}
    for name, value in given.items():
        lower = name.lower()
        if not _TOKEN.fullmatch(name):
            raise HeaderRefused("a header's name must be a token: letters, digits, hyphens")
        if lower in _HOSTS_OWN or lower.startswith(("proxy-", "sec-")):
            raise HeaderRefused(f"the header {lower} is the host's to send")
        if lower in fields:
            raise HeaderRefused(f"the header {lower} is there twice")
        if not _VALUE.fullmatch(value):
            raise HeaderRefused(f"the header {lower} must be printable ASCII without white space at its ends")
        fields[lower] = value
    return tuple({**_DEFAULTS, **fields}.items())


def across_origins(fields: Fields) -> Fields:
    """What another origin may be sent too: nothing that could be a secret of the first."""
    return tuple(field for field in fields if field[0] in _KEPT_ACROSS_ORIGINS)


def without_body(fields: Fields) -> Fields:
    return tuple(field for field in fields if not field[0].startswith(_OF_A_BODY))


def of_answer(fields: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Lower-case name → values, equal names joined by ", " (RFC 9110 §5.3). Cookies cannot be joined, and there is no
    jar for them: they are left out, as is what belongs to the connection."""
    joined: dict[str, str] = {}
    for name, value in fields:
        if name not in HOP_BY_HOP and name != "set-cookie":
            joined[name] = f"{joined[name]}, {value}" if name in joined else value
    return joined
