"""Deliberately wrong answers: what a host said to a case is changed in one place, and judged anew."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from .case import Case
from .expand import Expanded
from .verdict import Outcome, judge

CONTRARY = {"error": {"code": "contrary", "message": "an answer that nobody gives"}}


def is_noticed(one: Case, expanded: Expanded, steps: list[Any]) -> bool:
    return judge(one, expanded, {"steps": steps}, 0.0).outcome is Outcome.FAILED


def contrary(came: Any) -> Any:
    return {"result": "contrary"} if isinstance(came, dict) and "error" in came else CONTRARY


def places(wanted: Any, came: Any) -> Iterator[tuple[Any, ...]]:
    """Where a plain value is wanted, by the keys and indexes that lead there."""
    if isinstance(wanted, dict):
        if not any(str(key).startswith("$") for key in wanted) and isinstance(came, dict):
            for key in wanted.keys() & came.keys():
                yield from ((key, *rest) for rest in places(wanted[key], came[key]))
    elif isinstance(wanted, list):
        if isinstance(came, list):
            for number, (item, got) in enumerate(zip(wanted, came, strict=False)):
                yield from ((number, *rest) for rest in places(item, got))
    else:
        yield ()


def changed(steps: list[Any], at: tuple[Any, ...]) -> list[Any]:
    """Another value there, of the same kind where there is one."""
    was = _put(steps, at, None)[1]
    other = not was if isinstance(was, bool) else was + 1 if isinstance(was, int) else f"{was} or not"
    return _put(steps, at, other)[0]  # type: ignore[no-any-return]


def _put(inside: Any, at: tuple[Any, ...], value: Any) -> tuple[Any, Any]:
    """A copy with that value at that place, and what stood there."""
    if not at:
        return value, inside
    copied = copy.copy(inside)
    copied[at[0]], was = _put(inside[at[0]], at[1:], value)
    return copied, was


def wanted_places(one: Case, expanded: Expanded, steps: list[Any]) -> Iterator[tuple[Any, ...]]:
    told = judge(one, expanded, {"steps": steps}, 0.0).steps
    for number, step in enumerate(told):
        yield from ((number, *at) for at in places(step.wanted, step.came) if at)
