"""The limits of §9.1, read from the protocol's own table. Which of them this host keeps to is told in README.md."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from .wire import Refused

_PROTOCOL = (Path(__file__).resolve().parents[3] / "docs/protocol.md").read_text(encoding="utf-8")
_ROW = re.compile(r"^\| `(\w+)` \| ([\d,]+) \| [^|]+ \| (?:([\d,]+) – ([\d,]+)|≥ ([\d,]+)) \|", re.MULTILINE)


def _number(text: str) -> int:
    return int(text.replace(",", "") or 0)


LIMITS: dict[str, tuple[int, int, int]] = {
    name: (_number(default), _number(low or least), _number(high) or 1 << 63)
    for name, default, low, high, least in _ROW.findall(_PROTOCOL.split("### 9.1 ")[1].split("### 9.2 ")[0])
}
"""Default, least and most."""


def checked(limits: dict[str, Any], code: str, place: str) -> dict[str, int]:
    """Raises Refused with that code where one does not exist or is outside of its bounds."""
    for name in limits.keys() - LIMITS.keys():
        raise Refused(code, f"there is no limit {name!a}", path=f"{place}[...]")
    for name, value in limits.items():
        _, low, high = LIMITS[name]
        if type(value) is not int or not low <= value <= high:
            told = {"limit": name, "value": value, "least": low, "most": high}
            raise Refused(code, f"{name} must be between {low} and {high}", path=f"{place}.{name}", **told)
    return limits


def in_force(wanted: dict[str, int], given: dict[str, int]) -> dict[str, int]:
    """A manifest may want less than the default; what the operator gives counts (§3)."""
    least = {name: min(wanted.get(name, default), default) for name, (default, _, _) in LIMITS.items()}
    return {**least, **given}


def exceeded(limit: str, value: int, used: int, unit: str) -> Refused:
    return Refused("limit_exceeded", f"{limit} is {value} {unit}, and this would make it {used}",
                   limit=limit, value=value, used=used, unit=unit)  # fmt: skip
