"""The count of what left: bounded, and nothing in it is lost."""

from __future__ import annotations

from host_api.http.departures import PAIRS_MAX, Departures


def test_pairs_at_their_limit_and_one_over() -> None:
    departures = Departures()
    for n in range(PAIRS_MAX):
        departures.count("org.example.shop", f"h{n}.example")
    departures.count("org.example.shop", "one-more.example")
    departures.count("org.example.other", "h0.example")
    departures.count("org.example.shop", "h0.example")
    drained = departures.drain()
    assert len(drained) == PAIRS_MAX + 1
    assert (drained["", ""], drained["org.example.shop", "h0.example"]) == (2, 2)
    assert sum(drained.values()) == PAIRS_MAX + 3
