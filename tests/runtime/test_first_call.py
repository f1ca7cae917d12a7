"""The first call of a program whose code is not in memory: from its artifact, at once, and nothing of it stays."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import wasmtime

from runtime import App, Bundle, Host, HostSettings
from runtime.bundle import pack_contents
from runtime.calls import Words
from runtime.executor.job import Outcome
from runtime.receipt import Receipt
from runtime.sandbox.pool import Module
from runtime.sandbox.sandbox import Sandbox
from runtime.wire import request
from tests.executor_choice import in_workers

GUEST = """(module
  (import "hostel_v1" "call" (func $call (param i32 i32 i32 i32) (result i32))) {post}
  (memory (export "memory") 1) (data (i32.const 0) "{name}")
  (func (export "hostel_alloc") (param i32) (result i32) (i32.const 4096))
  (func (export "hostel_handle") (param $at i32) (param $size i32) (result i64)
    (i64.or (i64.const 0x40000000000)
      (i64.extend_i32_u (call $call (local.get $at) (local.get $size) (i32.const 1024) (i32.const 2048))))))"""
POST = '(import "hostel_v1" "post" (func (param i32 i32) (result i32)))'


def bundle(name: str, post: str = "") -> Bundle:
    manifest = (
        f'{{"app_id": "org.example.{name}", "name": "{name}", "version": {{"name": "1", "code": 1}},'
        ' "program": {"module": "program.wasm"}}'
    )
    wasm = bytes(wasmtime.wat2wasm(GUEST.format(name=name, post=post)))
    return Bundle.from_bytes(pack_contents({"manifest.json": manifest.encode(), "program.wasm": wasm}))


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[Host]:
    """With room for one module."""
    settings = HostSettings(allow_unsigned=True, cache_dir=tmp_path / "cache", loaded_bytes_max=1, slots=4)
    async with Host.open(settings=replace(settings, workers=in_workers(4))) as opened:
        yield opened


async def installed(host: Host) -> list[App]:
    return [await host.install(bundle(name, post)) for name, post in (("a", ""), ("b", ""), ("posts", POST))]


async def test_calls_leave_no_sandbox_and_no_module_to_the_collector(host: Host) -> None:
    apps = await installed(host)
    for app in apps:
        await host.call(app, "session.info")
    gc.collect()
    before = _alive()  # of other tests in this process
    gc.disable()
    try:
        for app in apps * 3:
            await host.call(app, "session.info")
        left = [thing for thing in _alive() if not any(thing is other for other in before)]
    finally:
        gc.enable()
    assert not [thing for thing in left if isinstance(thing, Sandbox)]
    assert len(left) <= 1


def _alive() -> list[Sandbox | Module]:
    return [thing for thing in gc.get_objects() if isinstance(thing, Sandbox | Module)]


async def test_code_comes_from_its_artifact_at_once_and_is_compiled_where_that_is_gone(
    host: Host, tmp_path: Path
) -> None:
    first, *others = await installed(host)
    code = host._code
    release = host._registry.find(first)[1]
    assert code.loaded(release.code_sha256, release.limits) is None
    assert code.kept(release, release.limits) is not None
    assert code.loaded(release.code_sha256, release.limits) is not None
    await host.call(others[0], "session.info")
    for path in (tmp_path / "cache" / "artifacts").iterdir():
        path.unlink()
    assert code.kept(release, release.limits) is None
    compiled = host._modules.compiled["ok"]
    await host.call(first, "session.info")
    assert host._modules.compiled["ok"] == compiled + 1


async def test_a_call_without_a_task_loads_an_artifact_itself(host: Host) -> None:
    first, *_ = await installed(host)
    told: list[tuple[Outcome, Receipt]] = []
    words, message = Words(user="alice"), request(1, "session.info", {})
    stopped = host._calls.start(first, "session.info", message, words, lambda *end: told.append(end))
    if host._executor.start is None:  # in process every call is a task
        assert stopped is None
    else:
        assert stopped is not None
        stopped()
    release = host._registry.find(first)[1]
    assert (host._code.loaded(release.code_sha256, release.limits) is None) == (stopped is None)
