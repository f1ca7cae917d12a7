"""The ladder cell by cell: which step follows which status, and what is told where none does."""

from __future__ import annotations

import pytest

from host_api.releases.transitions import STEPS, RegistryRefused, Step, step
from host_api.releases.values import Status

CELLS = """
                approve   reject    trial  gray  full  offline  withdraw  supersede   leave        return
    submitted   approved  rejected  -      -     -     -        -         -           -            -
    rejected    -         -         -      -     -     -        -         -           -            -
    approved    -         rejected  trial  gray  full  -        -         -           -            -
    trial       -         -         trial  gray  full  -        approved  -           -            -
    gray        -         -         trial  gray  full  -        approved  -           -            -
    full        -         -         -      -     -     offline  -         superseded  rolled_back  -
    superseded  -         -         -      -     -     -        -         -           -            full
    rolled_back -         -         trial  gray  full  -        -         -           -            -
    offline     -         -         -      -     full  -        -         superseded  rolled_back  -
"""


def cells() -> list[tuple[Status, Step, Status | None]]:
    head, *lines = [line.split() for line in CELLS.strip().splitlines()]
    return [
        (Status(line[0]), Step(name), None if to == "-" else Status(to))
        for line in lines
        for name, to in zip(head, line[1:], strict=True)
    ]


def test_the_table_is_whole() -> None:
    assert {(status, taken) for status, taken, _ in cells()} == {(status, taken) for status in Status for taken in Step}
    assert set(STEPS) == set(Status)


@pytest.mark.parametrize(("status", "taken", "to"), cells(), ids=str)
def test_each_cell(status: Status, taken: Step, to: Status | None) -> None:
    if to is not None:
        assert step("app", 3, status, taken) is to
        return
    with pytest.raises(RegistryRefused) as refused:
        step("app", 3, status, taken)
    assert refused.value.code == "step_refused"
    assert (refused.value.details["status"], refused.value.details["step"]) == (status.value, taken.value)
    for name in refused.value.details["allowed"]:
        assert Step(name) in STEPS[status] and name in refused.value.message


def test_only_a_rollback_brings_back_what_was_followed() -> None:
    with pytest.raises(RegistryRefused, match="rollback of the program"):
        step("app", 1, Status.SUPERSEDED, Step.FULL)
