"""Attacks by the module itself, with a neighbour who is answered meanwhile: bombs, memories, tables, pointers, imports.

Rows 14 to 18, 24 to 26, 28 to 30, 32 and 36 of checklist.json. Each cap at its value is test_module_caps.py's, each
bomb with its cost test_compile_bombs.py's, each proposal tests/runtime/sandbox's.
"""

from __future__ import annotations

from itertools import count

import pytest
import trio

from runtime import Bundle, CompileLimits, Ending, ModuleError, UsageError, wire
from runtime.limits import FUEL_MOST, WASM_PAGE
from runtime.wire import MSGID_MAX
from tests.hostile.bombs import INSIDE, OUTSIDE
from tests.hostile.conftest import Opened, Site
from tests.hostile.guests import MEMORY, PAGES, ROOM, Script, bundle, module, scripted
from tests.hostile.neighbour import ROOMY, Neighbour
from tests.hostile.test_endings import BAD_RANGES
from tests.hostile.test_residents import counter
from tests.runtime.sandbox.proposals import OFF, leb, section

INFO = wire.request(1, "session.info", {})
NEVER_SEEN = count(1)


def unseen(wasm: bytes) -> Bundle:
    """That module under another hash, so that no verdict of it is remembered, of another program."""
    number = next(NEVER_SEEN)
    return bundle(wasm + section(0, b"\x01n" + leb(number)), f"org.example.module{number}")


async def refused(site: Site, wasm: bytes, **limits: int) -> ModuleError:
    with pytest.raises(ModuleError) as caught:
        await site.host.install(unseen(wasm), limits=limits)
    assert caught.value.message.isprintable() and len(caught.value.message) < 500
    return caught.value


# ---- 14-17: what never runs ------------------------------------------------------------------------------------------
SMALL = (
    "1,000 params and results, called 1,000 times", "1,000 params and results, called 4,000 times",
    "2,000 functions of 900 params", "loops nested 10,000 deep", "49,000 locals and 10,000 ifs",
    "a switch of 20,000 arms in a loop", "a table of 10,000,000", "a memory of 4 GiB",
)  # fmt: skip


@pytest.mark.parametrize("bomb", SMALL)
async def test_a_small_file_of_much_code(site: Site, neighbour: Neighbour, bomb: str) -> None:
    """A cap refuses it, however often it comes in another wrapping."""
    wasm, cap = OUTSIDE[bomb].make(), OUTSIDE[bomb].cap

    async def attack() -> None:
        details = (await refused(site, wasm)).details
        assert details.get("cap", details.get("limit")) == cap

    await neighbour.beside(attack, times=3)


async def test_a_module_that_would_compile_for_minutes(opened: Opened) -> None:
    """No cap refuses it; the process that compiles it is ended, and the program's name is still free."""
    async with opened(compile_limits=CompileLimits().changed({"cpu_s": 1, "wall_ms": 700})) as site:
        neighbour = await Neighbour.on(site)
        wasm = INSIDE["1,000 locals and switches of 1,000 arms in a loop"].make()
        programs = site.host.statistics().programs

        async def attack() -> None:
            error = await refused(site, wasm)
            assert (error.code, error.details["limit"] in ("cpu_s", "wall_ms")) == ("compile_limit", True)
            assert site.host.statistics().programs == programs

        await neighbour.beside(attack)


MEMORIES = [off for off in OFF if off.proposal in ("multi-memory", "multi-table", "memory64", "threads", "gc")]


async def test_memories_and_tables_by_other_names(site: Site, neighbour: Neighbour) -> None:
    """A second one, one of 64 bits, a shared one: refused by the proposal's name."""

    async def attack() -> None:
        for off in MEMORIES:
            assert (await refused(site, off.wasm)).details["proposal"] == off.proposal

    await neighbour.beside(attack)


async def test_more_at_start_than_its_limit(site: Site, neighbour: Neighbour) -> None:
    async def attack() -> None:
        error = await refused(site, module(memory=f"{PAGES + 1}"), memory_bytes=MEMORY)
        assert (error.details["limit"], error.details["found"]) == ("memory_bytes", MEMORY + WASM_PAGE)
        error = await refused(site, module(more="(table 51 funcref)"), table_elements=50)
        assert (error.details["limit"], error.details["found"]) == ("table_elements", 51)

    await neighbour.beside(attack)


