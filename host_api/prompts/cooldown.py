"""How soon a program may ask a user again. Pure arithmetic; the rows are in records.py.

After the first no in a row 30 seconds, after each further one twice as long, after the fifth a day. Prompts that open
are paced besides, whatever becomes of them: a prompt that is taken back at once is on the user's screen all the same.
A yes ends both. A day without a no ends the row of noes: the block and the row end in the same instant.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from host_api.errors import ApiError, ErrorCode

FIRST_US: Final = 30_000_000
BLOCK_AFTER: Final = 5
DAY_US: Final = 24 * 3600 * 1_000_000
PROMPTS_MAX: Final = 20
"""Prompts without a yes that may open one right after the other."""
PACE_US: Final = 180_000_000
"""After them one each three minutes; as long without any, and one more of them may open at once again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """What a program asked a user of late."""

    count: int = 0
    """How often the user said no in a row."""
    last_us: int = 0
    """When last; 0 for never."""
    paced_us: int = 0
    """When the prompts that opened so far were due, had they come one each PACE_US."""

    def free_us(self) -> int:
        """From when on the program may ask again after a no."""
        if not self.count:
            return 0
        return self.last_us + (DAY_US if self.count >= BLOCK_AFTER else FIRST_US << (self.count - 1))

    @property
    def gone_us(self) -> int:
        """From then on it is as if nothing had been."""
        return max(self.last_us + DAY_US if self.count else 0, self.paced_us)


NOTHING: Final = Past()


def declined(past: Past, now_us: int) -> Past:
    """After one more no."""
    count = 0 if quiet(past, now_us) else past.count
    return replace(past, count=count + 1, last_us=now_us)


def opened(past: Past, now_us: int) -> Past:
    """After one more prompt."""
    kept = Past() if quiet(past, now_us) else past
    return replace(kept, paced_us=max(past.paced_us, now_us) + PACE_US)


def quiet(past: Past, now_us: int) -> bool:
    """Whether the last no is so long ago that it counts no more."""
    return now_us - past.last_us >= DAY_US


def admit(past: Past, now_us: int) -> None:
    """Raises ApiError RATE_LIMITED while the program has to wait."""
    if now_us < past.free_us():
        why = f"the user's answer was no, {past.count} in a row"
        details = {"limit": "declines_in_a_row", "value": BLOCK_AFTER, "used": past.count, "unit": "declines"}
        raise _refusal(why, details, past.free_us() - now_us)
    ahead_us = past.paced_us - now_us
    if ahead_us > (PROMPTS_MAX - 1) * PACE_US:
        used = -(-ahead_us // PACE_US) + 1
        why = f"{used - 1} prompts opened of late, and the user said yes to none of them"
        details = {"limit": "prompts_without_a_yes", "value": PROMPTS_MAX, "used": used, "unit": "prompts"}
        raise _refusal(why, details, ahead_us - (PROMPTS_MAX - 1) * PACE_US)


def _refusal(why: str, details: Mapping[str, Any], wait_us: int) -> ApiError:
    wait_ms = -(-wait_us // 1_000)
    return ApiError(
        ErrorCode.RATE_LIMITED,
        f"{why}: ask again in {-(-wait_ms // 1_000)} s at the earliest",
        details=details,
        retry_after_ms=wait_ms,
    )
