"""The session of a call: its log, bounded and printable, and the memory held for its program."""

from __future__ import annotations

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from runtime.limits import Limits
from runtime.session import CallSession, Holdings, printable
from runtime.testing import LogLines, make_session


def logging(log_bytes: int) -> tuple[CallSession, LogLines]:
    lines = LogLines()
    return make_session(limits=Limits(log_bytes=log_bytes), log_sink=lines), lines


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("apples: 3 €", "apples: 3 €"),
        ("paid\nLOG: forged", "paid\\nLOG: forged"),
        ("\x1b[31mred\r\t\x00\x7f\x9b", "\\x1b[31mred\\r\\t\\x00\\x7f\\x9b"),
        ("a\u202eb\u2028c\u200b", "a\\u202eb\\u2028c\\u200b"),
        ("\U000e0001", "\\U000e0001"),
        ("", ""),
    ],
)
def test_what_is_not_printable_is_escaped(text: str, shown: str) -> None:
    session, lines = logging(1_000)
    session.log("info", text)
    assert lines.lines == [("info", shown)]


def test_exactly_the_limit_is_kept_and_one_more_is_cut() -> None:
    session, lines = logging(8)
    session.log("info", "abc")
    session.log("info", "def")
    assert (session.usage.log_bytes, session.usage.log_cut) == (8, False)
    session, lines = logging(8)
    session.log("info", "abc")
    session.log("info", "defg")
    session.log("info", "never seen")
    assert lines.lines == [("info", "abc"), ("info", "defg"), ("warning", "[log cut at 8 bytes]")]
    assert (session.usage.log_bytes, session.usage.log_cut) == (8, True)


def test_empty_lines_are_not_free() -> None:
    session, lines = logging(3)
    for _ in range(100):
        session.log("info", "")
    assert len(lines.lines) == 3 + 1


def test_a_character_is_never_cut_in_two() -> None:
    session, lines = logging(5)
    session.log("info", "éééé")
    assert lines.lines[0] == ("info", "éé")


def test_no_log_at_all() -> None:
    session, lines = logging(0)
    session.log("info", "x")
    assert lines.lines == [("warning", "[log cut at 0 bytes]")]


@given(st.lists(st.text(max_size=30), max_size=20), st.integers(0, 100))
def test_never_more_than_the_limit_and_always_printable(texts: list[str], log_bytes: int) -> None:
    session, lines = logging(log_bytes)
    for text in texts:
        session.log("info", text)
    kept = [line for level, line in lines.lines if level == "info"]
    assert all(line.isprintable() for line in kept)
    assert sum(len(line.encode()) for line in kept) <= session.usage.log_bytes <= log_bytes
    assert session.usage.log_cut == (sum(len(printable(text).encode()) + 1 for text in texts) > log_bytes)
    assert sum(level == "warning" for level, _ in lines.lines) == session.usage.log_cut


async def test_time_in_which_a_person_is_asked_is_told_apart(autojump_clock: trio.testing.MockClock) -> None:
    session = make_session(now=trio.current_time)
    with session.stand_still():
        await trio.sleep(2.5)
    assert session.usage.asked_us == 2_500_000
    assert not session.deadline.expired()


def test_holdings_are_exact_at_the_limit() -> None:
    holdings = Holdings()
    assert holdings.hold(60, 100)
    assert not holdings.hold(41, 100)
    assert holdings.hold(40, 100)
    holdings.release(1)
    assert holdings.hold(1, 100)
    assert holdings.held_bytes == 100
