"""storage.*: versions, quotas exact at the value and one over, scopes, prefixes, and what the cache may show."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from host_api.errors import ApiError, ErrorCode
from host_api.read_cache import ENTRY_BYTES, ReadCache
from host_api.storage import StorageService
from host_api.storage_methods import (
    DeleteParams,
    GetParams,
    ListParams,
    PutParams,
    UsageParams,
)
from host_api.store import Store, Transaction, open_store
from runtime.limits import Limits
from runtime.session import CallSession
from runtime.testing import VirtualClock, make_session
from runtime.wire import CanonicalCodec
from tests.host_api.refusal import refusal

T = TypeVar("T")
CODEC = CanonicalCodec()


@pytest.fixture(params=["memory", "file"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    where = None if request.param == "memory" else tmp_path / "state"
    async with open_store(where, VirtualClock()) as opened:
        yield opened


@pytest.fixture
async def storage(store: Store) -> StorageService:
    return StorageService(store=store, codec=CODEC)


async def put(storage: StorageService, session: CallSession, key: str, value: Any = 1, **more: Any) -> int:
    return (await storage.put(session, PutParams(key=key, value=value, **more))).version


def get(storage: StorageService, session: CallSession, key: str, **more: Any) -> tuple[Any, int]:
    """(value, version); version 0 where there is none."""
    got = storage.get(session, GetParams(key=key, **more))
    assert got.found == (got.version > 0)
    return (CODEC.decode(bytes(got.value)) if got.found else got.value, got.version)


def used(storage: StorageService, session: CallSession, **more: Any) -> tuple[int, int]:
    found = storage.usage(session, UsageParams(**more))
    return found.bytes, found.keys


# ---- values and versions ---------------------------------------------------------------------------------------------
async def test_what_was_put_is_got(storage: StorageService) -> None:
    session = make_session()
    assert get(storage, session, "cart") == (None, 0)
    assert await put(storage, session, "cart", {"b": [1, None, b"x"], "a": 2.5}) == 1
    assert get(storage, session, "cart") == ({"b": [1, None, b"x"], "a": 2.5}, 1)
    assert await put(storage, session, "cart", None) == 2
    assert get(storage, session, "cart") == (None, 2)
    assert (await storage.delete(session, DeleteParams(key="cart"))).deleted
    assert not (await storage.delete(session, DeleteParams(key="cart"))).deleted
    assert get(storage, session, "cart") == (None, 0)


async def test_a_version_is_never_used_twice(storage: StorageService) -> None:
    """Else a compare-and-set could mistake a key written anew for the one it read."""
    session = make_session()
    first = await put(storage, session, "cart")
    await storage.delete(session, DeleteParams(key="cart"))
    again = await put(storage, session, "cart")
    assert again > first
    error = await refusal(storage.put(session, PutParams(key="cart", value=2, if_version=first)))
    assert (error.code, error.details) == (ErrorCode.VERSION_CONFLICT, {"version": again})


@pytest.mark.parametrize(
    ("there", "if_version", "done"),
    [(False, None, True), (False, 0, True), (False, 1, False), (True, None, True), (True, 0, False), (True, 1, True),
     (True, 2, False)],
)  # fmt: skip
@pytest.mark.parametrize("method", ["put", "delete"])
async def test_compare_and_set(
    storage: StorageService, method: str, there: bool, if_version: int | None, done: bool
) -> None:
    session = make_session()
    if there:
        await put(storage, session, "cart", "old")
    before = get(storage, session, "cart"), used(storage, session)
    if method == "put":
        doing: Any = storage.put(session, PutParams(key="cart", value="new", if_version=if_version))
    else:
        doing = storage.delete(session, DeleteParams(key="cart", if_version=if_version))
    if done:
        await doing
        expected = ("new", 2 if there else 1) if method == "put" else (None, 0)
        assert get(storage, session, "cart") == expected
    else:
        assert (await refusal(doing)).code is ErrorCode.VERSION_CONFLICT
        assert (get(storage, session, "cart"), used(storage, session)) == before


async def test_of_two_who_saw_the_same_version_one_wins(storage: StorageService) -> None:
    session = make_session()
    outcomes: list[str] = []

    async def write(value: str) -> None:
        try:
            await put(storage, session, "cart", value, if_version=0)
            outcomes.append(value)
        except ApiError as error:
            outcomes.append(error.code.code)

    async with trio.open_nursery() as nursery:
        for name in "abcd":
            nursery.start_soon(write, name)
    assert sorted(outcomes)[1:] == ["version_conflict"] * 3
    assert get(storage, session, "cart") == (sorted(outcomes)[0], 1)


# ---- scopes ----------------------------------------------------------------------------------------------------------
async def test_users_and_programs_do_not_meet(storage: StorageService) -> None:
    alice, bob, other = make_session(), make_session(user="bob"), make_session(app_id="org.example.other")
    await put(storage, alice, "k", "alice's")
    await put(storage, alice, "k", "the program's", scope="program")
    assert get(storage, alice, "k")[0] == "alice's"
    assert get(storage, bob, "k") == (None, 0)
    assert get(storage, other, "k") == (None, 0)
    assert get(storage, other, "k", scope="program") == (None, 0)
    assert get(storage, bob, "k", scope="program")[0] == "the program's"
    assert used(storage, bob) == (0, 0)
    assert used(storage, bob, scope="program")[1] == 1


async def test_no_user_no_user_scope(storage: StorageService) -> None:
    nobody = make_session(user="")
    for ask in (
        lambda: storage.get(nobody, GetParams(key="k")),
        lambda: storage.list(nobody, ListParams()),
        lambda: storage.usage(nobody, UsageParams()),
    ):
        with pytest.raises(ApiError) as error:
            ask()
        assert (error.value.code, error.value.details["path"]) == (ErrorCode.INVALID_PARAMS, "$.scope")
    assert (await refusal(storage.put(nobody, PutParams(key="k", value=1)))).code is ErrorCode.INVALID_PARAMS
    assert (await refusal(storage.delete(nobody, DeleteParams(key="k")))).code is ErrorCode.INVALID_PARAMS
    await put(storage, nobody, "k", scope="program")
    assert get(storage, nobody, "k", scope="program") == (1, 1)


# ---- quotas ----------------------------------------------------------------------------------------------------------
def limited(**limits: int) -> CallSession:
    return make_session(limits=Limits(**limits))


async def quota(awaitable: Any, limit: str, value: int, used: int) -> None:
    error = await refusal(awaitable)
    assert error.code is ErrorCode.QUOTA_EXCEEDED
    assert (error.details["limit"], error.details["value"], error.details["used"]) == (limit, value, used)
    assert limit in error.message


async def test_one_value_at_its_limit_and_one_over(storage: StorageService) -> None:
    session = limited(storage_value_bytes=12)
    await put(storage, session, "k", b"x" * 10)  # two bytes of bin 8 header
    await quota(storage.put(session, PutParams(key="k", value=b"x" * 11)), "storage_value_bytes", 12, 13)
    assert get(storage, session, "k")[0] == b"x" * 10


async def test_bytes_at_their_limit_and_one_over(storage: StorageService) -> None:
    session = limited(storage_bytes=30)
    await put(storage, session, "é", b"x" * 11)  # 2 + 13
    await put(storage, session, "b", b"x" * 12)  # 1 + 14
    assert used(storage, session) == (30, 2)
    assert session.usage.storage_delta_bytes == 30
    await quota(storage.put(session, PutParams(key="c", value=1)), "storage_bytes", 30, 32)
    await quota(storage.put(session, PutParams(key="b", value=b"x" * 13)), "storage_bytes", 30, 31)
    assert used(storage, session) == (30, 2)
    await put(storage, session, "b", b"")
    assert (used(storage, session), session.usage.storage_delta_bytes) == ((18, 2), 18)


async def test_keys_at_their_limit_and_one_over(storage: StorageService) -> None:
    session = limited(storage_keys=2)
    await put(storage, session, "a")
    await put(storage, session, "b")
    await put(storage, session, "b", 2)
    await quota(storage.put(session, PutParams(key="c", value=1)), "storage_keys", 2, 3)
    await storage.delete(session, DeleteParams(key="a"))
    await put(storage, session, "c")
    assert used(storage, session)[1] == 2


async def test_a_limit_lowered_later_lets_nothing_grow_but_everything_shrink(storage: StorageService) -> None:
    await put(storage, make_session(), "k", b"x" * 100)
    session = limited(storage_bytes=50)
    await put(storage, session, "k", b"x" * 90)
    await quota(storage.put(session, PutParams(key="k", value=b"x" * 91)), "storage_bytes", 50, 94)
    await storage.delete(session, DeleteParams(key="k"))
    assert used(storage, session) == (0, 0)


async def test_many_writers_at_once_stay_inside_the_quota(storage: StorageService) -> None:
    session = limited(storage_keys=10)
    codes: list[ErrorCode] = []

    async def write(number: int) -> None:
        try:
            await put(storage, session, f"k{number}")
        except ApiError as error:
            codes.append(error.code)

    async with trio.open_nursery() as nursery:
        for number in range(25):
            nursery.start_soon(write, number)
    assert codes == [ErrorCode.QUOTA_EXCEEDED] * 15
    assert used(storage, session)[1] == len(storage.list(session, ListParams(limit=500)).keys) == 10


# ---- keys ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("key", ["k", "k" * 256, "é" * 128, "a b/ü:🍎", "\u202e"])
async def test_a_key(storage: StorageService, key: str) -> None:
    await put(storage, make_session(), key, "here")
    assert get(storage, make_session(), key) == ("here", 1)


@pytest.mark.parametrize("key", ["é" * 129, "a\n", "\x00", "\x7f", "\x85", "a\x1bb"])
async def test_what_is_no_key(storage: StorageService, key: str) -> None:
    session = make_session()
    with pytest.raises(ApiError) as error:
        storage.get(session, GetParams(key=key))
    assert (error.value.code, error.value.details["path"]) == (ErrorCode.INVALID_PARAMS, "$.key")
    assert (await refusal(storage.put(session, PutParams(key=key, value=1)))).code is ErrorCode.INVALID_PARAMS
    assert (await refusal(storage.delete(session, DeleteParams(key=key)))).code is ErrorCode.INVALID_PARAMS
    for params in (ListParams(prefix=key), ListParams(after=key)):
        with pytest.raises(ApiError):
            storage.list(session, params)


async def test_a_grants_prefixes_hold_for_every_method(storage: StorageService) -> None:
    await put(storage, make_session(), "private")
    session = make_session(granted={"storage": {"keys": ["cart/", "seen"]}})
    await put(storage, session, "cart/1")
    await put(storage, session, "seen")
    assert get(storage, session, "cart/1") == (1, 2)
    assert [found.key for found in storage.list(session, ListParams(prefix="cart/")).keys] == ["cart/1"]
    refusals = [
        await refusal(storage.put(session, PutParams(key="private", value=1))),
        await refusal(storage.delete(session, DeleteParams(key="cart"))),
    ]
    for ask in (lambda: storage.get(session, GetParams(key="private")), lambda: storage.list(session, ListParams())):
        with pytest.raises(ApiError) as error:
            ask()
        refusals.append(error.value)
    for refused in refusals:
        assert refused.code is ErrorCode.GRANT_CONSTRAINT
        assert refused.details == {"constraint": "keys", "value": ["cart/", "seen"]}


async def test_a_cached_value_is_behind_the_prefixes_too(storage: StorageService) -> None:
    await put(storage, make_session(), "private")
    assert get(storage, make_session(), "private") == (1, 1)
    with pytest.raises(ApiError) as error:
        get(storage, make_session(granted={"storage": {"keys": ["cart/"]}}), "private")
    assert error.value.code is ErrorCode.GRANT_CONSTRAINT


async def test_list_goes_page_by_page_in_the_order_of_bytes(storage: StorageService) -> None:
    session = make_session()
    keys = ["a", "b/", "b/1", "b/2", "b/é", "b/🍎", "b/\uffff", "b0", "c"]
    for key in reversed(keys):
        await put(storage, session, key)
    wanted = sorted((key for key in keys if key.startswith("b/")), key=str.encode)
    got: list[str] = []
    after = ""
    while True:
        page = storage.list(session, ListParams(prefix="b/", after=after, limit=2))
        got += [found.key for found in page.keys]
        if not page.more:
            break
        assert len(page.keys) == 2
        after = got[-1]
    assert got == wanted
    everything = storage.list(session, ListParams())
    assert [found.key for found in everything.keys] == sorted(keys, key=str.encode)
    assert sum(found.bytes for found in everything.keys) == used(storage, session)[0]
    assert not everything.more


async def test_usage_tells_the_limits(storage: StorageService) -> None:
    found = storage.usage(limited(storage_bytes=77, storage_keys=5), UsageParams())
    assert (found.bytes_max, found.keys_max) == (77, 5)


# ---- a model ---------------------------------------------------------------------------------------------------------
steps = st.lists(
    st.tuples(st.sampled_from(["put", "put", "delete", "get"]), st.sampled_from(["a", "b", "c"]), st.integers(0, 6)),
    max_size=30,
)


@settings(max_examples=40)
@given(steps, st.sampled_from([0, ENTRY_BYTES + 3, 1 << 20]))
def test_it_behaves_like_a_dictionary_with_a_quota(taken: list[tuple[str, str, int]], cache_bytes: int) -> None:
    async def run() -> None:
        async with open_store(None, VirtualClock()) as store:
            storage = StorageService(store=store, codec=CODEC, cache_bytes=cache_bytes)
            session, model = limited(storage_bytes=20, storage_keys=2), dict[str, bytes]()
            for step, key, size in taken:
                value = b"x" * size
                if step == "get":
                    assert get(storage, session, key)[0] == model.get(key)
                elif step == "delete":
                    assert (await storage.delete(session, DeleteParams(key=key))).deleted == (key in model)
                    model.pop(key, None)
                else:
                    after = {**model, key: value}
                    # one byte of key, two of header
                    if sum(len(v) + 3 for v in after.values()) > 20 or len(after) > 2:
                        assert (await refusal(storage.put(session, PutParams(key=key, value=value)))).code.number == 152
                    else:
                        await put(storage, session, key, value)
                        model = after
                assert used(storage, session) == (sum(len(v) + 3 for v in model.values()), len(model))
                assert session.usage.storage_delta_bytes == used(storage, session)[0]

    trio.run(run)


# ---- the cache -------------------------------------------------------------------------------------------------------
class Watched:
    """A store that counts reads and may lose the outcome of a write, or hold it back until told."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.reads = 0
        self.lose_outcome = False
        self.committed = trio.Event()
        self.acknowledge: trio.Event | None = None

    def now_us(self) -> int:
        return self._store.now_us()

    def read(self, job: Callable[[Transaction], T]) -> T:
        self.reads += 1
        return self._store.read(job)

    async def write(self, job: Callable[[Transaction], T]) -> T:
        if self.lose_outcome:
            raise ApiError(ErrorCode.UNKNOWN_OUTCOME, "lost")
        result = await self._store.write(job)
        self.committed.set()
        if self.acknowledge is not None:
            with trio.CancelScope(shield=True):
                await self.acknowledge.wait()
        return result

    async def aclose(self) -> None:
        await self._store.aclose()


