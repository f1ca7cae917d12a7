"""Idempotency keys: one outcome a key, and for how long."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest

from host_api.contract import Result
from host_api.errors import ApiError, ErrorCode
from host_api.idempotency import (
    HOUR_US,
    KEYS_PER_HOUR,
    RETENTION_US,
    KeyedRequest,
    fingerprint,
    once,
    prune,
    recall,
    remember,
)
from host_api.store import Store, open_store
from host_api.store.protocol import Transaction
from runtime.testing import VirtualClock
from runtime.wire import CanonicalCodec

CODEC = CanonicalCodec(1 << 16)
CONTENT = {"amount": [5, "CNY"], "subject": "Tea"}
PRINT = fingerprint(CODEC, "m", 1, CONTENT)


def request(
    *, app_id: str = "a", user: str = "u", method: str = "m", key: str = "k", version: int = 1, content: bytes = PRINT
) -> KeyedRequest:
    return KeyedRequest(app_id=app_id, user=user, method=method, key=key, schema_version=version, fingerprint=content)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
async def store(clock: VirtualClock) -> AsyncIterator[Store]:
    async with open_store(None, clock) as opened:
        yield opened


def test_the_fingerprint_covers_method_version_and_content_but_not_its_order() -> None:
    assert fingerprint(CODEC, "m", 1, dict(reversed(CONTENT.items()))) == PRINT
    others = [
        fingerprint(CODEC, "n", 1, CONTENT),
        fingerprint(CODEC, "m", 2, CONTENT),
        fingerprint(CODEC, "m", 1, {**CONTENT, "amount": [6, "CNY"]}),
        fingerprint(CODEC, "m", 1, {**CONTENT, "ttl": 1}),
    ]
    assert len({PRINT, *others}) == 5


def test_the_fingerprint_is_the_same_for_ever() -> None:
    """A state directory holds rows that an older host wrote: this value may never change."""
    assert PRINT.hex() == "43870419d68d0606ddd6c83f68d8cdb6723a1e1e841df4823aef094356af5c71"


async def test_an_outcome_is_recalled_by_the_same_request_only(store: Store) -> None:
    await store.write(lambda tx: remember(tx, request(), b"outcome"))
    assert store.read(lambda tx: recall(tx, request())) == b"outcome"
    for other in (request(app_id="b"), request(user=""), request(method="n"), request(key="l")):
        assert store.read(lambda tx, other=other: recall(tx, other)) is None
    for reused in (request(content=bytes(32)), request(version=2)):
        with pytest.raises(ApiError) as refused:
            store.read(lambda tx, reused=reused: recall(tx, reused))
        assert refused.value.code is ErrorCode.KEY_REUSED


async def test_a_key_is_remembered_for_its_retention_exactly(store: Store, clock: VirtualClock) -> None:
    await store.write(lambda tx: remember(tx, request(), b"first"))
    clock.advance(us=RETENTION_US - 1)
    assert store.read(lambda tx: recall(tx, request())) == b"first"
    clock.advance(us=1)
    other = request(content=bytes(32))
    assert store.read(lambda tx: recall(tx, other)) is None
    await store.write(lambda tx: remember(tx, other, b"second"))
    assert store.read(lambda tx: recall(tx, other)) == b"second"


async def test_pruning_takes_the_oldest_whose_time_is_over(store: Store, clock: VirtualClock) -> None:
    for number in range(5):
        await store.write(lambda tx, number=number: remember(tx, request(key=f"k{number}"), b""))
        clock.advance(us=1)
    clock.advance(us=RETENTION_US - 2)
    assert await store.write(lambda tx: prune(tx, 2)) == 2
    assert await store.write(lambda tx: prune(tx, 9)) == 2
    assert store.read(lambda tx: tx.execute("SELECT key FROM idempotency")) == [("k4",)]


# ---- once ------------------------------------------------------------------------------------------------------------
class Counted(Result, frozen=True, kw_only=True):
    """What the effect of these tests gives."""

    number: int
    replayed: bool = False


def attempt(
    effect: Callable[[Transaction], Counted], keyed: KeyedRequest, *keeps: ErrorCode
) -> Callable[[Transaction], Counted | ApiError]:
    return lambda tx: once(
        tx, keyed, lambda: effect(tx), codec=CODEC, result=Counted, keeps=frozenset(keeps)
    )  # fmt: skip


def counting(tx: Transaction) -> Counted:
    """Writes a row of a key of its own, and gives how many there are."""
    number = int(tx.execute("SELECT count(*) FROM idempotency")[0][0])
    remember(tx, request(app_id="effects", key=f"e{number}"), b"")
    return Counted(number=number)


def refusing(tx: Transaction) -> Counted:
    counting(tx)
    raise ApiError(ErrorCode.INVALID_STATE, "not now", details={"status": "x"}, retry_after_ms=5)


async def test_an_effect_happens_once_a_key(store: Store) -> None:
    first = await store.write(attempt(counting, request()))
    assert first == Counted(number=0)
    assert await store.write(attempt(counting, request())) == Counted(number=0, replayed=True)
    assert await store.write(attempt(counting, request(key="l"))) == Counted(number=2)


async def test_a_refusal_that_is_kept_is_the_keys_outcome_and_undoes_what_was_written(store: Store) -> None:
    first = await store.write(attempt(refusing, request(), ErrorCode.INVALID_STATE))
    again = await store.write(attempt(counting, request(), ErrorCode.INVALID_STATE))
    assert isinstance(first, ApiError)
    assert isinstance(again, ApiError)
    assert again.as_wire() == {**first.as_wire(), "details": {"status": "x", "replayed": True}}
    assert store.read(lambda tx: tx.execute("SELECT app_id FROM idempotency")) == [("a",)]


async def test_a_refusal_that_is_not_kept_may_be_tried_again(store: Store) -> None:
    for keeps in ((), (ErrorCode.EXPIRED,)):
        with pytest.raises(ApiError, match="not now"):
            await store.write(attempt(refusing, request(), *keeps))
    assert await store.write(attempt(counting, request())) == Counted(number=0)


async def test_new_keys_of_any_hour_at_their_limit_and_one_over(store: Store, clock: VirtualClock) -> None:
    def fill(tx: Transaction) -> None:
        for number in range(KEYS_PER_HOUR - 1):
            remember(tx, request(key=f"f{number}"), b"")

    await store.write(attempt(counting, request(key="first")))
    clock.advance(us=1_000_000)
    await store.write(fill)
    with pytest.raises(ApiError) as refused:
        await store.write(attempt(counting, request(key="over")))
    assert (refused.value.code, refused.value.retry_after_ms) == (ErrorCode.RATE_LIMITED, 3_599_000)
    assert await store.write(attempt(counting, request(key="first"))) == Counted(number=0, replayed=True)
    assert isinstance(await store.write(attempt(counting, request(key="over", user="other"))), Counted)
    clock.advance(us=HOUR_US - 1_000_001)
    with pytest.raises(ApiError):
        await store.write(attempt(counting, request(key="over")))
    clock.advance(us=1)
    assert isinstance(await store.write(attempt(counting, request(key="over"))), Counted)
