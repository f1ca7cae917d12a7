"""The headers of W3C Trace Context."""

from __future__ import annotations

import pytest

from runtime.daemon.http.trace import trace_of

ID, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize(
    ("header", "is_sampled"),
    [(f"00-{ID}-{SPAN}-00", False), (f"00-{ID}-{SPAN}-01", True), (f"00-{ID}-{SPAN}-ff", True),
     (f"cc-{ID}-{SPAN}-01-what", True), (f" 00-{ID}-{SPAN}-00\t", False)],
)  # fmt: skip
def test_a_trace_is_read(header: str, is_sampled: bool) -> None:
    trace = trace_of([header])
    assert trace is not None and (trace.id, trace.is_sampled) == (ID, is_sampled)
    assert trace.response(SPAN) == f"00-{ID}-{SPAN}-0{int(is_sampled)}"


@pytest.mark.parametrize(
    "headers",
    [[], ["x"], [f"ff-{ID}-{SPAN}-00"], [f"00-{ID}-{SPAN}-00-x"], [f"00-{'0' * 32}-{SPAN}-00"],
     [f"00-{ID}-{'0' * 16}-00"], [f"00-{ID.upper()}-{SPAN}-00"], [f"00-{ID}-{SPAN}"], [f"00-{ID}-{SPAN}-00"] * 2,
     [f"cc-{ID}-{SPAN}-01x"], [f"cc-{ID}-{SPAN}-01-" + "x" * 300]],
)  # fmt: skip
def test_what_is_no_trace(headers: list[str]) -> None:
    assert trace_of(headers) is None
