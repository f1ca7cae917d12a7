"""The JavaScript engine: what scripts are given, what becomes of what they throw, and that nothing of the moment in
which the engine was built is left in it.
"""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from runtime import GuestFailed
from runtime.javascript import shipped_engine
from runtime.limits import WASM_PAGE, ModuleCaps
from runtime.sandbox.checks import check_module
from tests.samples.javascript_site import scripted

ROOT = Path(__file__).resolve().parents[2]
PAGES_MOST = 10

METHODS = """
import { Fail, HostError, call, log, post, storage, wait } from "hostel";
class Point { x = 1; #y = 2; get z() { return 3; } }
const loops = {}; loops.self = loops;
export default {
  plain: (params, request) => ({ params, request }),
  nothing() {},
  async kinds() { return { point: new Point(), left_out: undefined, listed: [undefined, 1.5, 10n ** 18n] }; },
  async fails() { throw new Fail("sold_out", "no apples left", { left: 0 }, { retryable: true, retryAfterMs: 500 }); },
  async breaks() {
    const shop = {};
    return shop.cart.total;
  },
  throws_text() { throw "apples"; },
  async waits_for_ever() { await new Promise(() => {}); },
  async forgets() { Promise.reject(new RangeError("lost")); return 1; },
  async passes_on() { await storage.get({ key: "k", scope: "nobody" }); },
  async catches() {
    try { await storage.get({ key: "" }); }
    catch (error) { return [error instanceof HostError, error.code, error.method, error.name, error.stack.trim()]; }
  },
  async together() {
    const order = [];
    const sleep = (ms) => call("session.sleep", { ms }).then(() => order.push(ms));
    await Promise.all([sleep(40), sleep(1)]);
    return order;
  },
  async many() { return (await Promise.all(Array.from({ length: 40 }, () => call("session.info")))).length; },
  async timers() {
    const order = [];
    setTimeout((word) => order.push(word), 9, "second");
    setTimeout(() => order.push("first"), 3);
    const gone = setTimeout(() => order.push("never"), 1);
    clearTimeout(gone);
    const beats = setInterval(() => { order.push("beat"); clearInterval(beats); }, 12);
    await wait(20);
    return order;
  },
  async late() { setTimeout(() => { throw new Error("too late"); }, 1); await wait(5); },
  async says() {
    console.log("cart", { apples: [1, "two"] }, new Map([["a", 1]]));
    console.error(new TypeError("no"));
    log.warning("by the host");
  },
  memory() {
    const kept = [];
    try { for (;;) kept.push(new Uint8Array(1 << 20)); } catch (error) { return [String(error), kept.length > 10]; }
  },
  recursion() {
    const deeper = () => deeper() + 1;
    try { return deeper(); } catch (error) { return String(error); }
  },
  random: () => [Math.random(), crypto.randomUUID(), [...crypto.getRandomValues(new Uint8Array(4))].length],
  now: () => Date.now(),
  texts: () => [
    new TextDecoder().decode(new TextEncoder().encode("é中😀\\ud800")), atob(btoa("hostel")),
    structuredClone(new Map([[1, { a: [1] }]])).get(1), typeof URL, typeof performance, eval("6 * 7"),
  ],
  not_utf8: () => new TextDecoder("utf-8", { fatal: true }).decode(new Uint8Array([0xc3, 0x28])),
  NaN: () => ({ cart: [{ price: 0 / 0 }] }),
  date: () => ({ at: new Date(0) }),
  function: () => [() => 1],
  promise: () => ({ later: Promise.resolve(1) }),
  surrogate: () => "\\ud800",
  loop: () => loops,
  big: () => 2n ** 64n,
  many_values: () => new Array(4096).fill(0),
  async sends_NaN() { await storage.put({ key: "k", value: [Infinity] }); },
  async sends_envelope() { await call("session.info", { $key: 1 }); },
  async imports_late() { await import("./late.js"); },
  bad_fail() { throw Object.assign(new Fail("a"), { code: 7 }); },
  get getter() { return () => "got"; },
};
export const notifications = {
  note({ text }) { console.log(`noted ${text}`); },
  breaks() { throw new Error("in a notification"); },
};
export { loops as unused, post };
"""

