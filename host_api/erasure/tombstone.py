"""What stands for an erased user where a row has to stay: an id that means nobody."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

PREFIX: Final = "erased:"


def tombstone(new_id: Callable[[], str]) -> str:
    """A new one. `new_id`: 128 random bits as text."""
    return PREFIX + new_id()


def is_tombstone(user: str) -> bool:
    """No user may be called so: whoever takes a user's name from outside refuses it."""
    return user.startswith(PREFIX)
