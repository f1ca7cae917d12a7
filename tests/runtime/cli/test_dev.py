"""`hostel dev` as it is typed: what it tells, in lines of JSON, and how it ends."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from pathlib import Path
from typing import IO, Any

from tests.console import ROOT, command, environment

WAIT_S = 60


def until(lines: IO[str], event: str) -> Any:
    for line in lines:
        told = json.loads(line)
        if told["event"] == event:
            return told
    raise AssertionError(f"it ended before {event}")


def test_a_day_in_lines_of_json(home: Path) -> None:
    shop = home / "shop"
    shutil.copytree(ROOT / "sample_programs/echo/bundle", shop)
    words = ("dev", "shop", "--state", "state", "--fault", "storage.get=busy", "--answer", "decline", "--json")
    begun = subprocess.Popen(
        [*command(), *words], cwd=home, env=environment(home), text=True, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert begun.stdout is not None
    try:
        assert until(begun.stdout, "installed")["changed"] == []
        call = ("call", "org.example.echo", "echo", '{"value": 7}', "--state", "state", "--user", "alice")
        said = subprocess.run([*command(), *call], cwd=home, env=environment(home), capture_output=True, check=True)
        assert json.loads(said.stdout) == 7
        assert until(begun.stdout, "call")["receipt"]["ending"] == "completed"
        (shop / "more.txt").write_text("an asset more")
        assert until(begun.stdout, "installed")["changed"] == ["more.txt"]
        begun.send_signal(signal.SIGINT)
        assert begun.wait(WAIT_S) == 0
    finally:
        begun.kill()
        begun.wait()
        begun.stdout.close()
