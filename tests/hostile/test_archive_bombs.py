"""Archive bombs and bundles that want out: refused with the reason, nothing written, a neighbour answered meanwhile.

Row 43 of checklist.json. Each trick of the container one by one is tests/runtime/bundle/test_archive.py's.
"""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest
import trio

from runtime import Bundle, BundleError
from runtime.limits import MIB
from tests.hostile.archive_bombs import HARMLESS, REFUSED
from tests.hostile.conftest import Opened
from tests.hostile.neighbour import Neighbour


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.mark.parametrize("bomb", REFUSED)
def test_reading_it_costs_little(bomb: str) -> None:
    """One error that says why; memory stays under what a bundle may unpack to, whatever this one would."""
    make, words = REFUSED[bomb]
    data = make()
    tracemalloc.start()
    try:
        with pytest.raises(BundleError) as caught:
            Bundle.from_bytes(data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert words in caught.value.message
    assert caught.value.message.isprintable() and len(caught.value.message) < 400
    assert peak < 4 * MIB


@pytest.mark.parametrize("plain", HARMLESS)
def test_what_is_no_bomb_is_read(plain: str) -> None:
    """An archive inside of it is a file like any other: nobody opens it."""
    bundle = Bundle.from_bytes(HARMLESS[plain]())
    assert sum(member.size for member in bundle.members.values()) < MIB // 8


async def test_a_developer_who_uploads_them(opened: Opened, tmp_path: Path) -> None:
    """Nothing is installed, and no file is there that was not there before: in the state, or beside it."""
    state, made = tmp_path / "state", {bomb: make() for bomb, (make, _) in REFUSED.items()}
    async with opened(state) as site:
        neighbour = await Neighbour.on(site)
        await neighbour.answers()
        programs, there = site.host.statistics().programs, files(tmp_path)

        async def attack() -> None:
            for data in made.values():
                with pytest.raises(BundleError):
                    await site.host.install(Bundle.from_bytes(data))
                await trio.lowlevel.checkpoint()

        await neighbour.beside(attack)
        assert site.host.statistics().programs == programs
        assert files(tmp_path) == there
        for make in HARMLESS.values():
            app = await site.host.install(Bundle.from_bytes(make()))
            assert (await site.host.call(app, "run")).value is None
            await site.host.uninstall(app)