async def test_a_second_read_is_from_memory(store: Store) -> None:
    watched, session = Watched(store), make_session()
    storage = StorageService(store=watched, codec=CODEC)
    await put(storage, session, "k")
    for key in ("k", "absent"):
        for _ in range(3):
            get(storage, session, key)
    assert watched.reads == 2


async def test_who_knows_of_a_write_reads_it(store: Store) -> None:
    """Who reads between commit and acknowledgement may see the past; the writer itself never does."""
    watched, session = Watched(store), make_session()
    storage = StorageService(store=watched, codec=CODEC)
    await put(storage, session, "k", "old")
    assert get(storage, session, "k")[0] == "old"
    watched.committed, watched.acknowledge = trio.Event(), trio.Event()
    seen: list[Any] = []

    async def write() -> None:
        await put(storage, session, "k", "new")
        seen.append(get(storage, session, "k")[0])

    async with trio.open_nursery() as nursery:
        nursery.start_soon(write)
        await watched.committed.wait()
        assert get(storage, session, "k")[0] == "old"  # nobody was told yet
        watched.acknowledge.set()
    assert seen == ["new"]


async def test_a_cancelled_write_that_was_carried_out_is_seen(store: Store) -> None:
    watched, session = Watched(store), make_session()
    storage = StorageService(store=watched, codec=CODEC)
    await put(storage, session, "k", "old")
    get(storage, session, "k")
    watched.committed, watched.acknowledge = trio.Event(), trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(put, storage, session, "k", "new")
        await watched.committed.wait()
        nursery.cancel_scope.cancel()
        watched.acknowledge.set()
    assert get(storage, session, "k")[0] == "new"