UNSENDABLE = [
    ("NaN", "result.cart[0].price is NaN"),
    ("date", "result.at is a Date: send getTime() or toISOString()"),
    ("function", "result[0] is a function"),
    ("promise", "result.later is a promise: await it first"),
    ("surrogate", "result has half of a surrogate pair"),
    ("loop", "is deeper than the 16 levels of a message"),
    ("big", "result is a BigInt of more than 64 bits"),
    ("many_values", "result makes the message more than 4,096 values"),
    ("sends_NaN", "params.value[0] is infinite"),
    ("sends_envelope", "params.$key: a parameter cannot begin with $"),
    ("imports_late", "'late.js' cannot be imported now"),
    ("bad_fail", "the code of the error is no text"),
    ("not_utf8", "the bytes are not UTF-8 (at 0)"),
]


async def test_values_methods_and_requests(cache: Path) -> None:
    async with scripted(cache, METHODS) as site:
        assert await site.call("plain", {"a": [b"\x01", None, "中"]}) == {
            "params": {"a": [b"\x01", None, "中"]}, "request": {"method": "plain", "msgid": 1, "notification": False},
        }  # fmt: skip
        assert await site.call("nothing") is None
        assert await site.call("kinds") == {"point": {"x": 1}, "listed": [None, 1.5, 10**18]}
        assert await site.call("getter") == "got"
        assert (await site.error("no.such"))["code"] == "unknown_method"
        assert (await site.error("toString"))["code"] == "unknown_method", "own properties only"
        assert (await site.error("中" * 64))["message"] == f"there is no method '{'中' * 64}'"


async def test_what_a_script_throws_is_its_answer(cache: Path) -> None:
    async with scripted(cache, METHODS) as site:
        assert await site.error("fails") == {
            "code": "sold_out", "message": "no apples left", "retryable": True, "retry_after_ms": 500,
            "details": {"left": 0},
        }  # fmt: skip
        broken = await site.error("breaks")
        line = METHODS.splitlines().index("    return shop.cart.total;") + 1
        assert broken["code"] == "script_error"
        assert broken["message"] == "TypeError: cannot read property 'total' of undefined"
        assert broken["details"]["stack"].startswith(f"    at breaks (main.js:{line}:")
        assert (broken["details"]["path"], broken["details"]["line"]) == ("main.js", line)
        assert (await site.error("throws_text"))["message"] == '"apples" was thrown, which is no Error'
        assert "nothing can settle" in (await site.error("waits_for_ever"))["message"]
        assert (await site.error("forgets"))["message"] == "RangeError: lost"
        assert (await site.error("late"))["message"] == "Error: too late"


async def test_the_hosts_no_is_an_error_with_the_place_of_the_await(cache: Path) -> None:
    async with scripted(cache, METHODS) as site:
        said = await site.error("passes_on")
        assert (said["code"], said["retryable"]) == ("invalid_params", False)
        is_one, code, method, name, stack = await site.call("catches")
        assert (is_one, code, method, name) == (True, "invalid_params", "storage.get", "HostError")
        assert stack.startswith("at catches (main.js:")


@pytest.mark.parametrize(("method", "told"), UNSENDABLE)
async def test_what_cannot_be_sent_is_told_with_its_place(cache: Path, method: str, told: str) -> None:
    async with scripted(cache, METHODS) as site:
        error = await site.error(method)
        assert error["code"] == "script_error"
        assert told in error["message"]


async def test_requests_that_are_not_awaited_one_by_one_run_at_once(cache: Path) -> None:
    async with scripted(cache, METHODS) as site:
        assert await site.call("together") == [1, 40]
        assert await site.call("many") == 40
        assert site.receipt is not None
        assert (site.receipt.usage.host_calls, site.receipt.usage.denials) == (40, 0), "no more than 16 at once"
        assert await site.call("timers") == ["first", "second", "beat"]


async def test_console_and_log_are_lines_of_the_log(cache: Path) -> None:
    async with scripted(cache, METHODS) as site:
        await site.call("says")
        first, second, *others = site.log.lines
        assert first == ("info", 'cart {apples: [1, "two"]} Map{"a" => 1}')
        assert second == ("warning", "TypeError: no")
        assert ("warning", "by the host") in others


async def test_memory_and_recursion_are_errors_that_a_script_can_catch(cache: Path) -> None:
    async with scripted(cache, METHODS) as site:
        assert await site.call("memory") == ["InternalError: out of memory", True]
        assert await site.call("recursion") == "RangeError: Maximum call stack size exceeded"
        assert await site.call("nothing") is None


async def test_nothing_of_the_snapshots_moment_is_left(cache: Path) -> None:
    async with scripted(cache, METHODS) as site:
        first, second = await site.call("random"), await site.call("random")
        assert first[0] != second[0] and first[1] != second[1]
        assert await site.call("now") > 1_700_000_000_000


