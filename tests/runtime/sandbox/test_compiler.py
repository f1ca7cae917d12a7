"""Compiling in a child: what comes back, what each limit does to it, what each end of it means."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
import trio
import wasmtime

from runtime.errors import CompileLimitExceeded, HostelError, ModuleError
from runtime.limits import KIB, MIB, CompileLimits, ModuleCaps
from runtime.sandbox.artifacts import Compiled
from runtime.sandbox.checks import check_module
from runtime.sandbox.compile_child import COMPILED, HEAD, MAGIC, ORDER_HEAD, OVER_LIMIT, REFUSED, Order, answer
from runtime.sandbox.compile_link import ROOTS, Ended, ZygoteLink
from runtime.sandbox.compiler import Compiler, judge
from runtime.sandbox.engine import compile_engine
from tests.runtime.sandbox.proposals import body, leb, module, section

CAPS = ModuleCaps()
LIMITS = CompileLimits()
MEMORY = 16 * MIB


@pytest.fixture(scope="module")
def zygote() -> Iterator[ZygoteLink]:
    """One for all tests here, which differ in their limits; compilers of their own would each start one."""
    link = ZygoteLink()
    yield link
    link.close()


@pytest.fixture(autouse=True)
def shared(zygote: ZygoteLink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.sandbox.compiler.ZygoteLink", lambda: zygote)


async def compiled(wasm: bytes, limits: CompileLimits = LIMITS, caps: ModuleCaps = CAPS) -> Compiled:
    return await Compiler(limits).compile(wasm, caps=caps, memory_bytes=MEMORY)


async def over(wasm: bytes, limits: CompileLimits) -> CompileLimitExceeded:
    with pytest.raises(CompileLimitExceeded) as caught:
        await compiled(wasm, limits)
    return caught.value


def bomb(size: int) -> bytes:
    """Inside every structural cap, and far beyond what it may cost: loops in loops with a branch out of each."""
    deep = (b"\x03\x40" + b"\x20\x00\x0d\x00") * 1_000 + b"\x0b" * 1_000
    function = b"\x00" + deep * 15 + b"\x42\x00\x0b"
    count = size // len(function)
    alloc = b"\x00\x41\x00\x0b"
    return (
        b"\0asm\x01\0\0\0"
        + section(1, b"\x02\x60\x01\x7f\x01\x7f\x60\x02\x7f\x7f\x01\x7e")
        + section(3, leb(count + 1) + b"\x00" + b"\x01" * count)
        + section(5, b"\x01\x00\x01")
        + section(7, b"\x03\x06memory\x02\x00\x0chostel_alloc\x00\x00\x0dhostel_handle\x00\x01")
        + section(10, leb(count + 1) + leb(len(alloc)) + alloc + (leb(len(function)) + function) * count)
    )


# ---- what comes back -------------------------------------------------------------------------------------------------
async def test_a_module_comes_back_with_artifact_and_facts() -> None:
    wasm = module()
    result = await compiled(wasm)
    assert result.facts == check_module(wasm, CAPS, MEMORY)
    assert result.facts.sha256 == hashlib.sha256(wasm).hexdigest()
    engine = compile_engine()
    assert [export.name for export in wasmtime.Module.deserialize(engine, result.artifact).exports] == [
        "memory", "hostel_alloc", "hostel_handle",
    ]  # fmt: skip


async def test_the_artifact_loads_into_the_pool_that_runs_it() -> None:
    from runtime.sandbox.pool import Pool

    result = await compiled(module())
    pool = Pool(slots=1)
    loaded = pool.load(result.artifact, result.facts)
    assert loaded.memory_bytes_min == 65_536
    pool.close()


async def test_nothing_is_compiled_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("compiled where calls are served")

    monkeypatch.setattr(wasmtime.Module, "__init__", never)
    assert (await compiled(module())).artifact


async def test_a_refusal_of_the_checks_comes_back_as_it_was_made() -> None:
    wasm = module("(table 1 funcref) (table 1 funcref)")
    with pytest.raises(ModuleError) as here:
        check_module(wasm, CAPS, MEMORY)
    with pytest.raises(ModuleError) as there:
        await compiled(wasm)
    assert (there.value.message, there.value.details) == (here.value.message, here.value.details)


async def test_what_only_the_compiler_sees_is_refused_with_its_words_escaped() -> None:
    with pytest.raises(ModuleError, match=r"the compiler refused the module: .*type mismatch") as caught:
        await compiled(body(b"\x43\x00\x00\x00\x00"))
    assert caught.value.code == "module_refused"
    assert caught.value.message.isprintable()


async def test_a_module_too_large_starts_no_child(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.sandbox.compiler.ZygoteLink", None)
    with pytest.raises(ModuleError, match="the cap module_bytes is 10"):
        await compiled(module(), caps=CAPS.changed({"module_bytes": 10}))


# ---- limits ----------------------------------------------------------------------------------------------------------
async def test_types_a_thousand_wide_are_stopped_by_a_cap() -> None:
    """10 KB that would cost 15 CPU seconds and a gigabyte."""
    wide = "i64 " * 1_000
    calls = "(call 0)" * 1_000
    wasm = bytes(wasmtime.wat2wasm(f"(module (func (param {wide}) (result {wide}) unreachable) (func {calls}))"))
    with pytest.raises(ModuleError) as caught:
        await compiled(wasm)
    assert caught.value.details["cap"] == "params"


@pytest.mark.slow
async def test_a_bomb_inside_the_caps_dies_of_cpu_time() -> None:
    error = await over(bomb(2 * MIB), LIMITS.changed({"cpu_s": 1}))
    assert (error.details, error.retryable) == ({"limit": "cpu_s", "value": 1}, False)
    assert "cpu_s = 1" in error.message


@pytest.mark.slow
async def test_a_bomb_dies_of_memory() -> None:
    error = await over(bomb(3 * MIB), LIMITS.changed({"memory_bytes": 256 * MIB, "cpu_s": 60, "wall_ms": 60_000}))
    assert (error.details["limit"], error.details["value"]) == ("memory_bytes", 256 * MIB)


async def test_wall_time_ends_it_and_is_no_lasting_verdict() -> None:
    error = await over(bomb(2 * MIB), LIMITS.changed({"wall_ms": 100}))
    assert (error.details, error.retryable) == ({"limit": "wall_ms", "value": 100}, True)


async def test_an_artifact_too_large_is_refused_with_its_size() -> None:
    error = await over(module(), LIMITS.changed({"artifact_bytes": 4 * KIB}))
    assert error.details["limit"] == "artifact_bytes"
    assert int(error.details["found"]) > 4 * KIB


# ---- the child's core, in this process -------------------------------------------------------------------------------
def test_an_order_survives_its_journey() -> None:
    order = Order(CAPS.changed({"params": 7}), 123, LIMITS.changed({"cpu_s": 3}))
    told = order.pack()
    assert ORDER_HEAD.unpack_from(told) == (len(told) - ORDER_HEAD.size,)
    assert Order.from_json(told[ORDER_HEAD.size :]) == order


@pytest.mark.parametrize(
    ("wasm", "limits", "verdict"),
    [
        (module(), LIMITS, COMPILED),
        (b"", LIMITS, REFUSED),
        (body(b""), LIMITS, REFUSED),
        (module(), LIMITS.changed({"artifact_bytes": 4 * KIB}), OVER_LIMIT),
    ],
)
def test_the_core_frames_every_verdict(wasm: bytes, limits: CompileLimits, verdict: int) -> None:
    framed = answer(wasm, Order(CAPS, MEMORY, limits), compile_engine())
    magic, found, told_bytes, artifact_bytes = HEAD.unpack_from(framed)
    assert (magic, found) == (MAGIC, verdict)
    assert len(framed) == HEAD.size + told_bytes + artifact_bytes
    assert bool(artifact_bytes) == (verdict == COMPILED)


# ---- what a child's end means ----------------------------------------------------------------------------------------
DEATHS = {
    "CPU limit": (-signal.SIGXCPU, b"", "cpu_s", False),
    "alarm": (-signal.SIGALRM, b"", "wall_ms", True),
    "killed from outside": (-signal.SIGKILL, b"", "memory_bytes", True),
    "out of memory in native code": (-signal.SIGABRT, b"memory allocation of 64 bytes failed", "memory_bytes", False),
    "out of memory in Python": (1, b"Traceback\nMemoryError", "memory_bytes", False),
    "crash": (-signal.SIGSEGV, b"", "crash", False),
}


@pytest.mark.parametrize(("code", "err", "limit", "retryable"), DEATHS.values(), ids=DEATHS.keys())
def test_each_death_is_a_verdict(code: int, err: bytes, limit: str, retryable: bool) -> None:
    with pytest.raises(CompileLimitExceeded) as caught:
        judge(code, b"", err, LIMITS)
    assert (caught.value.details["limit"], caught.value.retryable) == (limit, retryable)


NONSENSE = {
    "silence": b"",
    "half a head": b"hcc1",
    "other magic": HEAD.pack(b"abcd", REFUSED, 0, 0),
    "more than it says": HEAD.pack(MAGIC, REFUSED, 2, 0) + b"{}x",
    "less than it says": HEAD.pack(MAGIC, COMPILED, 2, 9) + b"{}x",
    "too much told": HEAD.pack(MAGIC, REFUSED, 1 << 20, 0) + b" " * (1 << 20),
    "no JSON": HEAD.pack(MAGIC, REFUSED, 2, 0) + b"{]",
    "facts of another kind": HEAD.pack(MAGIC, COMPILED, 2, 1) + b"{}x",
    "a refusal too long to keep": HEAD.pack(MAGIC, REFUSED, 9_000, 0) + b" " * 9_000,
    "a refusal without words": HEAD.pack(MAGIC, REFUSED, 2, 0) + b"{}",
    "unknown verdict": HEAD.pack(MAGIC, 7, 28, 0) + b'{"message":"m","details":{}}',
    "compiled to nothing": HEAD.pack(MAGIC, COMPILED, 28, 0) + b'{"message":"m","details":{}}',
}


@pytest.mark.parametrize("out", NONSENSE.values(), ids=NONSENSE.keys())
def test_an_answer_that_is_none_is_our_own_fault(out: bytes) -> None:
    with pytest.raises(HostelError) as caught:
        judge(0, out, b"\x1b[31mboom", LIMITS)
    assert caught.value.code == "internal"
    assert "\x1b" not in str(caught.value.details)


async def test_an_answer_for_another_module_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    other = answer(module("(func)"), Order(CAPS, MEMORY, LIMITS), compile_engine())

    async def liar(*_: object) -> Ended:
        await trio.lowlevel.checkpoint()
        return Ended(0, 0, 0, other, b"")

    monkeypatch.setattr(ZygoteLink, "run", liar)
    with pytest.raises(HostelError, match="another module"):
        await compiled(module())


def test_the_zygote_imports_neither_trio_nor_msgspec() -> None:
    """Its start is what a first install waits for, and its memory what every compilation begins with."""
    code = "import sys; sys.path += sys.argv[1:]; import runtime.sandbox.compile_zygote; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, *ROOTS],
        capture_output=True,
        check=True,
        env=dict[str, str](),
    )
    loaded = set(done.stdout.decode().split())
    assert loaded.isdisjoint({"trio", "msgspec", "msgpack", "apsw", "importlib.metadata", "asyncio"})
