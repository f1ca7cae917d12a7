"""The subject of an order: the one text of a guest's that stands on the cashier's screen.

Payee and amount are drawn by the host and never come from it.
"""

from __future__ import annotations

from typing import Final

from host_api.one_line import one_line

CHARS_MAX: Final = 64


def clean_subject(text: str) -> str:
    """One clean line of at most 64 characters. Raises ValueError with what is wrong and where."""
    return one_line("subject", text, CHARS_MAX)
