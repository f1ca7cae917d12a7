"""A process that plays scenes and dies in them: `python -m tests.crash.mortal`, orders on its standard input.

Each line is scene, point, state directory. It forks a child that plays the scene there with SIGKILL at the point (0: at
none, and its points are told), waits for it, and answers one line: how it ended, then the points as JSON. It imports
everything once and never has a thread, so that forking is cheap and safe.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import trio

from host_api.store import open_store
from runtime.testing import VirtualClock
from tests.crash.points import Points, kill, watched
from tests.crash.scenes import SCENES, Ids, installed
from tests.simulator.world import World


async def play(scene: str, at: int, state: Path, points: Points, *, prepare: bool = False) -> list[str]:
    """The scene in a state directory; the points it passed. `prepare`: what comes before it, and the time it begins."""
    ids, time = Ids(), state.parent / "time"
    clock = VirtualClock() if prepare else VirtualClock(int(time.read_text()))
    async with open_store(state, clock) as store, trio.open_nursery() as nursery:
        world = World(store, clock, nursery, ids=ids)
        installed(world)
        if prepare:
            await SCENES[scene].before(world)
            time.write_text(str(clock.now_us()))
            return []
        ids.begin("act")
        with points.armed(at, kill):
            try:
                await SCENES[scene].act(world)
            except Exception as error:
                print(error, file=sys.stderr)
            return points.passed


def child(scene: str, at: int, state: Path, points: Points, out: int) -> None:
    """Does not come back."""
    code = 1
    try:
        os.write(out, json.dumps(trio.run(play, scene, at, state, points)).encode())
        code = 0
    finally:
        os._exit(code)


def main() -> None:
    with pytest.MonkeyPatch.context() as patch:
        points = watched(patch)
        for line in sys.stdin:
            scene, at, state = json.loads(line)
            ours, theirs = os.pipe()
            pid = os.fork()
            if pid == 0:
                child(scene, at, Path(state), points, theirs)
            os.close(theirs)
            with os.fdopen(ours, "rb") as pipe:
                told = pipe.read()
            _, status = os.waitpid(pid, 0)
            print(json.dumps([os.waitstatus_to_exitcode(status), json.loads(told or b"[]")]), flush=True)


class Mortal:
    """The process, from outside."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.mortal"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )

    def play(self, scene: str, at: int, state: Path) -> tuple[int, list[str]]:
        """How it ended (−9: killed), and the points it passed if it was not."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps([scene, at, str(state)]) + "\n")
        self._process.stdin.flush()
        answer: Any = json.loads(self._process.stdout.readline())
        return answer[0], answer[1]

    def close(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


if __name__ == "__main__":
    main()
