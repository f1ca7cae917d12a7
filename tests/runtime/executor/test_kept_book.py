"""What the broker counts of a worker's resident sandboxes is what the worker keeps, whatever the order of calls."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from runtime.executor.job import Job, Resident
from runtime.executor.kept import KeptSandboxes
from runtime.executor.kept_book import KeptBook

SLOTS = 8
USERS = st.sampled_from([f"user{number}" for number in range(10)] + [""])


def job(user: str, number: int = 0) -> Job:
    """Of a resident program for that user; of a fresh one for nobody."""
    nothing: Any = None
    return Job("shop", "group", nothing, b"", nothing, False, Resident(user, number, number + 1) if user else None)


class Worker:
    """The worker's side as worker.py has it, on things that are no fibers."""

    def __init__(self) -> None:
        self.calls: dict[int, str] = {}
        self.kept: KeptSandboxes[Any] = KeptSandboxes(SLOTS, lambda fiber: None)

    def start(self, number: int, user: str) -> None:
        self.calls[number] = user
        self.kept.forget("shop", user)
        if len(self.calls) + len(self.kept) > SLOTS:
            self.kept.drop_oldest()

    def end(self, number: int) -> None:
        if user := self.calls.pop(number):
            self.kept.keep("shop", Resident(user, number, number + 1), object())


@given(st.lists(st.tuples(st.booleans(), USERS), max_size=80))
def test_it_holds_what_the_worker_keeps(steps: list[tuple[bool, str]]) -> None:
    worker, told = Worker(), list[str]()
    book = KeptBook(SLOTS, lambda program, user: told.append(user))
    for number, (begins, user) in enumerate(steps):
        if begins and len(worker.calls) < SLOTS and user not in worker.calls.values():
            book.begins(job(user), len(worker.calls))
            worker.start(number, user)
        elif worker.calls:
            first = next(iter(worker.calls))
            ended = job(worker.calls[first])
            worker.end(first)
            book.stays(ended)
        for gone in told:
            worker.kept.forget("shop", gone)
        told.clear()
        assert [user for _, user in book._kept] == [user for _, user in worker.kept._kept]
        assert len(worker.calls) + len(book) <= SLOTS


def test_forgotten_and_a_worker_that_is_gone() -> None:
    book = KeptBook(SLOTS, lambda program, user: None)
    for user in ("alice", "bob"):
        book.begins(job(user), 0)
        book.stays(job(user))
    assert len(book) == 2
    book.forgotten("shop", "alice")
    book.forgotten("shop", "nobody")
    assert len(book) == 1
    book.clear()
    assert len(book) == 0
