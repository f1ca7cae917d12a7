"""Who answers for the death of a worker."""

from __future__ import annotations

from runtime.executor.suspicion import PROGRAMS_MOST, Suspicion


def test_the_program_on_the_cpu_answers_alone() -> None:
    suspicion = Suspicion(deaths=3, seconds=60)
    assert suspicion.died(0, "bad", ["bad", "good"]) == []
    assert suspicion.died(1, "bad", ["bad", "good"]) == []
    assert suspicion.died(2, "bad", ["bad", "good"]) == ["bad"]


def test_where_nobody_is_marked_all_in_flight_share_it() -> None:
    suspicion = Suspicion(deaths=2, seconds=60)
    named = [suspicion.died(at, None, ["a", "b"]) for at in range(4)]
    assert named == [[], [], [], ["a", "b"]]


def test_what_is_long_ago_is_forgotten() -> None:
    suspicion = Suspicion(deaths=2, seconds=60)
    suspicion.died(0, "a", ["a"])
    assert suspicion.died(60, "a", ["a"]) == []
    assert suspicion.died(61, "a", ["a"]) == ["a"]


def test_a_program_is_named_once() -> None:
    suspicion = Suspicion(deaths=2, seconds=60)
    assert [suspicion.died(at, "a", ["a"]) for at in range(4)] == [[], ["a"], [], ["a"]]


def test_an_idle_worker_that_dies_is_nobodys_doing() -> None:
    assert Suspicion(deaths=1, seconds=60).died(0, None, []) == []


def test_what_is_kept_is_bounded() -> None:
    suspicion = Suspicion(deaths=2, seconds=60)
    for number in range(PROGRAMS_MOST + 2):
        suspicion.died(1, f"p{number}", [])
    assert suspicion.died(2, "p0", []) == []
    assert suspicion.died(2, f"p{PROGRAMS_MOST + 1}", []) == [f"p{PROGRAMS_MOST + 1}"]
