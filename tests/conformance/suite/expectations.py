"""What is known to fail: a file that a host's maintainers keep, so that a run fails on news only.

    {"skip": {"8.6/*": "no cashier yet"}, "fail": {"9.1/storage-bytes-over": "counts keys only, see …"}}

Where one weakness fails many cases, it is told once, with their patterns:

    {"because": {"no fuel: nothing is counted": ["4.5/fuel-*", "9.1/fuel"]}}

A pattern is an id, or the beginning of one and `*`. One that fits no case, or says `fail` of a case that passes, is
stale, and a stale expectation fails the run.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from .case import CaseError
from .verdict import Outcome, Verdict


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    skip: dict[str, str] = {}
    fail: dict[str, str] = {}
    because: dict[str, list[str]] = {}
    """Why → patterns of cases that fail for it: as so many lines of `fail`."""

    @property
    def failing(self) -> dict[str, str]:
        return {**self.fail, **{pattern: why for why, patterns in self.because.items() for pattern in patterns}}


@dataclass(frozen=True, slots=True)
class Expectations:
    file: _File = field(default_factory=_File)

    def skip(self, id_: str) -> str:
        """Why this case is not to be played; "" if it is."""
        return next((why for pattern, why in self.file.skip.items() if _fits(pattern, id_)), "")

    def seen(self, verdict: Verdict) -> Verdict:
        """The verdict with what was expected of it."""
        why = next((why for pattern, why in self.file.failing.items() if _fits(pattern, verdict.id)), None)
        if why is None or verdict.outcome is Outcome.SKIPPED:
            return verdict
        if verdict.outcome is Outcome.PASSED:
            return _with(verdict, Outcome.PASSED_UNEXPECTEDLY, f"expected to fail: {why}")
        return _with(verdict, Outcome.FAILED_AS_EXPECTED, f"{why} ({verdict.reason})")

    def stale(self, ids: Iterable[str]) -> list[str]:
        """Patterns that fit no case."""
        known = list(ids)
        patterns = [*self.file.skip, *self.file.failing]
        return [pattern for pattern in patterns if not any(_fits(pattern, id_) for id_ in known)]


def read(file: Path | None) -> Expectations:
    """None: nothing is expected to fail. Raises CaseError."""
    if file is None:
        return Expectations()
    try:
        return Expectations(msgspec.json.decode(file.read_bytes(), type=_File))
    except (OSError, msgspec.DecodeError) as error:
        raise CaseError(f"{file}: {error}") from None


def _fits(pattern: str, id_: str) -> bool:
    return id_.startswith(pattern[:-1]) if pattern.endswith("*") else id_ == pattern


def _with(verdict: Verdict, outcome: Outcome, reason: str) -> Verdict:
    return msgspec.structs.replace(verdict, outcome=outcome, reason=reason)
