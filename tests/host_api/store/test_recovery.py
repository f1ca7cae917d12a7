"""A disk that refuses the end of a transaction: what comes after it works again."""

from __future__ import annotations

from typing import Any

import apsw
import pytest

from host_api.errors import ApiError
from host_api.store.connection import Job, connect, run_batch, run_read


def left_open(connection: apsw.Connection) -> None:
    """As after a ROLLBACK that the disk refused."""
    connection.execute("BEGIN")


@pytest.fixture
def connection() -> apsw.Connection:
    made = connect(None, writable=True)
    made.execute("CREATE TABLE host_clock (id INTEGER, last_us INTEGER)")
    made.execute("CREATE TABLE kept (number INTEGER)")
    return made


def test_a_read_after_an_open_end(connection: apsw.Connection) -> None:
    left_open(connection)
    assert run_read(connection, lambda tx: tx.execute("SELECT 1"), 0) == [(1,)]
    assert not connection.in_transaction


def test_a_batch_after_an_open_end_is_committed_and_nothing_of_the_other(connection: apsw.Connection) -> None:
    left_open(connection)
    connection.execute("INSERT INTO kept VALUES (1)")
    job = Job(lambda tx: tx.execute("INSERT INTO kept VALUES (2)"), 1)
    run_batch(connection, [job])
    assert job.unwrap() == []
    assert connection.execute("SELECT number FROM kept").fetchall() == [(2,)]


def test_a_disk_that_refuses_to_be_read_is_busy(connection: apsw.Connection) -> None:
    def refused(tx: Any) -> None:
        raise apsw.IOError("the disk is gone")

    with pytest.raises(ApiError) as caught:
        run_read(connection, refused, 0)
    assert caught.value.code.retryable
    assert not connection.in_transaction
