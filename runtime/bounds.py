"""How settings are held to their bounds: one check and one sentence for all of them.

What lives here: comparing. Which bounds there are stands beside each setting; limits of programs have their own table
(limits.py).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from runtime.errors import UsageError


def check(settings: Any, bounds: Mapping[str, tuple[float, float]]) -> None:
    """`bounds`: setting → the least and the most. Raises UsageError that names the setting, its value and both."""
    for name, (least, most) in bounds.items():
        value = getattr(settings, name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            raise UsageError(f"{name} = {value!r}: must be from {least} to {most}")


def check_choice(settings: Any, name: str, choices: Collection[str]) -> None:
    """Raises UsageError that names the setting, its value and what it may be."""
    value = getattr(settings, name)
    if value not in choices:
        *others, last = choices
        raise UsageError(f"{name} = {value!r}: must be {', '.join(others)} or {last}")
