"""Attacks on the host's own machinery, with a neighbour who is answered meanwhile: cancelling, signatures, caches,
crashes, clocks, crowds, configuration; and that the same guest is judged the same everywhere and always.

Rows 31 and 44 to 51 of checklist.json.
"""

from __future__ import annotations

import os
import signal
from itertools import count
from pathlib import Path

import pytest
import trio

from runtime import App, Bundle, BundleError, CallEnded, Ending, HostelError, SigningKey, WorkerLost, sign, wire
from runtime.daemon.config import ConfigRefused, parse
from runtime.errors import ProgramUnavailable, SignatureError, UsageError
from runtime.executor.worker_pool import WorkerExecutor
from runtime.receipt import Receipt
from runtime.worker_settings import WorkerSettings
from tests.hostile.conftest import Opened, Site
from tests.hostile.guests import MEMORY, OK, ROOM, Script, bundle, module, scripted
from tests.hostile.neighbour import ROOMY, Neighbour
from tests.hostile.test_cancellation import cancelled_after
from tests.hostile.test_workers import LONG_CPU, patient, until
from tests.runtime.bundle.test_keys import encodings
from tests.runtime.ladder import ANN, BOB

INFO = wire.request(1, "session.info", {})
PUT = wire.request(1, "storage.put", {"key": "k", "value": 1})
SPINS = Script().step("spin", 0).step("again", 0)


# ---- 31: cancelled ---------------------------------------------------------------------------------------------------
async def test_a_caller_who_goes_away_at_any_moment(site: Site, neighbour: Neighbour) -> None:
    """After each step of a call that asks, waits and computes; the program's next call is right."""
    app = await site.install(**{**ROOMY, "cpu_us": 60_000_000})
    script = Script().call(PUT).post(wire.request(2, "session.sleep", {"ms": 1})).wait().step("spin", 100_000).ask(INFO)
    steps = count(1)

    async def attack() -> None:
        await cancelled_after(next(steps), site, app, script.params())
        assert (await site.ask(PUT, app))[2] is None

    await neighbour.beside(attack, times=12)


# ---- 44: signatures --------------------------------------------------------------------------------------------------
async def test_bundles_that_nobody_vouches_for(site: Site, neighbour: Neighbour) -> None:
    """Unsigned, of a key that is unknown, revoked or none at all, changed after it was signed, older than before."""
    host = site.host
    ann = await host.developers.sign_up("Ann Ltd")
    await host.developers.add_key(ann.id, str(ANN.public_key))
    gone = SigningKey.from_seed(b"g" * 32)
    await host.developers.add_key(ann.id, str(gone.public_key))
    await host.developers.revoke_key(gone.public_key.key_id, "stolen")
    data = [bundle(scripted(), "org.example.signed", code=code).data for code in (1, 2)]
    await host.install(Bundle.from_bytes(sign(data[1], ANN)), allow_unsigned=False)
    cut = sign(data[0], ANN)[: len(data[0])]
    tricks = {
        "unsigned_bundle": data[0], "key_unknown": sign(data[0], BOB), "key_revoked": sign(data[0], gone),
        "version": sign(data[0], ANN),
    }  # fmt: skip

    async def attack() -> None:
        for code, trick in tricks.items():
            with pytest.raises(HostelError) as caught:
                await host.install(Bundle.from_bytes(trick), allow_unsigned=False)
            assert code in (caught.value.code, *caught.value.message.split()), caught.value.message
        changed = bytearray(sign(data[1], ANN))
        changed[200] ^= 1
        for spoiled in (bytes(changed), cut):
            with pytest.raises(BundleError):
                Bundle.from_bytes(spoiled)
        for raw in encodings():
            with pytest.raises((SignatureError, UsageError)):
                await host.developers.add_key(ann.id, f"ed25519:{raw.hex()}")
        assert host._registry.find("org.example.signed")[1].app.release_code == 2

    await neighbour.beside(attack)


