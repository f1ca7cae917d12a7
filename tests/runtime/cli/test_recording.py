"""`hostel run --record` and `hostel replay`: a file for this user alone, and a second run compared to it."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

from runtime.bundle import pack_contents
from tests.hostile.guests import module
from tests.runtime.cli.conftest import Cli


def test_a_call_is_recorded_and_replayed(cli: Cli, home: Path, sample: Callable[[str], Path]) -> None:
    ran = cli("run", sample("grocery_delivery"), "cart.add", '{"items": {"apple": 3}}', "--grant", "payment", "--grant",
              "storage", "--user", "alice", "--record", "r1")  # fmt: skip
    assert (ran.code, "personal data" in ran.err) == (0, True)
    assert stat.S_IMODE((home / "r1").stat().st_mode) == 0o600
    said = cli("replay", "r1")
    assert said.code == 0, said.err
    assert said.out.splitlines()[1] == "4 of 4 imports answered from the record"
    told = cli("replay", "r1", "--json").json
    timeless = {"cpu_us": 0, "wall_us": 0}
    assert told["same"] and {**told["recorded"], **timeless} == {**told["replayed"], **timeless}
    assert told["replayed"]["fuel"] > 0


def test_another_program_is_told_with_the_first_difference(cli: Cli, home: Path, sample: Callable[[str], Path]) -> None:
    manifest = b'{"app_id": "a.b", "name": "n", "version": {"name": "1", "code": 1}, "program": {"module": "p.wasm"}}'
    (home / "other.ma").write_bytes(pack_contents({"manifest.json": manifest, "p.wasm": module()}))
    assert cli("run", sample("echo"), "echo", '{"value": 1}', "--record", "r1").code == 0
    said = cli("replay", "r1", "--bundle", "other.ma")
    assert (said.code, "another bundle" in said.err, "it differs at the answer" in said.err) == (24, True, True)
    assert cli("replay", "r1", "--bundle", "other.ma", "--json").json["error"]["code"] == "replay_differs"
    assert cli("replay", "r1", "--bundle", sample("echo")).code == 0


def test_a_call_that_failed_is_recorded_too(cli: Cli, sample: Callable[[str], Path]) -> None:
    assert cli("run", sample("echo"), "no_such", "--record", "r1").code == 11
    assert "ended failed" in cli("replay", "r1").out


def test_of_a_call_that_never_began_nothing_is_left(cli: Cli, home: Path, sample: Callable[[str], Path]) -> None:
    said = cli("run", sample("echo"), "echo", '{"value": "long"}', "--limit", "message_in_bytes=16", "--record", "r1")
    assert (said.code, (home / "r1").exists()) == (7, False)


def test_no_file_is_overwritten_and_none_is_believed(cli: Cli, home: Path, sample: Callable[[str], Path]) -> None:
    (home / "r1").write_bytes(b"mine")
    said = cli("run", sample("echo"), "echo", '{"value": 1}', "--record", "r1")
    assert (said.code, "is there already" in said.err, (home / "r1").read_bytes()) == (2, True, b"mine")
    assert cli("replay", "r1").code == 2