async def test_many_sandboxes_that_all_grow(site: Site, neighbour: Neighbour) -> None:
    """What all sandboxes of a program may hold is bounded too: who is over it waits for the others."""
    app = await site.install(memory_bytes=2 * MEMORY, live_memory_bytes=4 * MEMORY, **ROOMY)
    grow = Script().step("memory_grow", PAGES).ask(wire.request(1, "session.sleep", {"ms": 5})).step("memory_grow", 1)
    seen = 0

    async def one() -> None:
        nonlocal seen
        told = await site.run(grow, app)
        assert (told[0], told[-1]) == (PAGES, -1)
        held = site.host._registry.find(app)[0].admission.live_memory_bytes
        assert held <= 4 * MEMORY
        seen = max(seen, held)

    async def attack() -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(6):
                nursery.start_soon(one)

    await neighbour.beside(attack)
    assert seen > 0


# ---- 18, 24-26: sandboxes that live on, stacks, the next one's turn --------------------------------------------------
async def test_a_warm_sandbox_that_grows_with_each_call(site: Site, neighbour: Neighbour) -> None:
    """Its second call has the limits of the first."""
    made = bundle(counter(), "org.example.warm", lifetime="resident")
    app = await site.host.install(made, limits={**ROOMY, "memory_bytes": 2 * WASM_PAGE, "cpu_us": 5_000})

    async def attack() -> None:
        for _ in range(3):
            reply = await site.host.call(app, "grow", user="alice")
            assert reply.receipt.usage.memory_bytes_peak == 2 * WASM_PAGE
            assert reply.receipt.usage.memory_at_limit
        with pytest.raises(Exception, match="cpu_us = 5000"):
            await site.host.call(app, "spin", user="alice")

    await neighbour.beside(attack)


async def test_a_recursion_without_end(site: Site, neighbour: Neighbour) -> None:
    app = await site.install(**ROOMY)

    async def attack() -> None:
        ending, error, _ = await site.end(Script().step("recurse"), app)
        assert (ending, error.details) == (Ending.TRAPPED, {"trap": "stack_overflow"})

    await neighbour.beside(attack, times=20)


@pytest.mark.parametrize("where", ["start", "initialize", "alloc"])
async def test_a_guest_that_calls_back_before_it_is_called(site: Site, neighbour: Neighbour, where: str) -> None:
    use = "(drop (call $call (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))"
    body = f"{use} (i32.const 8)" if where == "alloc" else use
    app = await site.install(module(imports=["call"], **{where: body}), **ROOMY)

    async def attack() -> None:
        ending, error, receipt = await site.end(Script(), app)
        assert (ending, receipt.usage.host_calls) == (Ending.PROTOCOL_VIOLATION, 0)
        assert "before hostel_handle" in error.message

    await neighbour.beside(attack)


async def test_a_guest_that_looks_for_what_others_left(opened: Opened) -> None:
    """In the slots that its neighbour uses too, after its own traps: zeros in memory, globals and table."""
    async with opened(slots=2) as site:
        neighbour, app = await Neighbour.on(site), await site.install(**ROOMY)
        look = Script().step("global_add", 0).step("show", ROOM, 4_096).step("memory_grow", 3)
        look.step("show", MEMORY, 4_096).step("table_grow", 4).step("table_taken", 5)

        def leave() -> Script:
            script = Script().step("memory_grow", 3).step("memory_fill", ROOM, 0xAA, 4_096).step("global_add", 7)
            return script.step("memory_fill", MEMORY, 0xAA, 4_096).step("table_grow", 4).step("table_set", 5)

        async def attack() -> None:
            await site.run(leave(), app)
            assert (await site.end(leave().step("unreachable"), app))[0] is Ending.TRAPPED
            assert await site.run(look, app) == [0, bytes(4_096), PAGES, bytes(4_096), 2, 0]

        await neighbour.beside(attack)


# ---- 28-30: numbers and pointers -------------------------------------------------------------------------------------
async def test_numbers_at_their_ends(site: Site, neighbour: Neighbour) -> None:
    """The largest of each that a guest may say is taken or refused; none of them wraps, none is a fault of the host."""
    app = await site.install(fuel=FUEL_MOST, **ROOMY)
    clock = (1 << 64) - 1

    async def attack() -> None:
        script = Script().ask(wire.request(MSGID_MAX, "session.info", {}))
        for ms in (-1, 1 << 63, (1 << 64) - 1):
            script.ask(wire.request(1, "session.sleep", {"ms": ms}))
        script.step("wait", ROOM, 64, -1).step("wait", ROOM, 64, 0x7FFF_FFFF).step("wait", ROOM, 64, 0x8000_0000)
        script.step("clock_time_get", 0xFFFF_FFFF, ROOM).step("memory_grow", 0xFFFF_FFFF).step("table_grow", 1 << 31)
        told, reply = await site.reply(script, app)
        answers = script.responses(reply.value)
        assert answers[0][1:3] == [MSGID_MAX, None]
        assert [answer[2]["code"] for answer in answers[1:]] == ["invalid_params"] * 3
        assert told[-2:] == [-1, -1]
        over = wire.request(MSGID_MAX, "session.info", {}).replace(b"\xce\xff\xff\xff\xff", b"\xcf" + clock.to_bytes(8))
        assert (await site.end(Script().call(over), app))[0] is Ending.PROTOCOL_VIOLATION
        with pytest.raises(UsageError):
            await site.install(fuel=FUEL_MOST + 1)

    await neighbour.beside(attack)


