"""Scripts as the registry keeps them: once for all who have them, on the engine that this host has, gone with the last.

The engines here are stand-ins of a few lines: they take any script and answer with their own number, as a script is.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
import wasmtime

from runtime import Bundle, Host, HostSettings, sign
from runtime.bundle import pack_contents
from runtime.errors import ModuleError, ScriptError
from runtime.javascript import Interpreter
from runtime.limits import Limits
from runtime.state_changes import StateChanges
from runtime.testing import VirtualClock
from runtime.worker_settings import WorkerSettings
from tests.runtime.ladder import ANN, open_platform

MARKER = b"// planted 6f1c\n"


def engine(number: int) -> Interpreter:
    """Answers [number, how often it was loaded], and refuses scripts that begin with an exclamation mark."""
    told = "\\83\\a7message\\a6a mark\\a4path\\a7main.js\\a4line\\07"
    return Interpreter.of(
        wasmtime.wat2wasm(f"""(module
      (memory (export "memory") 4)
      (data (i32.const 16) "\\94\\01\\01\\c0\\92\\{number:02x}\\00") (data (i32.const 64) "{told}")
      (func (export "hostel_alloc") (param i32) (result i32) (i32.const 65536))
      (func (export "hostel_load") (param $at i32) (param $size i32) (result i64)
        (i32.store8 (i32.const 22) (i32.add (i32.load8_u (i32.const 22)) (i32.const 1)))
        (select (i64.const {64 << 32 | 35}) (i64.const 0)
          (i32.eq (i32.load8_u (i32.add (local.get $at) (i32.const 12))) (i32.const {ord("!")}))))
      (func (export "hostel_handle") (param i32 i32) (result i64) (i64.const {16 << 32 | 7})))""")
    )


def script(source: bytes = b"ok", app_id: str = "org.example.a", **manifest: Any) -> Bundle:
    manifest = {
        "app_id": app_id, "name": "S", "version": {"name": "1", "code": 1}, "program": {"script": "main.js"},
        **manifest,
    }  # fmt: skip
    return Bundle.from_bytes(pack_contents({"manifest.json": json.dumps(manifest).encode(), "main.js": source}))


def opened(number: int, state: Path | None = None, **settings: Any) -> Any:
    made = HostSettings(slots=4, allow_unsigned=True, engine=engine(number), **settings)
    return Host.open(state, settings=made, clock=VirtualClock() if state is None else None)


def rows(host: Host) -> dict[str, int]:
    return {
        name: host._store.read(lambda tx, n=name: tx.execute(f"SELECT count(*) FROM {n}"))[0][0]  # type: ignore[misc]
        for name in ("releases", "modules", "scripts")
    }


async def test_a_script_and_its_engine_are_stored_once_for_all_who_have_it_and_go_with_the_last() -> None:
    async with opened(1) as host:
        for name in ("a", "b", "c"):
            await host.install(script(app_id=f"org.example.{name}"))
        await host.install(script(b"another", app_id="org.example.d"))
        assert rows(host) == {"releases": 4, "modules": 1, "scripts": 2}
        for name in ("a", "d", "b"):
            await host.uninstall(f"org.example.{name}")
        assert rows(host) == {"releases": 1, "modules": 1, "scripts": 1}
        assert (await host.call("org.example.c", "any")).value == [1, 1]
        await host.uninstall("org.example.c")
        assert rows(host) == {"releases": 0, "modules": 0, "scripts": 0}


async def test_the_bytes_of_a_loaded_script_are_no_module() -> None:
    """Both are found by their hash: without a look at which it is, they would pass for the engine, unchecked."""
    async with opened(1) as host:
        await host.install(script())
        manifest = {
            "app_id": "org.example.b", "name": "M", "version": {"name": "1", "code": 1},
            "program": {"module": "program.wasm"},
        }  # fmt: skip
        image = script().script_image or b""
        contents = {"manifest.json": json.dumps(manifest).encode(), "program.wasm": image}
        with pytest.raises(ModuleError, match="not a well-formed WebAssembly module"):
            await host.install(Bundle.from_bytes(pack_contents(contents)))
        assert (await host.call("org.example.a", "any")).value == [1, 1]


@pytest.mark.parametrize("workers", [None, WorkerSettings(count=1, slots=4, require="none")], ids=["here", "worker"])
async def test_a_release_runs_on_the_engine_of_the_host_it_is_on(
    tmp_path: Path, workers: WorkerSettings | None
) -> None:
    """A host that was upgraded, and one that went back: what was approved goes on, unasked."""
    async with opened(1, tmp_path / "state", workers=workers) as host:
        await host.install(script())
        assert (await host.call("org.example.a", "any")).value == [1, 1]
    async with opened(2, tmp_path / "state", workers=workers) as host:
        assert (await host.call("org.example.a", "any")).value == [2, 1]
        (release,) = host.releases.list("org.example.a")
        assert (release.module_sha256, release.script_sha256 != "") == (engine(1).sha256, True)
        await host.set_limits("org.example.a", {"cpu_us": 40_000})
        await host.install(script(app_id="org.example.b"))
        assert rows(host) == {"releases": 2, "modules": 2, "scripts": 1}
    async with opened(1, tmp_path / "state") as host:
        for name in ("a", "b"):
            assert (await host.call(f"org.example.{name}", "any")).value == [1, 1]


async def test_a_script_that_the_engine_refuses_leaves_nothing_and_is_tried_once() -> None:
    tried: list[int] = []
    async with opened(1) as host:
        real = host._code._try_script

        async def counted(*arguments: Any) -> None:
            tried.append(1)
            await real(*arguments)

        host._code._try_script = counted
        for _ in range(3):
            with pytest.raises(ScriptError) as caught:
                await host.install(script(b"! no"))
            assert caught.value.message == "main.js, line 7: a mark"
            assert caught.value.details == {"path": "main.js", "line": 7, "column": 0}
        assert rows(host) == {"releases": 0, "modules": 0, "scripts": 0}
        for name in ("a", "b"):
            await host.install(script(app_id=f"org.example.{name}"))
        assert len(tried) == 2


async def test_a_script_that_no_release_of_today_would_be_taken_for_still_answers_that_it_does_not_load() -> None:
    """The engine changed its mind: the program is not lost, and its caller is told."""
    async with opened(1) as host:
        real, host._code._try_script = host._code._try_script, lambda *_: _nothing()
        await host.install(script(b"! no"))
        host._code._try_script = real
        assert (await host.call("org.example.a", "any")).value == [1, 1]


async def _nothing() -> None:
    pass


async def test_an_erased_programs_script_is_nowhere_on_the_disk(tmp_path: Path) -> None:
    async with opened(1, tmp_path / "state") as host:
        await host.install(script(MARKER))
        await host.call("org.example.a", "any")
        await host.uninstall("org.example.a", erase=True)
    assert not [path for path in (tmp_path / "state").rglob("*") if path.is_file() and MARKER in path.read_bytes()]


async def test_a_script_is_tried_where_no_host_runs(tmp_path: Path) -> None:
    """An upload into a state that nobody has open."""
    from host_api.store import open_store
    from runtime.offline import open_registry
    from runtime.sources import SystemClock

    settings = HostSettings(slots=4, allow_unsigned=True, engine=engine(1))
    async with open_store(tmp_path, SystemClock()) as store, open_registry(store, tmp_path, settings) as registry:
        assert isinstance(registry._changes, StateChanges)
        with pytest.raises(ScriptError, match="line 7: a mark"):
            await registry.releases._code.take(script(b"! no"), settings.limits)
        assert (await registry.releases._code.take(script(), settings.limits)).script_sha256 != ""


async def test_the_engine_is_compiled_before_anybody_calls_where_a_script_is_installed(tmp_path: Path) -> None:
    workers = WorkerSettings(count=1, slots=4, require="none")
    async with opened(1, tmp_path / "state", workers=workers) as host:
        await host.install(script())
    async with opened(2, tmp_path / "state", workers=workers) as host:
        with trio.fail_after(20):
            while host._modules.loaded(engine(2).sha256, Limits()) is None:
                await trio.testing.wait_all_tasks_blocked(0.005)
        assert host._modules.compiled["ok"] == 1


async def test_a_developer_uploads_a_script_and_the_reviewer_is_told_what_is_new() -> None:
    async with open_platform(engine=engine(1)) as platform:
        releases, developer = platform.host.releases, platform.developer

        async def uploaded(source: bytes, code: int) -> Any:
            made = script(source, version={"name": str(code), "code": code})
            return await releases.upload(developer, Bundle.from_bytes(sign(made.data, ANN)))

        with pytest.raises(ScriptError, match="line 7: a mark"):
            await uploaded(b"! no", 1)
        assert releases.submitted() == []
        first = await uploaded(b"one", 1)
        assert (first.report["bytes"]["module"], first.report["bytes"]["script"]) == (0, 3 + 12)
        assert (first.report["imports"], first.report["caps"]) == ([], {})
        await releases.approve("org.example.a", 1)
        await releases.full("org.example.a", 1)
        assert (await platform.host.call("org.example.a", "any")).value == [1, 1]
        assert (await uploaded(b"two", 2)).report["differences"]["module"] is True
        assert (await uploaded(b"one", 3)).report["differences"]["module"] is False
