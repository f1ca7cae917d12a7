"""Every condition and every write of the host's SQL is needed: changed, something of the simulator or the edges fails.

A run tries a part of the mutants, always the same one; HOSTEL_LONG=1 tries all.
"""

from __future__ import annotations

import pytest

from tests.crash.scale import LONG
from tests.mutation.hunt import all_mutants, catcher
from tests.mutation.sql import Mutant, mutants

_LAPSED = "FROM orders WHERE status = 'authorized' AND user_id = :user AND currency = :currency"
_TAKEN_DOWN = "DELETE FROM prompts WHERE app_id = :app_id AND user_id = :user AND kind = 'payment'"
SURVIVORS = {
    ("UPDATE orders SET", "without version = :was"): "jobs run one after the other: an order is at no other version",
    (_LAPSED, "without user_id = :user"): "what it gives back besides is over as well",
    (_LAPSED, "without currency = :currency"): "what it gives back besides is over as well",
    (_TAKEN_DOWN, "without app_id = :app_id"): "an order's id is enough to find its prompt",
    (_TAKEN_DOWN, "without user_id = :user"): "an order's id is enough to find its prompt",
    (_TAKEN_DOWN, "without kind = 'payment'"): "an order's id is enough to find its prompt",
    (_TAKEN_DOWN, "without about = :id"): "a program and user have one prompt, and only its order is confirming",
}
"""Part of a statement and the change → why nothing can fail with it."""
PART = 1 if LONG else 6


def test_a_condition_is_taken_apart() -> None:
    sql = "SELECT a FROM t WHERE b = :b AND (c = 1 OR d < :d) AND e BETWEEN 1 AND 2 ORDER BY a LIMIT 1"
    assert [mutant.instead and " ".join(mutant.instead.split()) for mutant in mutants([sql])] == [
        "SELECT a FROM t WHERE (c = 1 OR d < :d) AND e BETWEEN 1 AND 2 ORDER BY a LIMIT 1",
        "SELECT a FROM t WHERE b = :b AND e BETWEEN 1 AND 2 ORDER BY a LIMIT 1",
        "SELECT a FROM t WHERE b = :b AND (c = 1 OR d < :d) ORDER BY a LIMIT 1",
        "SELECT a FROM t WHERE b = :b AND (c = 1 OR d <= :d) AND e BETWEEN 1 AND 2 ORDER BY a LIMIT 1",
    ]
    assert [mutant.what for mutant in mutants(["INSERT INTO t VALUES (1)"])] == ["not run"]


def survives_for_a_reason(mutant: Mutant) -> bool:
    return any(part in mutant.sql and what == mutant.what for part, what in SURVIVORS)


@pytest.mark.slow
def test_every_guard_is_needed() -> None:
    found = all_mutants()
    assert len(found) > 120
    tried = found[::PART]
    assert [mutant.label for mutant in tried if not survives_for_a_reason(mutant) and catcher(mutant) is None] == []


def test_each_survivor_is_a_mutant_still() -> None:
    found = all_mutants()
    stale = [key for key in SURVIVORS if not any(key[0] in mutant.sql and key[1] == mutant.what for mutant in found)]
    assert stale == []