async def test_pointers_that_lead_elsewhere(site: Site, neighbour: Neighbour) -> None:
    app = await site.install(**ROOMY)

    async def attack() -> None:
        for pointer, length in BAD_RANGES.values():
            for step in (("call", pointer, length, ROOM, 64), ("post", pointer, length), ("take", pointer, length)):
                ending, error, receipt = await site.end(Script().step(*step), app)  # type: ignore[arg-type]
                assert (ending, receipt.usage.response_bytes) == (Ending.PROTOCOL_VIOLATION, 0)
                assert error.details["memory_bytes"] == MEMORY

    await neighbour.beside(attack)


ROOMS = {
    "none": ("(i32.const 0)", Ending.FAILED),
    "outside": ("(i32.const 65536)", Ending.PROTOCOL_VIOLATION),
    "half outside": ("(i32.const 65530)", Ending.PROTOCOL_VIOLATION),
    "negative": ("(i32.const -16)", Ending.PROTOCOL_VIOLATION),
    "a trap": ("(unreachable)", Ending.TRAPPED),
}


@pytest.mark.parametrize("room", ROOMS)
async def test_room_for_the_message_that_is_none(site: Site, neighbour: Neighbour, room: str) -> None:
    alloc, ending = ROOMS[room]
    app = await site.install(module(alloc=alloc), **ROOMY)

    async def attack() -> None:
        assert (await site.end(Script(), app))[0] is ending

    await neighbour.beside(attack)


# ---- 32, 36: what it may use -----------------------------------------------------------------------------------------
UNFIT = {
    "no memory": (module().replace(b"\x06memory", b"\x06nemory"), "memory"),
    "memory as a function": (
        module(more='(func (export "memoru"))').replace(b"\x06memory", b"\x06nemory").replace(b"memoru", b"memory"),
        "memory",
    ),
    "no alloc": (module().replace(b"hostel_alloc", b"hostel_olloc"), "hostel_alloc"),
    "handle of another type": (
        module(more='(func (export "hostel_handlf") (param i32))').replace(b"hostel_handle", b"hostel_handlg")
        .replace(b"hostel_handlf", b"hostel_handle"), "hostel_handle",
    ),
    "an import of the network": (scripted().replace(b"poll_oneoff", b"sock_accept"), "sock_accept"),
    "a function that does not exist": (scripted().replace(b"hostel_v1\x04post", b"hostel_v1\x04paid"), "paid"),
    "another module's function": (scripted().replace(b"hostel_v1", b"hostel_v9"), "hostel_v9"),
}  # fmt: skip
"""What does not fit the ABI, and what its refusal names."""


@pytest.mark.parametrize("what", UNFIT)
async def test_a_module_of_another_interface(site: Site, neighbour: Neighbour, what: str) -> None:
    """Refused when it is installed, and what is wrong with it is named."""

    async def attack() -> None:
        error = await refused(site, UNFIT[what][0])
        assert error.code == "module_refused"
        assert UNFIT[what][1] in error.message

    await neighbour.beside(attack)


async def test_a_manifest_that_asks_for_less_than_is_used(site: Site, neighbour: Neighbour) -> None:
    """A grant of what it never asked for grants nothing; what it asked for and was not granted neither."""
    put = wire.request(1, "storage.put", {"key": "k", "value": 1})
    silent, loud = (bundle(scripted(), f"org.example.asks{len(asks)}", asks=asks) for asks in ((), ("storage",)))
    apps = [await site.host.install(silent, grant=("storage",), limits=ROOMY)]
    apps.append(await site.host.install(loud, limits=ROOMY))

    async def attack() -> None:
        codes = [(await site.ask(put, app))[2]["code"] for app in apps]
        assert codes == ["capability_undeclared", "capability_not_granted"]

    await neighbour.beside(attack)
