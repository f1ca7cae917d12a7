"""Who gets a candidate: a stable share of all users, by hash. Values only."""

from __future__ import annotations

from hashlib import sha256
from typing import Final

SHARES: Final = 10_000
"""All users; a share is of so many."""
TRIAL_USERS_MAX: Final = 1_000
"""Named users of one trial."""
_DOMAIN: Final = b"hostel gray 1\0"


def place(app_id: str, user: str) -> int:
    """The user's place among 10,000, for ever the same for one program: of SHA-256("hostel gray 1\\0" ‖ app id ‖ 0 ‖
    user) the first 8 bytes as a big-endian number, modulo 10,000. Whoever is inside of a share is inside of every
    larger one."""
    digest = sha256(_DOMAIN + app_id.encode() + b"\0" + user.encode()).digest()
    return int.from_bytes(digest[:8], "big") % SHARES
