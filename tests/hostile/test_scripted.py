"""The kit itself: the scripted guest does what a script says, so that tests built on it mean something."""

from __future__ import annotations

from runtime import wire
from tests.hostile.conftest import Site
from tests.hostile.guests import PAGES, ROOM, Script


async def test_the_scripted_guest_tells_what_each_step_gave(site: Site) -> None:
    info = wire.request(3, "session.info", {})
    script = Script().step("memory_grow", 1).step("memory_grow", 0).ask(info).step("spin", 1_000).print(b"said\n")
    script.step("memory_fill", ROOM, 7, 4).step("show", ROOM, 4)
    told = await site.run(script)
    assert told[:2] == [PAGES, PAGES + 1]
    assert wire.decode(told[3], 4096)[:3] == [1, 3, None]
    assert told[4:] == [0, 0, 0, b"\7\7\7\7"]
    assert site.log.lines == [("info", "said")]


async def test_long_scripts_find_their_bytes(site: Site) -> None:
    for size in (1, 300, 70_000):
        script = Script()
        script.bring(bytes(size))
        script.step("show", script.bring(b"found"), 5)
        assert (await site.run(script))[-1] == b"found"
