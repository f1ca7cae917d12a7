"""How far a process is jailed, as a value that can be compared and told to an operator."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field


class Grade(enum.IntEnum):
    """The three levels there are."""

    NONE = 0
    PARTIAL = 1
    FULL = 2


@dataclass(frozen=True, slots=True, order=True)
class Level:
    """Compared by grade alone: `probe() >= Level.named("full")`. `str` gives `none`, `partial` or `full`."""

    grade: Grade
    missing: tuple[str, ...] = field(default=(), compare=False)
    """What keeps it from `full`, one sentence each; empty at `full`."""
    notes: tuple[str, ...] = field(default=(), compare=False)
    """Further walls that this machine does not give and that `full` does not ask for."""

    @classmethod
    def named(cls, name: str) -> Level:
        """`none`, `partial` or `full`. Raises ValueError for anything else."""
        try:
            return cls(Grade[name.upper()])
        except KeyError:
            raise ValueError(f"{name!r} is no level: none, partial or full") from None

    def __str__(self) -> str:
        return self.grade.name.lower()
