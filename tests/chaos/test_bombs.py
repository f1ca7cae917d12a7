"""Compile bombs sent to the daemon's socket: the refusal reaches the client, and who calls meanwhile hardly notices.

Three of the dearest rows of tests/hostile/bombs.py, and all that a cap refuses. In the suite the limits of a
compilation are lowered so that it is cut early; HOSTEL_LONG=1 takes the defaults. -s prints the latencies.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from benchmarks import guests
from benchmarks.measure import quantile
from runtime.client import Client
from runtime.errors import CompileLimitExceeded, HostBusy, ModuleError
from runtime.sandbox.compiler import QUEUED_MOST
from tests.chaos.caller import Caller
from tests.chaos.daemon import Daemon, children, serving, until
from tests.crash.scale import LONG
from tests.hostile.bombs import INSIDE, OUTSIDE, Bomb
from tests.hostile.guests import bundle

DEAREST = (
    "1,000 locals and switches of 1,000 arms in a loop", "branch tables of 1,024 targets",
    "loops in loops, with a way out of each",
)  # fmt: skip
LIMITS = {} if LONG else {"cpu_s": 1}
LATE_S = 0.25
"""As in tests/hostile/test_compile_bombs.py: nine calls of ten take less."""


@pytest.mark.slow
async def test_a_bomb_is_refused_and_its_neighbour_goes_on(tmp_path: Path) -> None:
    dear = {name: INSIDE[name].make() for name in DEAREST}  # before anybody is watched: it takes this process seconds
    capped = {name: bundle(bomb.make(), f"org.example.capped{at}") for at, (name, bomb) in enumerate(OUTSIDE.items())}
    async with serving(tmp_path, compile=LIMITS) as daemon, daemon.client() as client, daemon.client() as other:
        app = await client.install(guests.archive("honest", guests.forward(), asks=()), limits=guests.UNRATED)
        caller = Caller(other, app.app_id)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(caller.call_on)
            await until(lambda: len(caller.took) >= 200)
            print(f"\nalone: {caller.told()}")
            caller.took.clear()
            for name, module in dear.items():
                await meet(daemon, client, name, module)
            for name, bomb in capped.items():
                with pytest.raises(ModuleError) as refused:
                    await client.install(bomb)
                is_told(refused.value, OUTSIDE[name])
            nursery.cancel_scope.cancel()
        print(f"beside bombs: {caller.told()}")
        assert quantile(caller.took, 0.9) < LATE_S
        assert [program.app_id for program in await client.programs()] == [app.app_id]


@pytest.mark.slow
async def test_so_many_modules_wait_to_be_compiled_and_one_more_is_refused_while_they_do(tmp_path: Path) -> None:
    async with serving(tmp_path, compile={"cpu_s": 4}) as daemon, daemon.client() as client:
        ended: list[str] = []

        async def install(name: str, wasm: bytes) -> None:
            try:
                await client.install(bundle(wasm, f"org.example.{name}"))
                ended.append("installed")
            except CompileLimitExceeded as refused:
                ended.append(refused.code)
            except HostBusy as refused:
                assert (refused.code, refused.retryable, refused.retry_after_ms) == ("overloaded", True, 1_000)
                assert refused.details == {"limit": "compilations_queued", "value": QUEUED_MOST}
                ended.append(refused.code)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(install, "dear", INSIDE[DEAREST[0]].make())
            await until(lambda: children(zygote(daemon)) if zygote(daemon) else [])
            for number in range(QUEUED_MOST + 1):
                nursery.start_soon(install, f"small{number}", guests.forward(number))
        assert (ended[0], "overloaded" in ended[1:]) == ("overloaded", False)
        assert ended.count("installed") >= QUEUED_MOST


def is_told(error: ModuleError, bomb: Bomb) -> None:
    """Which cap, its value, and what was found."""
    assert (error.code, error.details.get("cap", error.details.get("limit"))) == ("module_refused", bomb.cap)
    assert error.details["found"] > error.details["value"]


async def meet(daemon: Daemon, client: Client, name: str, module: bytes) -> None:
    """Refused for what it costs, with the limit and its value; and the same bytes in another program again, from
    memory. Where the limits are the default ones, it may be compiled within them."""
    costs, told = [compiling_ticks(daemon)], ""
    for again in "ab":
        try:
            await client.uninstall(await client.install(bundle(module, f"org.example.bomb{again}")))
            told = "compiled"
        except CompileLimitExceeded as refused:
            told = refused.message
            assert refused.code == "compile_limit"
            assert refused.details["limit"] in ("cpu_s", "wall_ms", "memory_bytes", "artifact_bytes")
        costs.append(compiling_ticks(daemon))
    print(f"{name:52}{costs[1] - costs[0]:4} ticks, again {costs[2] - costs[1]}: {told}")
    assert costs[0] < costs[1] == costs[2]
    assert LONG or told != "compiled"


def zygote(daemon: Daemon) -> int:
    """Whose children compile; 0 before there is one."""
    told = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in children(daemon.process.pid)}
    return next((pid for pid, words in told.items() if b"compile_zygote" in words), 0)


def compiling_ticks(daemon: Daemon) -> int:
    """CPU time of all compilations so far: of the zygote's children that have ended."""
    return sum(map(int, Path(f"/proc/{zygote(daemon)}/stat").read_text().rpartition(")")[2].split()[13:15]))
