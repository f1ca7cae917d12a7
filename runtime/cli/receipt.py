"""What a call cost, as a table for people."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from runtime.cli.report import show_table
from runtime.receipt import Receipt, Usage

_LINES: Final[tuple[tuple[str, Callable[[Usage], str]], ...]] = (
    ("processor time", lambda u: _ms(u.cpu_us)),
    ("fuel", lambda u: f"{u.fuel:,} instructions" if u.fuel else "not counted"),
    ("wall time", lambda u: _ms(u.wall_us) + (f", {_ms(u.asked_us)} of it asking the user" if u.asked_us else "")),
    ("memory at most", lambda u: f"{u.memory_bytes_peak:,} bytes" + (", at its limit" if u.memory_at_limit else "")),
    ("host calls", lambda u: f"{u.host_calls:,}, {u.denials:,} of them answered with an error"),
    ("message in, out", lambda u: f"{u.message_in_bytes:,} and {u.message_out_bytes:,} bytes"),
    ("requests, responses", lambda u: f"{u.request_bytes:,} and {u.response_bytes:,} bytes"),
    ("storage", lambda u: f"{u.storage_delta_bytes:+,} bytes"),
    ("log", lambda u: f"{u.log_bytes:,} bytes" + (", cut" if u.log_cut else "")),
    ("posted", lambda u: f"{u.unclaimed:,} responses unclaimed, {u.dropped:,} requests dropped"),
)


def show_receipt(receipt: Receipt) -> None:
    """On standard error."""
    head = [("program", f"{receipt.app_id} {receipt.release}"), ("method", receipt.method)]
    head += [("ending", receipt.ending.value), ("call", receipt.call_id)]
    lines = [(name, word(receipt.usage)) for name, word in _LINES]
    show_table(("receipt", ""), head + lines, error=True)


def _ms(microseconds: int) -> str:
    return f"{microseconds / 1_000:,.3f} ms"
