"""The words of a command line, read: limits, grants, money and JSON. Each gives a value or UsageError, which shows how
to write it."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from host_api.money import EXPONENTS, Money
from runtime import wire
from runtime.bundle.files import read_file
from runtime.bundle.refusal import shown
from runtime.errors import UsageError
from runtime.limits import Limits, specs

JSON_BYTES_MAX: Final = specs(Limits)["message_in_bytes"].most
"""Of one JSON argument: as much as any message may be."""
_MONEY: Final = re.compile(r"([0-9]{1,13})(?:\.([0-9]{1,3}))? ?([A-Z]{3})")
_LISTS: Final = frozenset({"currencies", "hosts", "keys", "programs"})
"""Constraints that are lists of texts; the others are numbers."""


def read_limits(words: Sequence[str]) -> dict[str, int]:
    """`name=value` → value; whether the name exists and the value fits is for the table of limits to say."""
    found: dict[str, int] = {}
    for word in words:
        name, _, value = word.partition("=")
        try:
            found[name] = int(value)
        except ValueError:
            raise UsageError(f"limit {shown(word)}: write NAME=NUMBER, such as cpu_us=200000") from None
    return found


def read_grants(words: Sequence[str]) -> dict[str, dict[str, Any]]:
    """`payment`, `payment:amount_max=5000`, `storage:keys=cart,order/` (again for each constraint), or JSON of
    capability → constraints. What capabilities and constraints there are is host_api/capability.py's to say."""
    found: dict[str, dict[str, Any]] = {}
    for word in words:
        if word.lstrip().startswith("{"):
            for capability, constraints in read_object(word, "--grant").items():
                if not isinstance(constraints, dict):
                    raise UsageError(f'--grant {shown(word)}: write {{"payment": {{"amount_max": 5000}}}}')
                found.setdefault(capability, {}).update(constraints)
            continue
        capability, colon, constraint = word.partition(":")
        constraints = found.setdefault(capability, {})
        if colon:
            name, equals, value = constraint.partition("=")
            if not equals:
                raise UsageError(f"--grant {shown(word)}: write NAME:constraint=value, such as payment:amount_max=5000")
            constraints[name] = _constraint(name, value)
    return found


def _constraint(name: str, value: str) -> int | str | list[str]:
    if name in _LISTS:
        if value.startswith("["):  # a prefix that nobody means; it would match no key
            raise UsageError(f"--grant {name}={shown(value)}: write {name}=ONE,TWO without brackets")
        return value.split(",")
    return int(value) if value.isascii() and value.isdigit() else value


def read_money(word: str) -> Money:
    """`100.00CNY` or `1200 JPY`: never more decimals than the currency has."""
    found = _MONEY.fullmatch(word)
    if found is None or found[3] not in EXPONENTS or len(found[2] or "") > EXPONENTS[found[3]]:
        raise UsageError(f"{shown(word)} is no amount of money; write it like 100.00CNY or 1200JPY")
    exponent = EXPONENTS[found[3]]
    try:
        return Money(amount=int(found[1] + (found[2] or "").ljust(exponent, "0")), currency=found[3])
    except ValueError as error:
        raise UsageError(f"{shown(word)}: {error}") from None


def read_object(word: str | None, what: str) -> dict[str, Any]:
    """A JSON object: as it stands, from the file `@NAME`, or from standard input for `-`; an empty one for None.

    Refused: what is no JSON object, is over `JSON_BYTES_MAX`, or has no form on the wire (NaN, numbers over 64 bits).
    """
    if word is None:
        return {}
    try:
        value = json.loads(_text(word, what), parse_constant=_no_constant)
    except RecursionError:
        raise UsageError(f"{what}: too many levels of lists and objects") from None
    except ValueError as error:  # no JSON, no UTF-8, a number of too many digits
        raise UsageError(f'{what}: no JSON: {error}; write an object such as {{"name": "Ada"}}') from None
    if not isinstance(value, dict):
        raise UsageError(f'{what}: a JSON {type(value).__name__}; write an object such as {{"name": "Ada"}}')
    try:
        wire.decode(wire.encode(value), JSON_BYTES_MAX)
    except (wire.Unencodable, wire.MalformedMessage) as error:
        raise UsageError(f"{what}: cannot be sent: {error}") from None
    return value


def _text(word: str, what: str) -> str:
    if word.startswith("@"):
        return read_file(Path(word[1:]), "json_bytes_max", JSON_BYTES_MAX).decode()
    if word != "-":
        return word
    data = sys.stdin.buffer.read(JSON_BYTES_MAX + 1)
    if len(data) > JSON_BYTES_MAX:
        raise UsageError(f"{what}: standard input is over json_bytes_max = {JSON_BYTES_MAX}")
    return data.decode()


def _no_constant(word: str) -> Mapping[str, Any]:
    raise ValueError(f"{word} is no number")
