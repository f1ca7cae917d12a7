"""How soon a program may ask a user again who said no. Pure arithmetic; the rows are in records.py.

After the first no in a row 30 seconds, after each further one twice as long, after the fifth a day. A yes ends the row,
and so does a day without a no: the block and the row end in the same instant.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from host_api.errors import ApiError, ErrorCode

FIRST_US: Final = 30_000_000
BLOCK_AFTER: Final = 5
DAY_US: Final = 24 * 3600 * 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Declines:
    """How often a user said no to a program in a row, and when last."""

    count: int
    last_us: int

    def free_us(self) -> int:
        """From when on the program may ask again."""
        return self.last_us + (DAY_US if self.count >= BLOCK_AFTER else FIRST_US << (self.count - 1))


def another(before: Declines | None, now_us: int) -> Declines:
    """The row after one more no."""
    count = 0 if before is None or quiet(before, now_us) else before.count
    return Declines(count=count + 1, last_us=now_us)


def quiet(declines: Declines, now_us: int) -> bool:
    """Whether it is so long ago that it counts no more."""
    return now_us - declines.last_us >= DAY_US


def admit(declines: Declines | None, now_us: int) -> None:
    """Raises ApiError RATE_LIMITED while the program has to wait."""
    if declines is None or now_us >= declines.free_us():
        return
    wait_ms = -(-(declines.free_us() - now_us) // 1_000)
    raise ApiError(
        ErrorCode.RATE_LIMITED,
        f"the user's answer was no, {declines.count} in a row: ask again in {-(-wait_ms // 1_000)} s at the earliest",
        details={"limit": "declines_in_a_row", "value": BLOCK_AFTER, "used": declines.count, "unit": "declines"},
        retry_after_ms=wait_ms,
    )