# ---- 45: caches ------------------------------------------------------------------------------------------------------
async def test_a_cache_that_somebody_else_writes_to(opened: Opened, tmp_path: Path) -> None:
    """Cut, changed, cut for another's: each is compiled anew, and nobody runs what was put there."""
    cache, number = tmp_path / "cache", count(1)
    cache.mkdir(mode=0o700)
    own = [module(f"(i32.store8 (i32.const 516) (i32.const {n})) {OK}") for n in range(3)]
    spoil = [
        lambda files: [path.write_bytes(path.read_bytes()[:-1]) for path in files],
        lambda files: [path.write_bytes(b"\x7fELF" + path.read_bytes()[4:]) for path in files],
        lambda files: files[0].write_bytes(files[-1].read_bytes()),
        lambda files: [path.write_bytes(b"") for path in files],
    ]
    async with opened(cache_dir=cache, loaded_bytes_max=1) as site:
        neighbour = await Neighbour.on(site)
        apps = []
        for n, wasm in enumerate(own):
            apps.append(await site.host.install(bundle(wasm, f"org.example.kept{n}"), limits=ROOMY))

        async def attack() -> None:
            files = sorted(path for path in cache.rglob("*") if path.is_file() and path.stat().st_size > 64)
            assert files
            spoil[next(number) % len(spoil)](files)
            assert [(await site.host.call(app, "run")).value for app in apps] == [0, 1, 2]

        await neighbour.beside(attack, times=4)


# ---- 46: crashes -----------------------------------------------------------------------------------------------------
async def test_a_program_that_does_nothing_but_crash(site: Site, neighbour: Neighbour) -> None:
    app = await site.install(**ROOMY)
    ways = [("unreachable",), ("proc_exit", 3), ("load", 0xFFFF_FFFF), ("give", ROOM, 8), ("call", -1, -1, -1, -1)]

    async def attack() -> None:
        for way in ways:
            assert (await site.end(Script().step(*way), app))[0] is not Ending.COMPLETED  # type: ignore[arg-type]

    await neighbour.beside(attack, times=20)


async def test_a_program_that_takes_its_worker_along(opened: Opened) -> None:
    """Twice, then it is stopped and its callers are told at once; who is in another worker notices nothing."""
    async with opened(workers=patient(deaths=2, back_off_s=0.0)) as site:
        neighbour = await Neighbour.on(site)
        bad = await site.host.install(bundle(scripted(), "org.example.bad"), limits=LONG_CPU, isolation="dedicated")
        executor, killed = site.host._executor, set[int]()
        assert isinstance(executor, WorkerExecutor)

        async def kill() -> None:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_lost, site, bad)
                await until(lambda: _alone(executor, killed))
                pid = _alone(executor, killed)[0]
                killed.add(pid)
                os.kill(pid, signal.SIGABRT)

        for _ in range(2):
            await kill()
            await neighbour.answers()

        async def attack() -> None:
            with pytest.raises(ProgramUnavailable) as caught:
                await site.host.call(bad, "run", SPINS.params())
            assert caught.value.details["state"] == "quarantined"

        await until(lambda: site.host.program("org.example.bad").quarantined)
        await neighbour.beside(attack)


async def _lost(site: Site, app: object) -> None:
    with pytest.raises(WorkerLost):
        await site.host.call(app, "run", SPINS.params())  # type: ignore[arg-type]


def _alone(executor: WorkerExecutor, killed: set[int]) -> list[int]:
    """Processes of programs that are alone in theirs, with a call under way."""
    return [
        worker.pid for worker in executor.status().workers
        if worker.group.startswith("alone") and worker.calls and worker.pid not in killed
    ]  # fmt: skip


# ---- 47-49: clocks, crowds, configuration ----------------------------------------------------------------------------
async def test_a_guest_that_measures(site: Site, neighbour: Neighbour) -> None:
    """Its clock stands still while it computes, and steps in whole milliseconds."""
    app = await site.install(**{**ROOMY, "cpu_us": 5_000_000})
    script = Script()
    for at in range(4):
        script.step("clock_time_get", at % 2, ROOM + 8 * at).step("spin", 300_000)
    script.step("show", ROOM, 32)

    async def attack() -> None:
        shown = (await site.run(script, app))[-1]
        times = [int.from_bytes(shown[at : at + 8], "little") for at in range(0, 32, 8)]
        assert times[:2] == times[2:]
        assert [each % 1_000_000 for each in times] == [0] * 4

    await neighbour.beside(attack)


