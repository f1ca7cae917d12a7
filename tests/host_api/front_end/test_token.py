"""Tokens of front ends: what they carry, that nothing in them can be changed, and how sessions end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from host_api.front_end.sessions import FrontEnds, prune
from host_api.front_end.token import (
    LIFE_S_MAX,
    PROGRAMS_MAX,
    TOKEN_CHARS_MAX,
    USER_CHARS_MAX,
    FrontEndSession,
    TokenRefused,
    TokenSigner,
)
from host_api.store import Store, open_store
from runtime.testing import VirtualClock

KEY, OTHER = bytes(range(32)), bytes(32)
NOW_US = 1_800_000_000_000_000
SIGNER = TokenSigner(KEY)


def session(**changes: Any) -> FrontEndSession:
    told: dict[str, Any] = {
        "user": "alice", "interactive": True, "locale": "en-GB", "time_zone": "Europe/London", "currency": "GBP",
        "programs": ("org.example.shop",), "issued_us": NOW_US, "expires_us": NOW_US + 900_000_000,
    }  # fmt: skip
    return FrontEndSession(**{**told, **changes})


def refused(token: str, now_us: int = NOW_US, signer: TokenSigner = SIGNER) -> str:
    with pytest.raises(TokenRefused) as caught:
        signer.read(token, now_us)
    return caught.value.code


TOKEN = SIGNER.sign(session())


# ---- the form --------------------------------------------------------------------------------------------------------
@given(
    st.builds(
        session,
        user=st.text(st.characters(codec="utf-8"), min_size=1, max_size=USER_CHARS_MAX),
        interactive=st.booleans(),
        programs=st.none() | st.lists(st.from_regex(r"[a-z0-9._-]{1,60}", fullmatch=True), min_size=1, max_size=8),
    )
)
def test_a_session_comes_back_as_it_was(told: FrontEndSession) -> None:
    read = SIGNER.read(SIGNER.sign(told), NOW_US)
    assert (read.user, read.interactive, read.programs) == (
        told.user, told.interactive, None if told.programs is None else tuple(told.programs),
    )  # fmt: skip


def test_the_form_is_the_documented_one() -> None:
    form, key, _, mac = TOKEN.split(".")
    assert (form, len(key), len(mac)) == ("hostel1", 32, 43)
    assert SIGNER.sign(session()) == TOKEN


@given(st.integers(0, len(TOKEN) - 1), st.characters(min_codepoint=0, max_codepoint=0x2FF))
def test_any_change_of_a_character_is_refused(at: int, character: str) -> None:
    changed = TOKEN[:at] + character + TOKEN[at + 1 :]
    if changed != TOKEN:
        assert refused(changed) == "token_invalid"


def test_every_single_bit_counts() -> None:
    for at in range(len(TOKEN)):
        for bit in range(7):
            assert refused(TOKEN[:at] + chr(ord(TOKEN[at]) ^ (1 << bit)) + TOKEN[at + 1 :]) == "token_invalid"


@given(st.text(max_size=300) | st.binary(max_size=300).map(bytes.hex))
def test_any_text_is_refused(text: str) -> None:
    assert refused(text) == "token_invalid"
    assert refused(TOKEN + text + "=") == "token_invalid"
    assert refused(TOKEN[: len(text) % len(TOKEN)]) == "token_invalid"


def test_another_hosts_token_is_refused() -> None:
    assert refused(TokenSigner(OTHER).sign(session())) == "token_invalid"
    assert refused("x" * (TOKEN_CHARS_MAX + 1)) == "token_invalid"


def test_a_token_counts_to_its_last_microsecond() -> None:
    end = session().expires_us
    assert SIGNER.read(TOKEN, end - 1).user == "alice"
    assert refused(TOKEN, end) == "token_expired"


@pytest.mark.parametrize(
    "changes",
    [
        {"user": ""},
        {"user": "u" * (USER_CHARS_MAX + 1)},
        {"user": "\ud800"},
        {"locale": "x" * 9},
        {"locale": ""},
        {"time_zone": "../etc"},
        {"currency": "eur"},
        {"programs": ()},
        {"programs": ("a",) * (PROGRAMS_MAX + 1)},
        {"programs": ("A b",)},
        {"expires_us": NOW_US},
        {"expires_us": NOW_US + LIFE_S_MAX * 1_000_000 + 1},
    ],
)
def test_what_a_session_may_not_be(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        session(**changes)


def test_the_longest_life_and_the_most_programs_are_taken() -> None:
    told = session(expires_us=NOW_US + LIFE_S_MAX * 1_000_000, programs=("a" * 60,) * PROGRAMS_MAX)
    assert SIGNER.read(SIGNER.sign(told), NOW_US) == told
    with pytest.raises(ValueError, match="fewer programs"):
        SIGNER.sign(session(programs=("a" * 128,) * PROGRAMS_MAX))


def test_a_key_has_32_bytes() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        TokenSigner(b"short")


# ---- sessions that end -----------------------------------------------------------------------------------------------
@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(NOW_US)


@pytest.fixture
async def store(clock: VirtualClock) -> AsyncIterator[Store]:
    async with open_store(None, clock) as opened:
        yield opened


@pytest.fixture
def fronts(store: Store) -> FrontEnds:
    return FrontEnds(store=store, key=KEY, new_salt=lambda: bytes(16))


async def test_ended_sessions_count_no_more_and_later_ones_do(fronts: FrontEnds, clock: VirtualClock) -> None:
    before, bobs = fronts.issue_token("alice"), fronts.issue_token("bob")
    clock.advance(us=1)
    await fronts.end_sessions("alice")
    same = fronts.issue_token("alice")
    clock.advance(us=1)
    after = fronts.issue_token("alice")
    for token in (before, same):
        with pytest.raises(TokenRefused) as caught:
            fronts.session_of(token)
        assert caught.value.code == "token_invalid"
    assert fronts.session_of(after).user == "alice"
    assert fronts.session_of(bobs).user == "bob"


async def test_the_row_names_nobody_and_goes_with_the_last_token(
    fronts: FrontEnds, store: Store, clock: VirtualClock
) -> None:
    token = fronts.issue_token("alice", life_s=LIFE_S_MAX)
    await fronts.end_sessions("alice")
    rows: Any = store.read(lambda tx: tx.execute("SELECT * FROM ended_sessions"))
    assert len(rows) == 1 and "alice" not in repr(rows)
    clock.advance(s=LIFE_S_MAX)
    assert await store.write(lambda tx: prune(tx, 10)) == 0
    clock.advance(us=1)
    assert await store.write(lambda tx: prune(tx, 10)) == 1
    with pytest.raises(TokenRefused, match="over"):
        fronts.session_of(token)


async def test_ending_sessions_is_one_audit_record_without_a_name(fronts: FrontEnds, store: Store) -> None:
    await fronts.end_sessions("alice")
    rows: Any = store.read(lambda tx: tx.execute("SELECT record FROM audit"))
    assert len(rows) == 1 and "sessions.ended" in rows[0][0] and "alice" not in rows[0][0]
    with pytest.raises(ValueError, match="nobody"):
        await fronts.end_sessions("")
