"""`hostel run`: one message, its answer, its receipt, and what is kept."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from runtime import Host
from runtime.bundle import pack_contents
from tests.console import ROOT
from tests.runtime.cli.conftest import Cli, Said
from tests.runtime.sandbox.proposals import module

WARNING = "hostel: warning: no key that --keyring names vouches for this bundle; --require-signed would refuse it\n"
ONE = '{"value": 1}'
GRANTS = ("--grant", "payment", "--grant", "storage", "--user", "alice")


@pytest.fixture
def shop(cli: Cli, sample: Callable[[str], Path], home: Path) -> Callable[..., Said]:
    """Calls the grocery shop with a state directory."""
    bundle = sample("grocery_delivery")

    def call(method: str, *words: str) -> Said:
        return cli("run", bundle, method, *words, *GRANTS, "--state", home / "state")

    return call


def _slot(shop: Callable[..., Said]) -> str:
    slots: Any = shop("slots.list").json
    return f'{{"slot": "{slots["slots"][0]["slot"]}"}}'


def test_the_answer_is_json_and_the_warning_one_line(cli: Cli, sample: Callable[[str], Path]) -> None:
    said = cli("run", sample("echo"), "echo", '{"value": {"a": [1, -1, 2.5, null, true, "鲜\\u0001"]}}')
    assert (said.code, said.err) == (0, WARNING)
    assert said.json == {"a": [1, -1, 2.5, None, True, "鲜\x01"]}
    assert "鲜\\u0001" in said.out


def test_params_come_from_standard_input_or_a_file(cli: Cli, home: Path, sample: Callable[[str], Path]) -> None:
    assert cli("run", sample("echo"), "echo", "-", stdin=b'{"value": 7}').json == 7
    (home / "p.json").write_text('{"value": 8}')
    assert cli("run", sample("echo"), "echo", "@p.json").json == 8
    assert cli("run", sample("echo"), "echo", "-", "--config", "-").code == 2


def test_what_an_answer_holds_cannot_write_to_the_terminal(cli: Cli, sample: Callable[[str], Path]) -> None:
    said = cli("run", sample("echo"), "echo", '{"value": "\\u001b[2J \\u009b2J \\u202e \\u0085"}')
    assert said.out == '"\\u001b[2J \\u009b2J \\u202e \\u0085"\n'


def test_state_is_kept_and_money_moves_when_the_user_says_so(shop: Callable[..., Said], home: Path) -> None:
    assert shop("cart.add", '{"items": {"apple": 3, "milk": 1}}').json["total"]["amount"] == 4250
    slot = _slot(shop)
    said = shop("checkout", slot, "--approve", "--fund", "100.00CNY", "--json")
    assert said.json["result"]["order"]["status"] == "paid"
    assert said.json["receipt"]["ending"] == "completed"
    assert "hostel: payment approved: 42.50 CNY to Fresh at home" in said.err
    assert len(shop("orders.list").json["orders"]) == 1
    assert stat.S_IMODE((home / "state").stat().st_mode) == 0o700


@pytest.mark.parametrize("word", ["--decline", "--ask", None])
def test_without_a_yes_nothing_is_paid(shop: Callable[..., Said], word: str | None) -> None:
    shop("cart.add", '{"items": {"apple": 3}}')
    said = shop("checkout", _slot(shop), "--fund", "100.00CNY", *([word] if word else []))
    assert said.code == 11
    assert "declined" in said.err


def test_one_answer_only(shop: Callable[..., Said]) -> None:
    assert shop("checkout", "--approve", "--decline").code == 2


def test_grants_are_as_narrow_as_they_are_written(cli: Cli, sample: Callable[[str], Path]) -> None:
    bundle = sample("grocery_delivery")
    refused = cli("run", bundle, "cart.show", "--user", "alice")
    assert refused.code == 2
    assert "requires storage" in refused.err and "--grant" in refused.err
    assert cli("run", bundle, "cart.show", "--user", "alice", "--grant", "storage:keys=cart").code == 0
    assert cli("run", bundle, "cart.show", "--user", "alice", "--grant", "storage:keys=other").code == 11


def test_the_receipt_is_beside_the_answer_and_there_for_a_call_that_ends(
    cli: Cli, sample: Callable[[str], Path]
) -> None:
    said = cli("run", sample("echo"), "echo", '{"value": 1}', "--receipt")
    assert said.json == 1
    assert "processor time" in said.err and "completed" in said.err
    ended = cli("run", sample("hostile/spin"), "go", "--receipt", "--limit", "cpu_us=5000")
    assert (ended.code, ended.out) == (14, "")
    assert "cpu_exceeded" in ended.err and "cpu_us = 5000" in ended.err.splitlines()[-1]
    error = cli("run", sample("hostile/memory_hog"), "go", "--json").json["error"]
    assert (error["ending"], error["receipt"]["memory_at_limit"]) == ("trapped", True)


def test_the_receipt_of_a_forged_order(cli: Cli, sample: Callable[[str], Path]) -> None:
    said = cli("run", sample("hostile/forged_order"), "steal", '{"order_id": "x"}', "--grant", "payment", "--json")
    assert said.json["result"]["host_said"]["code"] == "not_found"
    assert said.json["receipt"]["denials"] == 1


def test_a_notification_answers_nothing(cli: Cli, sample: Callable[[str], Path]) -> None:
    said = cli("run", sample("echo"), "echo", "--notify")
    assert (said.code, said.out) == (0, "")
    assert cli("run", sample("echo"), "echo", "--notify", "--json").json["result"] is None


def test_config_reaches_the_program(cli: Cli, sample: Callable[[str], Path]) -> None:
    config = '{"shop": "Lily"}'
    said = cli("run", sample("grocery_delivery"), "catalogue.list", "--grant", "storage", "--config", config)
    assert said.json["shop"] == "Lily"


def test_log_lines_go_to_standard_error_with_the_programs_name(cli: Cli, sample: Callable[[str], Path]) -> None:
    params = '{"method": "log.write", "params": {"level": "warning", "message": "two\\nlines"}}'
    said = cli("run", sample("echo"), "call", params)
    assert said.err == WARNING + "org.example.echo warning: two\\nlines\n"


# ---- the cache -------------------------------------------------------------------------------------------------------
def test_a_compiled_module_is_kept_for_the_next_run(cli: Cli, cache: Path, sample: Callable[[str], Path]) -> None:
    bundle = sample("echo")
    assert cli("run", bundle, "echo", ONE).code == 0
    (artifact,) = (cache / "hostel/artifacts").iterdir()
    for folder in ("hostel", "hostel/artifacts", "hostel/keys"):
        assert stat.S_IMODE((cache / folder).stat().st_mode) == 0o700
    # No compiler could work under these limits: the second run does not need one.
    assert cli("run", bundle, "echo", ONE, "--compile-limit", "wall_ms=100", "--compile-limit", "cpu_s=1").code == 0
    assert list((cache / "hostel/artifacts").iterdir()) == [artifact]


def test_without_the_cache_nothing_is_written(cli: Cli, home: Path, cache: Path, sample: Callable[[str], Path]) -> None:
    assert cli("run", sample("echo"), "echo", ONE, "--no-cache").code == 0
    assert sorted(path.name for path in home.iterdir()) == ["echo.ma"]


def test_an_empty_state_directory_is_closed_to_others(cli: Cli, home: Path, sample: Callable[[str], Path]) -> None:
    (home / "state").mkdir(mode=0o755)
    assert cli("run", sample("echo"), "echo", ONE, "--state", "state").code == 0
    assert stat.S_IMODE((home / "state").stat().st_mode) == 0o700
    assert {path.name for path in (home / "state").iterdir()} >= {"hostel.sqlite3"}


def test_without_the_cache_the_state_directory_keeps_it(
    cli: Cli, home: Path, cache: Path, sample: Callable[[str], Path]
) -> None:
    assert cli("run", sample("echo"), "echo", ONE, "--state", "state", "--no-cache").code == 0
    assert sorted(path.name for path in home.iterdir()) == ["echo.ma", "state"]
    assert {"artifacts", "keys"} <= {path.name for path in (home / "state").iterdir()}


def test_a_cache_that_cannot_be_used_is_told(cli: Cli, cache: Path, sample: Callable[[str], Path]) -> None:
    cache.write_bytes(b"a file where a folder should be")
    said = cli("run", sample("echo"), "echo", ONE)
    assert (said.code, said.out) == (8, "")
    assert "hostel/artifacts cannot be used: Not a directory" in said.err


def test_a_state_directory_in_use_is_told(cli: Cli, home: Path, sample: Callable[[str], Path]) -> None:
    (home / "state").write_bytes(b"a file where a folder should be")
    said = cli("run", sample("echo"), "echo", "--state", "state")
    assert said.code == 8
    assert said.err.splitlines()[-1].startswith("hostel: host not started: ")


async def test_beside_a_host_that_runs_the_command_that_asks_it_is_named(
    cli: Cli, home: Path, sample: Callable[[str], Path]
) -> None:
    async with Host.open(home / "state"):
        said = await trio.to_thread.run_sync(cli, "run", sample("echo"), "echo", "--state", "state")
    assert said.code == 8
    assert "hostel call org.example.echo echo --state state" in said.err


def test_a_manifest_that_asks_for_what_no_host_knows_is_refused_as_a_manifest(cli: Cli, home: Path) -> None:
    manifest = json.loads((ROOT / "sample_programs/echo/bundle/manifest.json").read_bytes())
    manifest["req_permissions"] = [{"name": "paymet", "reason": "typed wrong"}]
    (home / "typo.ma").write_bytes(
        pack_contents({"manifest.json": json.dumps(manifest).encode(), "program.wasm": module()})
    )
    said = cli("run", "typo.ma", "go")
    assert (said.code, "did you mean payment?" in said.err, "manifest_invalid" in said.err) == (3, True, True)


def test_a_trap_says_where_to_look(cli: Cli, home: Path) -> None:
    handle = '(func (export "hostel_handle") (param i32 i32) (result i64) unreachable)'
    manifest = (ROOT / "sample_programs/echo/bundle/manifest.json").read_bytes()
    (home / "trap.ma").write_bytes(pack_contents({"manifest.json": manifest, "program.wasm": module(handle=handle)}))
    said = cli("run", "trap.ma", "go")
    assert said.code in (11, 13)