async def test_a_crowd_of_one_programs_guests(site: Site, neighbour: Neighbour) -> None:
    """As many as may run spin at once: their neighbour's turn comes between them."""
    app = await site.install(**{**ROOMY, "cpu_us": 20_000})

    async def spin() -> None:
        assert (await site.end(SPINS, app))[0] is Ending.CPU_EXCEEDED

    async def attack() -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(16):
                nursery.start_soon(spin)

    await neighbour.beside(attack)


TYPOS = ("[limits]\ncpu_uss = 1", "[limits]\ncpu_us = -1", "[limits]\ncpu_us = 0", "[limit]\ncpu_us = 1",
         "[limits]\nmemory_bytes = '16 MiB'", "[limits]\ncpu_us = inf", "[workers]\nrequire = 'ful'")  # fmt: skip


async def test_limits_with_a_slip_of_the_pen(site: Site, neighbour: Neighbour) -> None:
    """Nothing starts, nothing is installed, and nothing has more than it had."""
    app = await site.install(**ROOMY)
    slips = ({"cpu_uss": 1}, {"cpu_us": 0}, {"cpu_us": -1}, {"memory_bytes": 1 << 40}, {"fuel": True}, {"wall_ms": 1.5})

    async def attack() -> None:
        for text in TYPOS:
            with pytest.raises(ConfigRefused):
                parse(text)
        for slip in slips:
            with pytest.raises(UsageError):
                await site.install(**slip)  # type: ignore[arg-type]
            with pytest.raises(UsageError):
                await site.host.set_limits(app, slip)  # type: ignore[arg-type]

    await neighbour.beside(attack)


# ---- 50-51: one verdict ----------------------------------------------------------------------------------------------
GUESTS = {
    "computes": Script().step("spin", 2_000), "traps": Script().step("unreachable"),
    "asks": Script().ask(wire.request(1, "storage.get", {"key": "k"})),
    "recurses": Script().step("recurse"), "exits": Script().step("proc_exit", 7),
    "grows": Script().step("memory_grow", 100).step("memory_grow", 1_000), "lies": Script().step("give", ROOM, 8),
    "points elsewhere": Script().step("call", MEMORY, 8, 0, 0), "spins": SPINS, "logs": Script().print(b"x" * 9_000),
    "asks in masses": Script().call(INFO).step("again", 0),
}  # fmt: skip


async def verdict(site: Site, app: object, script: Script) -> object:
    """Answer or error, and all of the receipt that is not a measured time."""
    try:
        reply = await site.host.call(app, "run", script.params(), user="alice")  # type: ignore[arg-type]
        receipt, told = reply.receipt, repr(reply.value)
    except CallEnded as error:
        assert error.receipt is not None
        receipt, told = error.receipt, error.message
        assert error.message.isprintable() and "Traceback" not in told and ".py" not in told
    return told, _counted(receipt)


def _counted(receipt: Receipt) -> dict[str, object]:
    times = ("call_id", "cpu_us", "wall_us", "called_cpu_us", "storage_delta_bytes", "response_bytes")
    return {name: value for name, value in receipt.as_dict().items() if name not in times}


@pytest.mark.parametrize("guest", GUESTS)
async def test_the_same_guest_in_process_and_in_a_worker(opened: Opened, guest: str) -> None:
    """And again, and again: to the instruction, its errors included. A neighbour on each host is answered meanwhile."""
    limits = {
        **ROOMY, "fuel": 40_000, "cpu_us": 60_000_000, "wall_ms": 600_000, "log_bytes": 1_000, "memory_bytes": 16 << 20,
    }  # fmt: skip
    found: list[object] = []
    for workers in (None, WorkerSettings(count=1, slots=8, require="none", heartbeat_s=5.0, start_s=60.0)):
        async with opened(workers=workers) as site:
            neighbour = await Neighbour.on(site)
            app = await site.host.install(bundle(scripted(), "org.example.same"), grant=("storage",), limits=limits)

            async def attack(site: Site = site, app: App = app) -> None:
                found.append(await verdict(site, app, GUESTS[guest]))

            await neighbour.beside(attack, times=3)
    assert [one for one in found if one != found[0]] == []