async def test_after_an_unknown_outcome_nothing_is_cached(store: Store) -> None:
    watched, session = Watched(store), make_session()
    storage = StorageService(store=watched, codec=CODEC)
    await put(storage, session, "k", "old")
    get(storage, session, "k")
    watched.lose_outcome = True
    assert (await refusal(storage.put(session, PutParams(key="k", value="new")))).code is ErrorCode.UNKNOWN_OUTCOME
    watched.lose_outcome = False
    assert get(storage, session, "k")[0] == "old"
    # The lost write is carried out now, behind everybody's back.
    await StorageService(store=store, codec=CODEC).put(session, PutParams(key="k", value="new"))
    assert get(storage, session, "k")[0] == "new"


def test_the_cache_is_bounded_and_forgets_the_oldest() -> None:
    cache: ReadCache[str] = ReadCache(bytes_max=2 * (ENTRY_BYTES + 10))
    cache.keep("a", "A", 10)
    cache.keep("b", "B", 10)
    assert (cache.get("a"), cache.get("b"), len(cache)) == ("A", "B", 2)
    cache.get("a")
    cache.keep("c", "C", 10)
    assert (cache.get("a"), cache.get("b"), cache.get("c")) == ("A", None, "C")
    cache.keep("huge", "H", 10_000)
    assert len(cache) == 0
    cache.keep("a", "A", 10)
    cache.keep("a", "A2", 11)
    cache.keep("b", "B", 9)
    assert (cache.get("a"), cache.get("b")) == ("A2", "B")
    cache.drop("a")
    cache.drop("a")
    assert cache.get("a") is None


@given(st.lists(st.tuples(st.sampled_from("abcde"), st.integers(0, 400), st.booleans()), max_size=40))
def test_the_cache_counts_exactly(steps: list[tuple[str, int, bool]]) -> None:
    most = 3 * ENTRY_BYTES
    cache: ReadCache[int] = ReadCache(bytes_max=most)
    kept: dict[str, int] = {}
    for key, size, drop in steps:
        kept.pop(key, None)
        if drop:
            cache.drop(key)
        else:
            cache.keep(key, size, size)
            kept[key] = size
            while sum(kept.values()) + ENTRY_BYTES * len(kept) > most:
                kept.pop(next(iter(kept)))
        assert len(cache) == len(kept)
    assert {key: cache.get(key) for key in "abcde"} == {key: kept.get(key) for key in "abcde"}
