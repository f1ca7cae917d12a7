"""Pairwise ids: what a program knows a user by. The same user has another id in every sector, and none can be joined.

What lives here: how an id is made, and how a sector is named. The key is handed in; where it is kept is key_file.py's
business. No I/O.
"""

from __future__ import annotations

import hmac
import re
from base64 import b32encode
from typing import Final

KEY_BYTES: Final = 32
ID_CHARS: Final = 26
"""130 bits."""
_DOMAIN: Final = b"hostel pairwise id 1\0"
_SECTOR = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


class PairwiseIds:
    """`key`: KEY_BYTES secret bytes, kept as long as ids are to stay what they are; ValueError for another length."""

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"a key of pairwise ids has {KEY_BYTES} bytes, this one has {len(key)}")
        self._key = key

    def of(self, sector: str, user: str) -> str:
        """26 of a-z, 2-7: base32 of HMAC-SHA256(key, domain ‖ length ‖ sector ‖ length ‖ user), lengths in 4 bytes."""
        message = _DOMAIN
        for part in (sector.encode(), user.encode()):
            message += len(part).to_bytes(4, "big") + part
        return b32encode(hmac.digest(self._key, message, "sha256"))[:ID_CHARS].decode().lower()


def declared_sector(name: str) -> str:
    """The sector of programs that their operator declares to be one developer's, for `Session.sector`.

    Not the name itself: no app id has a colon, so nobody gets into a sector by what they call their program. Raises
    ValueError for a name that is not 1 to 64 of a-z, 0-9, '.', '_', '-'.
    """
    if not _SECTOR.fullmatch(name):
        raise ValueError(f"a sector is 1 to 64 of a-z, 0-9, '.', '_' and '-', not {ascii(name)[:80]}")
    return f"sector:{name}"
