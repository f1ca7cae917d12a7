"""Programs that are scripts, in this process and in a worker: what loads, what is refused, what hostile ones meet."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from runtime import App, Bundle, CallEnded, Ending, wire
from runtime.bundle import pack_contents
from runtime.errors import ScriptError
from runtime.limits import MIB, Limits
from runtime.worker_settings import WorkerSettings
from tests.hostile.conftest import Opened, Site

APP = "org.example.script"
COUNTER = """
import { twice } from "./lib/math.js";
import texts from "./texts.json";
let calls = 0;
export default {
  count() { calls += 1; return { calls, twice: twice(21), hello: texts.hello }; },
  async stored(params) { return await storage.get({ key: "k" }); },
};
import { storage } from "hostel";
"""
MEMBERS = {
    "lib/math.js": b"export const twice = (n) => 2 * n;\n",
    "texts.json": b'{"hello": "\xe4\xbd\xa0\xe5\xa5\xbd"}',
}


def script(source: str | bytes, app_id: str = APP, members: dict[str, bytes] | None = None, **program: Any) -> Bundle:
    manifest = {
        "app_id": app_id, "name": "Script", "version": {"name": "1.0.0", "code": 1},
        "req_permissions": [{"name": "storage", "reason": "To keep", "required": False}],
        "program": {"script": "main.js", **program},
    }  # fmt: skip
    main = source.encode() if isinstance(source, str) else source
    return Bundle.from_bytes(
        pack_contents({"manifest.json": json.dumps(manifest).encode(), "main.js": main, **(members or {})})
    )


@pytest.fixture(scope="module", params=["in process", "worker"])
def where(request: pytest.FixtureRequest) -> WorkerSettings | None:
    return None if request.param == "in process" else WorkerSettings(count=1, slots=16, require="none")


@pytest.fixture
async def placed(where: WorkerSettings | None, opened: Opened) -> AsyncIterator[Site]:
    async with opened(workers=where) as made:
        yield made


async def install(site: Site, source: str, members: dict[str, bytes] | None = None, **limits: int) -> App:
    return await site.host.install(script(source, members=members), grant=["storage"], limits=limits)


async def refused(site: Site, source: str, **limits: int) -> ScriptError:
    with pytest.raises(ScriptError) as caught:
        await install(site, source, **limits)
    assert caught.value.code == "script_invalid"
    return caught.value


async def ended(site: Site, source: str, **limits: int) -> CallEnded:
    app = await install(site, source, **limits)
    with pytest.raises(CallEnded) as caught:
        await site.host.call(app, "run", user="alice")
    return caught.value


async def test_a_script_runs_with_what_it_imports_and_asks(placed: Site) -> None:
    app = await install(placed, COUNTER, MEMBERS)
    reply = await placed.host.call(app, "count", user="alice")
    assert reply.value == {"calls": 1, "twice": 42, "hello": "你好"}
    assert (await placed.host.call(app, "stored", user="alice")).value["found"] is False


async def test_every_call_finds_the_script_as_it_was_loaded(placed: Site) -> None:
    app = await install(placed, COUNTER, MEMBERS)
    for user in ("alice", "alice", "bob", ""):
        assert (await placed.host.call(app, "count", user=user)).value["calls"] == 1


async def test_a_resident_script_is_loaded_once_and_keeps_what_it_has(placed: Site) -> None:
    app = await placed.host.install(script(COUNTER, members=MEMBERS, lifetime="resident"))
    told = [(await placed.host.call(app, "count", user=user)).value["calls"] for user in ("ann", "ann", "bob", "ann")]
    assert told == [1, 2, 1, 3]


async def test_a_script_of_many_pieces_comes_whole(placed: Site) -> None:
    """More than a worker is sent at once."""
    filling = "//" + "x" * 100_000 + "\n"
    app = await install(placed, filling + "export default { run() { return { size: 1 }; } };\n" + filling)
    assert (await placed.host.call(app, "run")).value == {"size": 1}


async def test_a_syntax_error_is_refused_with_its_place(placed: Site) -> None:
    error = await refused(placed, "const a = 1;\nexport default { run() { return 1 +; } };\n")
    assert (error.details["path"], error.details["line"]) == ("main.js", 2)
    assert error.message.startswith("main.js, line 2, column ") and "SyntaxError" in error.message


async def test_what_is_thrown_outside_of_functions_is_refused(site: Site) -> None:
    error = await refused(site, "let a = 1;\nthrow new Error('closed on\\nMondays');\n")
    assert error.details["line"] == 2 and "closed on\\nMondays" in error.message


async def test_an_import_of_what_is_not_there_is_refused(site: Site) -> None:
    assert "lib/none.js" in (await refused(site, 'import "./lib/none.js";\n')).message


@pytest.mark.parametrize(
    "source",
    ['import { storage } from "hostel"; await storage.get({ key: "k" });', "const seed = Math.random();"],
    ids=["host", "random"],
)
async def test_nothing_of_the_moment_can_be_had_while_a_script_loads(site: Site, source: str) -> None:
    assert "while the script loads" in (await refused(site, source)).message


async def test_a_loop_that_never_ends_is_stopped_while_it_loads(placed: Site) -> None:
    error = await refused(placed, "for (;;) {}")
    assert (error.details["ending"], error.details["limit"]) == ("cpu_exceeded", "cpu_us")


async def test_a_recursion_without_end_is_an_error_of_the_script(site: Site) -> None:
    assert "call stack" in (await refused(site, "const f = () => f() + 1;\nf();\n")).message
    error = await ended(site, "const f = () => f() + 1;\nexport default { run() { return f(); } };")
    assert error.ending is Ending.FAILED and "call stack" in error.message


async def test_memory_over_its_limit_is_an_error_of_the_script(site: Site) -> None:
    assert "out of memory" in (await refused(site, f"new Uint8Array({32 * MIB});")).message
    source = f"export default {{ run() {{ return new Uint8Array({32 * MIB}).length; }} }};"
    error = await ended(site, source)
    assert error.ending is Ending.FAILED and "out of memory" in error.message
    assert error.receipt is not None and error.receipt.usage.memory_bytes_peak <= 32 * MIB


async def test_arrays_just_inside_the_limit_are_no_reason_to_fail(site: Site) -> None:
    """What was loaded is large, and stays so for every call; other programs are none the worse."""
    app = await install(site, f"const a = new Uint8Array({20 * MIB}); export default {{ run: () => a.length }};")
    for _ in range(2):
        assert (await site.host.call(app, "run")).value == 20 * MIB


async def test_a_script_of_32_mib_of_memory_by_default_and_what_is_given(site: Site) -> None:
    app = await install(site, COUNTER, MEMBERS)
    assert site.host._registry.find(app)[1].limits.memory_bytes == Limits().script_memory_bytes == 32 * MIB
    await site.host.set_limits(app, {"memory_bytes": 8 * MIB})
    assert site.host._registry.find(app)[1].limits.memory_bytes == 8 * MIB


async def test_a_module_that_exports_hostel_load_is_a_module_like_any_other(site: Site) -> None:
    """The engine's very bytes, as a bundle's own module: nobody loads a script into it."""
    made = script(COUNTER, members=MEMBERS)
    assert made.script_image is not None
    engine = site.host._code.engine.wasm
    manifest = {
        "app_id": "org.example.stranger", "name": "Stranger", "version": {"name": "1", "code": 1},
        "program": {"module": "program.wasm"},
    }  # fmt: skip
    contents = {"manifest.json": json.dumps(manifest).encode(), "program.wasm": engine, "main.js": b"throw 1"}
    app = await site.host.install(Bundle.from_bytes(pack_contents(contents)), limits={"memory_bytes": 16 * MIB})
    with pytest.raises(CallEnded) as caught:
        await site.host.call(app, "count")
    assert caught.value.ending in (Ending.FAILED, Ending.TRAPPED)


async def test_scripts_share_one_engine_and_a_worker_forgets_scripts_by_their_bytes(placed: Site) -> None:
    apps = [
        await placed.host.install(script(f"//{'x' * 300_000}{n}\nexport default {{ run: () => {n} }};", f"org.a{n}"))
        for n in range(5)
    ]
    for _ in range(2):
        assert [(await placed.host.call(app, "run")).value for app in apps] == [0, 1, 2, 3, 4]
    assert placed.host._modules.compiled.total() <= 1


async def test_a_message_is_as_long_as_its_limit_and_not_longer(site: Site) -> None:
    app = await install(site, "export default { run: (params) => params.text.length };", message_in_bytes=4_096)
    assert (await site.host.call(app, "run", {"text": "x" * 4_000})).value == 4_000


async def test_the_image_is_what_the_wire_has(site: Site) -> None:
    made = script(COUNTER, members=MEMBERS)
    assert made.script_image is not None
    assert [path for path, _ in wire.decode(made.script_image, MIB)] == ["main.js", "lib/math.js", "texts.json"]
