"""What loading a script leaves, laid over later instances: the same as loading it again, and nobody's call in it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import wasmtime

from runtime.errors import ScriptError
from runtime.javascript import Interpreter
from runtime.limits import MIB
from runtime.sandbox import script as loading
from runtime.sandbox.script import Left, Script, Scripts
from tests.hostile.conftest import Opened, Site
from tests.hostile.guests import imported
from tests.hostile.test_javascript import install, script

BUSY = "let n = 0; for (let i = 0; i < 60_000; i += 1) n += i % 7;\n"
"""Some ms of work outside of functions."""


@pytest.fixture
async def here(opened: Opened) -> AsyncIterator[Site]:
    """In this process, whose memory can be looked at."""
    async with opened(workers=None) as made:
        yield made


def scripts(site: Site) -> Scripts:
    """Of the executor in this process."""
    found: Scripts = site.host._executor.pool._scripts  # type: ignore[attr-defined]
    return found


async def test_what_a_script_does_outside_of_functions_is_there_at_every_call(site: Site) -> None:
    app = await install(site, BUSY + "export default { run: () => n };")
    first, again = [await site.host.call(app, "run") for _ in range(2)]
    assert first.value == again.value > 0


async def test_a_call_runs_on_what_loading_left_and_loads_nothing(here: Site) -> None:
    """Shown by exchanging what two scripts left: each then answers as the other one."""
    one, two = [
        await here.host.install(script(f"export default {{ run: () => {number} }};", f"org.example.script{number}"))
        for number in (1, 2)
    ]
    assert [(await here.host.call(app, "run")).value for app in (one, two)] == [1, 2]
    (first, left_by_first), (second, left_by_second) = scripts(here)._left.items()
    scripts(here)._left.update({first: left_by_second, second: left_by_first})
    assert [(await here.host.call(app, "run")).value for app in (one, two)] == [2, 1]


async def test_no_call_finds_what_another_one_left(site: Site) -> None:
    app = await install(
        site,
        """
        const seen = []; globalThis.kept = "";
        export default { run: ({ secret }) => {
            const told = [seen.length, globalThis.kept, typeof String.prototype.mine];
            seen.push(secret); globalThis.kept = secret; String.prototype.mine = secret;
            return told;
        } };
        """,
    )
    for user in ("alice", "bob", "alice"):
        assert (await site.host.call(app, "run", {"secret": user}, user=user)).value == [0, "", "undefined"]


async def test_each_call_draws_its_own_randomness(site: Site) -> None:
    app = await install(site, "export default { run: () => [Math.random(), Math.random()] };")
    drawn = [number for _ in range(3) for number in (await site.host.call(app, "run")).value]
    assert len(set(drawn)) == 6


@pytest.mark.parametrize("bound", ["LEFT_MAX", "LOOKED_AT_MAX", "KEPT_MAX"])
async def test_what_is_too_large_to_keep_is_loaded_each_time(
    here: Site, bound: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, bound, 4_096)
    app = await install(here, BUSY + "let calls = 0; export default { run: () => [n, ++calls] };")
    first, again = [(await here.host.call(app, "run")).value for _ in range(2)]
    assert first == again and again[1] == 1
    assert scripts(here).kept_bytes == 0


async def test_under_another_limit_of_memory_a_script_is_loaded_anew(site: Site) -> None:
    source = """
        let got = 0;
        try { const all = []; for (;;) { all.push(new Uint8Array(65_536)); got += 1; } } catch { }
        export default { run: () => got };
    """
    app = await install(site, source, memory_bytes=3 * MIB)
    little = (await site.host.call(app, "run")).value
    assert (await site.host.call(app, "run")).value == little
    await site.host.set_limits(app, {"memory_bytes": 4 * MIB - 65_536})
    assert (await site.host.call(app, "run")).value == little + 15


async def test_a_call_that_has_less_left_than_loading_takes_is_answered(here: Site) -> None:
    """It has a quarter of what loading takes, and so much as that takes here: what it needs itself is far less."""
    work = BUSY.replace("60_000", "1_500_000")
    app = await install(here, f"export default {{ run: () => {{ {work} return n; }} }};", cpu_us=600_000_000)
    loading_us = (await here.host.call(app, "run")).receipt.usage.cpu_us
    app = await install(here, work + "export default { run: () => n };", cpu_us=600_000_000)
    assert scripts(here).kept_bytes > 0, "by the trial"
    await here.host.set_limits(app, {"cpu_us": loading_us // 4})
    assert (await here.host.call(app, "run")).value > 0


def test_so_much_is_kept_and_what_was_used_least_recently_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "KEPT_MAX", 10)
    kept = Scripts()
    names = [Script(name, kept) for name in (b"a", b"b", b"c")]
    for name in names[:2]:
        kept.keep(name, Left(limit=1, size=65_536, runs=((0, bytes(4)),), report=b""))
    assert kept.find(names[0], 1) is not None and kept.find(names[0], 2) is None
    kept.keep(names[2], Left(limit=1, size=65_536, runs=((0, bytes(4)),), report=b""))
    assert [kept.find(name, 1) is not None for name in names] == [True, False, True]
    kept.keep(names[2], Left(limit=2, size=65_536, runs=((0, bytes(2)),), report=b""))
    assert kept.kept_bytes == 6


def test_only_pages_that_differ_are_kept_and_neighbours_are_one() -> None:
    before = bytes(3 * loading.PAGE)
    after = bytearray(5 * loading.PAGE)
    after[loading.PAGE] = after[2 * loading.PAGE + 7] = 1
    after[-1] = 2
    runs = loading._differences(before, bytes(after))
    assert [(at, len(data)) for at, data in runs] == [
        (loading.PAGE, 2 * loading.PAGE), (4 * loading.PAGE, loading.PAGE),
    ]  # fmt: skip
    assert loading._differences(before, before) == ()


async def test_an_engine_that_asks_while_it_loads_ends_the_call(opened: Opened) -> None:
    """Also for the time, for randomness and to write: a stand-in does so once its script says a."""
    engine = wasmtime.wat2wasm(f"""(module
      {imported("wasi_snapshot_preview1", "random_get")} {imported("hostel_v1", "call")}
      {imported("wasi_snapshot_preview1", "fd_write")}
      (memory (export "memory") 4)
      (func (export "hostel_alloc") (param i32) (result i32) (i32.const 65536))
      (func (export "hostel_load") (param $at i32) (param $size i32) (result i64) (local $what i32)
        (local.set $what (i32.load8_u (i32.add (local.get $at) (i32.const 12))))
        (if (i32.eq (local.get $what) (i32.const {ord("r")}))
          (then (drop (call $random_get (i32.const 0) (i32.const 8)))))
        (if (i32.eq (local.get $what) (i32.const {ord("w")}))
          (then (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 8)))))
        (if (i32.eq (local.get $what) (i32.const {ord("c")}))
          (then (drop (call $call (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))))
        (i64.const 0))
      (func (export "hostel_handle") (param i32 i32) (result i64) (i64.const 0)))""")
    async with opened(engine=Interpreter.of(bytes(engine))) as site:
        await install(site, "x")
        for source in ("r", "w", "c"):
            with pytest.raises(ScriptError) as caught:
                await install(site, source)
            assert caught.value.details["ending"] == "protocol_violation", source
