"""The endings of a call that is over one of its own limits, with the numbers for its error."""

from __future__ import annotations

from runtime.errors import Ending
from runtime.limits import Limits
from runtime.sandbox.fiber import Over


def over_cpu(limits: Limits, used_us: int) -> Over:
    return Over(
        Ending.CPU_EXCEEDED, f"{used_us} µs of CPU time are over cpu_us = {limits.cpu_us}",
        limit="cpu_us", value=limits.cpu_us, used=used_us, unit="µs",
    )  # fmt: skip


def over_fuel(used: int) -> Over:
    """`used`: one more than the limit, which is what it was given."""
    return Over(
        Ending.FUEL_EXHAUSTED, f"{used} instructions are over fuel = {used - 1}",
        limit="fuel", value=used - 1, used=used, unit="instructions",
    )  # fmt: skip


def over_deadline(limits: Limits) -> Over:
    return Over(
        Ending.DEADLINE_EXCEEDED, f"the call is over its deadline of wall_ms = {limits.wall_ms}",
        limit="wall_ms", value=limits.wall_ms, unit="ms",
    )  # fmt: skip
