"""A worker's process as its broker sees it: what is read of it, and that nothing of it is left."""

from __future__ import annotations

from pathlib import Path

from runtime.executor.frames import Order
from runtime.executor.worker_child import WorkerChild
from runtime.reactor import Reactor

ORDER = Order(slots=8, keep_resident_bytes=0, ticker="auto", jailed=True, metered=False, nice=0)


def _open_files() -> list[str]:
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        try:
            found.append(str(entry.readlink()))
        except FileNotFoundError:  # that of the listing itself
            continue
    return found


async def test_what_is_watched_is_opened_before_the_jail_and_closed_after_the_end() -> None:
    """Where /proc hides processes that nobody may trace (hidepid), a jailed worker is not found by its name: who opened
    its files then would see no memory, and no bloat."""
    before = sorted(_open_files())
    with Reactor.used():
        child = WorkerChild.start(ORDER)
        watched = {f"/proc/{child.pid}/{name}" for name in ("statm", "schedstat", "stat")}
        assert watched <= set(_open_files())
        assert child.resident_bytes() > 0
        assert not child.is_stopped
        child.kill()
        await child.ended()
        assert (child.resident_bytes(), child.waited_s(), child.is_stopped) == (0, 0, False)
        child.close()
        assert (child.resident_bytes(), child.waited_s(), child.is_stopped) == (0, 0, False)
    assert sorted(_open_files()) == before
