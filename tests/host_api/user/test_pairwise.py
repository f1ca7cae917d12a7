"""Pairwise ids: stable, unlinkable, and of an encoding in which no two pairs meet."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from host_api.errors import ApiError, ErrorCode
from host_api.user.pairwise import ID_CHARS, KEY_BYTES, PairwiseIds, declared_sector

KEY = bytes(range(32))
IDS = PairwiseIds(KEY)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


def test_the_id_is_the_documented_one() -> None:
    message = b"hostel pairwise id 1\0" + (4).to_bytes(4, "big") + b"shop" + (5).to_bytes(4, "big") + b"alice"
    by_hand = base64.b32encode(hmac.new(KEY, message, hashlib.sha256).digest()).decode().lower()[:26]
    assert IDS.of("shop", "alice") == by_hand == "xkguarwf7aih246eravgbnr6gs"


@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=2, max_size=6, unique=True))
def test_no_two_pairs_share_an_id(pairs: list[tuple[str, str]]) -> None:
    ids = [IDS.of(sector, user) for sector, user in pairs]
    assert len(set(ids)) == len(pairs)
    assert all(re.fullmatch(f"[a-z2-7]{{{ID_CHARS}}}", one) for one in ids)


def test_moving_the_border_between_sector_and_user_is_another_id() -> None:
    assert IDS.of("shop", "alice") != IDS.of("shopa", "lice")
    assert IDS.of("", "shopalice") != IDS.of("shopalice", "")


def test_another_key_is_another_id() -> None:
    assert PairwiseIds(bytes(32)).of("shop", "alice") != IDS.of("shop", "alice")


@pytest.mark.parametrize("size", [0, KEY_BYTES - 1, KEY_BYTES + 1])
def test_a_key_has_32_bytes(size: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        PairwiseIds(bytes(size))


@pytest.mark.parametrize("name", ["", "A", "a:b", "a b", "a\n", ".a", "a" * 65, "sector:a", "ä"])
def test_what_is_no_sector(name: str) -> None:
    with pytest.raises(ValueError, match="a sector is"):
        declared_sector(name)


def test_no_app_id_is_a_declared_sector() -> None:
    assert declared_sector("a" * 64) == "sector:" + "a" * 64
    assert IDS.of(declared_sector("acme"), "alice") != IDS.of("acme", "alice")


# ---- user.login ------------------------------------------------------------------------------------------------------
async def test_a_program_knows_its_user_again(world: Any) -> None:
    first = world.login(world.session(call_id="call-1", release_code=1))
    assert first == world.login(world.session(call_id="call-2", release_code=2, locale="zh"))
    assert first != world.login(world.session("bob"))
    assert "alice" not in first


async def test_two_programs_of_one_developer_know_other_users_unless_the_sector_is_declared(world: Any) -> None:
    apps = ("org.example.shop", "org.example.taxi")
    apart = [world.login(world.session(app_id=app, sector=app)) for app in apps]
    assert len(set(apart)) == 2
    joined = [world.login(world.session(app_id=app, sector=declared_sector("example"))) for app in apps]
    assert len(set(joined)) == 1
    other = world.login(world.session(app_id="net.other.shop", sector=declared_sector("other")))
    assert len({*apart, *joined, other}) == 4


async def test_a_program_named_as_a_sector_is_not_in_it(world: Any) -> None:
    of_sector = world.login(world.session(app_id="org.example.shop", sector=declared_sector("example")))
    assert world.login(world.session(app_id="example", sector="example")) != of_sector


async def test_nobody_has_no_id(world: Any) -> None:
    with pytest.raises(ApiError) as caught:
        world.login(world.session(""))
    assert (caught.value.code, caught.value.details) == (ErrorCode.INVALID_PARAMS, {"parameter": "user"})


async def test_the_directory_is_not_asked_who_somebody_is(world: Any) -> None:
    assert world.login(world.session("somebody the directory does not know"))
    assert world.directory.asked == []
