"""Hundreds of thousands of random steps against the model: every answer the same, every invariant held.

HOSTEL_LONG=1 (make soak) runs ten million.
"""

from __future__ import annotations

import pytest

from tests.crash.scale import LONG
from tests.simulator.operations import WEIGHTS
from tests.simulator.simulator import Simulator, simulate

STEPS = 10_000
SEEDS = range(1, 1_001 if LONG else 11)
COMMON = {
    "ok", "invalid_state", "invalid_params", "not_found", "expired", "capability_not_granted", "grant_constraint",
    "limit_exceeded", "rate_limited", "order_mismatch", "cashier_busy", "insufficient_funds", "not_interactive",
    "key_reused", "refund_exceeds_captured",
}  # fmt: skip
"""Answers that every run meets."""


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_the_host_does_what_the_model_says(seed: int) -> None:
    done = simulate(seed, STEPS)
    assert done.steps == STEPS
    assert done.answers.keys() >= COMMON, "the run is not what it was: something is never met any more"
    assert done.answers["ok"] > STEPS // 5


def test_a_seed_is_a_whole_run() -> None:
    first, second = simulate(7, 400), simulate(7, 400)
    assert first.answers == second.answers
    assert facts(first) == facts(second)
    assert facts(first) != facts(simulate(8, 400))


def facts(done: Simulator) -> list[tuple[str, str, int]]:
    return [(order.id, order.status, order.captured) for order in done.model.orders.values()]


def test_every_operation_is_carried_out() -> None:
    assert [name for name in WEIGHTS if not hasattr(Simulator, f"on_{name}") and not is_message(name)] == []


def is_message(name: str) -> bool:
    return name in ("create", "request", "capture", "close", "refund", "query", "refund_query", "hostile")


def test_a_difference_is_found_and_says_how_to_see_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The simulator can fail: with a fee that is off by one unit it does."""
    monkeypatch.setattr("host_api.payment.transitions.fee", lambda amount, terms: 1 if amount > 1 else 0)
    with pytest.raises(BaseExceptionGroup) as failed:
        simulate(1, 2_000)
    error: BaseException = failed.value
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, AssertionError)
    assert error.__notes__[0].startswith("replay: python -m tests.simulator 1 --steps ")