async def test_what_stands_beside_the_language(cache: Path) -> None:
    async with scripted(cache, METHODS) as site:
        assert await site.call("texts") == ["é中😀\ufffd", "hostel", {"a": [1]}, "undefined", "undefined", 42]


async def test_a_resident_script_keeps_what_it_has_between_calls(cache: Path) -> None:
    counting = "let n = 0; export default { async up() { setTimeout(() => { n = -9; }, 5000); return ++n; } }"
    async with scripted(cache, counting, lifetime="resident") as site:
        assert [await site.call("up") for _ in range(3)] == [1, 2, 3]


LOADING = [
    ("export default {", "main.js", 1, "SyntaxError"),
    ("\n  throw new Error('at the top');", "main.js", 2, "Error: at the top"),
    ('import x from "lodash";', "main.js", 0, "main.js imports 'lodash'"),
    ('import x from "./carts.js";', "main.js", 0, "It has main.js, data.json, lib/one.js"),
    ('import x from "../../x.js";', "main.js", 0, "leads out of the bundle"),
    ('import { prices } from "hostel";', "", 0, "Could not find export 'prices'"),
    ('import { native } from "hostel:native";', "main.js", 0, "main.js imports 'hostel:native'"),
    ("export default 5;", "", 0, "no default export with methods"),
    ("Math.random();", "main.js", 1, "randomness is not there yet while the script loads"),
    ('import { call } from "hostel"; await call("session.info");', "main.js", 1, "the host is not there yet"),
    ("await new Promise(() => {});", "", 0, "awaits something at its top level"),
    ('import broken from "./lib/broken.json" with { type: "json" };', "lib/broken.json", 2, "SyntaxError"),
]
OTHERS = {
    "lib/one.js": 'import { two } from "./two.js"; export const one = () => two() + 1;',
    "lib/two.js": 'import data from "../data.json"; export const two = () => data.two;', "data.json": '{"two": 2}',
}  # fmt: skip


@pytest.mark.parametrize(("text", "path", "line", "told"), LOADING)
async def test_a_script_that_does_not_load_is_refused_with_the_place(
    cache: Path, text: str, path: str, line: int, told: str
) -> None:
    from runtime.errors import ScriptError

    files = {"main.js": text, **OTHERS} | ({"lib/broken.json": '{"a":\n 1,}'} if "broken" in text else {})
    with pytest.raises(ScriptError) as refused:
        async with scripted(cache, files):
            pass
    assert told in str(refused.value)
    assert (refused.value.details.get("path", ""), refused.value.details.get("line", 0)) == (path, line)


async def test_a_script_imports_files_and_data_of_its_bundle(cache: Path) -> None:
    main = 'import { one } from "./lib/one.js"; console.log("unheard"); export default { m: () => one() };'
    async with scripted(cache, {"main.js": main, **OTHERS}) as site:
        assert await site.call("m") == 3
        assert site.log.lines == []


# ---- the module that is kept -----------------------------------------------------------------------------------------
def build_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("build_engine", ROOT / "sample_programs/build_engine.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_module_is_the_one_of_its_sources() -> None:
    assert build_script().stale() is None


def test_the_module_passes_the_checks_with_room_to_spare() -> None:
    facts = check_module(shipped_engine().wasm, ModuleCaps(), 32 << 20)
    assert not facts.has_initialize
    assert facts.memory_min_pages <= PAGES_MOST, f"{facts.memory_min_pages * WASM_PAGE} bytes at the start"
    assert {module for module, _ in facts.imports} == {"hostel_v1", "wasi_snapshot_preview1"}


def test_a_changed_source_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build: Any = build_script()
    record = build.RECORD.read_text().replace('/host.c": "', '/host.c": "0')
    changed = tmp_path / "engine.sources.json"
    changed.write_text(record)
    monkeypatch.setattr(build, "RECORD", changed)
    assert build.stale() == "changed since it was built: runtime/javascript/engine/host.c"


async def test_a_call_that_fails_is_over_and_the_next_one_begins_anew(cache: Path) -> None:
    async with scripted(cache, "let n = 0; export default { up() { n += 1; if (n > 1) throw n; return n; } }") as site:
        assert [await site.call("up") for _ in range(3)] == [1, 1, 1]
        with pytest.raises(GuestFailed):
            await site.call("down")


@pytest.mark.skipif(not os.environ.get("HOSTEL_LONG"), reason="HOSTEL_LONG=1 builds the engine: 30 s, and a download")
def test_the_sources_give_the_same_bytes_again() -> None:
    module, record = build_script().build()
    assert module == shipped_engine().wasm
    assert record == json.loads(build_script().RECORD.read_text())
