"""Compile bombs sent to the daemon's socket: the refusal reaches the client, and who calls meanwhile hardly notices.

Three of the dearest rows of tests/hostile/bombs.py, and one that a cap refuses. In the suite the limits of a
compilation are lowered so that it is cut early; HOSTEL_LONG=1 takes the defaults. -s prints the latencies.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from benchmarks import guests
from benchmarks.measure import quantile
from runtime.client import Client
from runtime.errors import CompileLimitExceeded, ModuleError
from tests.chaos.caller import Caller
from tests.chaos.daemon import serving, until
from tests.crash.scale import LONG
from tests.hostile.bombs import INSIDE, OUTSIDE
from tests.hostile.guests import bundle

DEAREST = (
    "1,000 locals and switches of 1,000 arms in a loop", "branch tables of 1,024 targets",
    "loops in loops, with a way out of each",
)  # fmt: skip
CAPPED = "50,000 br_if in a row"
LIMITS = {} if LONG else {"cpu_s": 1}
LATE_S = 0.25
"""As in tests/hostile/test_compile_bombs.py: nine calls of ten take less."""


@pytest.mark.slow
async def test_a_bomb_is_refused_and_its_neighbour_goes_on(tmp_path: Path) -> None:
    async with serving(tmp_path, compile=LIMITS) as daemon, daemon.client() as client, daemon.client() as other:
        app = await client.install(guests.archive("honest", guests.forward(), asks=()), limits=guests.UNRATED)
        caller = Caller(other, app.app_id)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(caller.call_on)
            await until(lambda: len(caller.took) >= 200)
            print(f"\nalone: {caller.told()}")
            caller.took.clear()
            for number, name in enumerate(DEAREST):
                await meet(client, name, number)
            with pytest.raises(ModuleError) as refused:
                await client.install(bundle(OUTSIDE[CAPPED].make(), "org.example.capped"))
            assert (refused.value.code, refused.value.details["cap"]) == ("module_refused", OUTSIDE[CAPPED].cap)
            nursery.cancel_scope.cancel()
        print(f"beside bombs: {caller.told()}")
        assert quantile(caller.took, 0.9) < LATE_S
        assert [program.app_id for program in await client.programs()] == [app.app_id]


async def meet(client: Client, name: str, number: int) -> None:
    """Refused for what it costs, with the limit and its value; and the same bytes again, from memory. Where the limits
    are the default ones, it may be compiled within them."""
    module = INSIDE[name].make()
    took, told = [], ""
    for again in (0, 1):
        began = trio.current_time()
        try:
            await client.uninstall(await client.install(bundle(module, f"org.example.bomb{number}{again}")))
            told = "compiled"
        except CompileLimitExceeded as refused:
            told = refused.message
            assert refused.code == "compile_limit"
            assert refused.details["limit"] in ("cpu_s", "wall_ms", "memory_bytes", "artifact_bytes")
        took.append(trio.current_time() - began)
    print(f"{name:52}{took[0]:7.2f} s, again {took[1]:.3f} s: {told}")
    assert LONG or (told != "compiled" and took[1] < took[0])
