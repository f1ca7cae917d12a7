"""From a module's bytes to a loaded module: memory, cache, child; verdicts; artifacts of another processor."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator

import pytest
import trio.testing
import wasmtime

from runtime.errors import CompileLimitExceeded, HostClosed, HostelError, ModuleError
from runtime.limits import CompileLimits, Limits, ModuleCaps
from runtime.modules import Modules, memory_bytes
from runtime.sandbox.artifacts import ArtifactCache
from runtime.sandbox.engine import fingerprint
from runtime.sandbox.pool import ArtifactRefused, Pool
from runtime.sandbox.script import scripted

OPENED: list[Modules] = []
GUEST = """(module (memory (export "memory") 1 {most}) (data (i32.const 0) "{name}")
  (func (export "hostel_alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "hostel_handle") (param i32 i32) (result i64) (i64.const 0)))"""


def guest(name: str = "a", most: str = "") -> bytes:
    return bytes(wasmtime.wat2wasm(GUEST.format(name=name, most=most)))


@pytest.fixture
def cache() -> ArtifactCache:
    return ArtifactCache(None, bytes(32), fingerprint=fingerprint())


@pytest.fixture
def pool() -> Iterator[Pool]:
    pool = Pool(slots=2)
    yield pool
    pool.close()


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    while OPENED:
        OPENED.pop().close()


def opened(modules: Modules) -> Modules:
    """Closed when the test is over."""
    OPENED.append(modules)
    return modules


def modules(pool: Pool, cache: ArtifactCache, *, loaded_bytes_max: int = 1 << 30, cpu_s: int = 10) -> Modules:
    return opened(Modules(
        pool.load, cache, scripted=scripted, caps=ModuleCaps(),
        compile_limits=CompileLimits().changed({"cpu_s": cpu_s}), loaded_bytes_max=loaded_bytes_max,
    ))  # fmt: skip


async def test_a_module_is_compiled_once_for_all_hosts_of_a_cache(pool: Pool, cache: ArtifactCache) -> None:
    module, facts = await modules(pool, cache).take(guest(), Limits())
    kept = cache.get(facts.sha256)
    assert kept is not None
    other = modules(pool, cache)
    again, _ = await other.take(guest(), Limits())
    assert other.loaded(facts.sha256, Limits()) is again and again is not module


async def test_all_who_want_a_module_at_once_wait_for_one_compilation(pool: Pool, cache: ArtifactCache) -> None:
    made = modules(pool, cache)
    found: list[object] = []

    async def take() -> None:
        found.append((await made.take(guest(), Limits()))[0])

    async with trio.open_nursery() as nursery:
        for _ in range(41):
            nursery.start_soon(take)
    assert (len(found), len(set(map(id, found))), made.compiled) == (41, 1, {"ok": 1})


async def test_who_waits_for_a_compilation_that_is_given_up_begins_one(pool: Pool, cache: ArtifactCache) -> None:
    made = modules(pool, cache)
    first = trio.CancelScope()

    async def give_up() -> None:
        with first:
            await made.take(guest(), Limits())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(give_up)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(made.take, guest(), Limits())
        await trio.testing.wait_all_tasks_blocked()
        first.cancel()
    assert first.cancelled_caught
    assert made.compiled == {"ok": 1}


async def test_the_least_recently_used_module_goes_first(pool: Pool, cache: ArtifactCache) -> None:
    sizes = modules(pool, cache)
    _, facts = await sizes.take(guest("a"), Limits())
    kept = cache.get(facts.sha256)
    assert kept is not None
    few = modules(pool, cache, loaded_bytes_max=2 * len(kept.artifact) + 1_000)
    shas = [(await few.take(guest(name), Limits()))[1].sha256 for name in "ab"]
    assert few.loaded(shas[0], Limits()) is not None  # used again: b is the oldest now
    shas.append((await few.take(guest("c"), Limits()))[1].sha256)
    assert [few.loaded(sha, Limits()) is not None for sha in shas] == [True, False, True]


async def test_an_artifact_of_another_processor_is_compiled_anew(pool: Pool, cache: ArtifactCache) -> None:
    tried: list[int] = []

    def load(artifact: bytes, facts: object) -> object:
        tried.append(len(artifact))
        if len(tried) == 2:
            raise ArtifactRefused("made for a processor with other features")
        return pool.load(artifact, facts)  # type: ignore[arg-type]

    def fresh() -> Modules:
        return opened(Modules(
            load, cache, scripted=scripted, caps=ModuleCaps(), compile_limits=CompileLimits(),
            loaded_bytes_max=1 << 30,
        ))  # fmt: skip

    await fresh().take(guest(), Limits())
    module, _ = await fresh().take(guest(), Limits())
    assert len(tried) == 3 and module is not None


async def test_todays_limits_hold_for_an_artifact_of_yesterday(pool: Pool, cache: ArtifactCache) -> None:
    known = modules(pool, cache)
    await known.take(guest(), Limits())
    strict = Modules(
        pool.load, cache, scripted=scripted, caps=ModuleCaps().changed({"module_bytes": 10}),
        compile_limits=CompileLimits(), loaded_bytes_max=1 << 30,
    )  # fmt: skip
    with pytest.raises(ModuleError, match="module_bytes"):
        await strict.take(guest(), Limits())


async def test_a_verdict_is_remembered(pool: Pool, cache: ArtifactCache) -> None:
    known, wasm = modules(pool, cache), guest()
    under = ModuleCaps(), Limits().memory_bytes, CompileLimits()
    cache.put_verdict(hashlib.sha256(wasm).hexdigest(), CompileLimitExceeded("too dear"), under)
    with pytest.raises(CompileLimitExceeded, match="too dear"):
        await known.take(wasm, Limits())


async def test_a_refusal_is_reached_once_and_remembered_for_these_caps(
    pool: Pool, cache: ArtifactCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    known, wasm = modules(pool, cache), guest().replace(b"hostel_handle", b"hostel_handlf")
    with pytest.raises(ModuleError) as first:
        await known.take(wasm, Limits())
    monkeypatch.setattr(sys, "executable", "/nonexistent")  # no process can be started from here on
    known.close()
    with pytest.raises(ModuleError) as again:
        await modules(pool, cache).take(wasm, Limits())
    assert (again.value.message, again.value.details) == (first.value.message, first.value.details)
    with pytest.raises(HostelError, match="cannot be started"):
        await modules(pool, cache).take(wasm, Limits().changed({"memory_bytes": 1 << 20}))


async def test_nothing_is_compiled_after_the_end(pool: Pool, cache: ArtifactCache) -> None:
    ended = modules(pool, cache)
    ended.close()
    with pytest.raises(HostClosed):
        await ended.take(guest(), Limits())


async def test_a_sandbox_counts_with_what_it_may_grow_to(pool: Pool, cache: ArtifactCache) -> None:
    known = modules(pool, cache)
    for most, expected in (("", 16 << 20), ("3", 3 * 65_536), ("1000", 16 << 20)):
        _, facts = await known.take(guest(most=most), Limits())
        assert memory_bytes(facts, Limits()) == expected
