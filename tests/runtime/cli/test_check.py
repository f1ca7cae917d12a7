"""`hostel check`: caps, what was found, and the margin."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from runtime.bundle import pack_contents
from runtime.limits import ModuleCaps, specs
from tests.console import ROOT
from tests.hostile.guests import module
from tests.runtime.cli.conftest import Cli

MODULE = ROOT / "sample_programs/grocery_delivery/bundle/program.wasm"


def test_a_bundle_and_its_module_alone_are_checked_alike(cli: Cli, sample: Callable[[str], Path]) -> None:
    in_bundle, alone = cli("check", sample("grocery_delivery"), "--json").json, cli("check", MODULE, "--json").json
    assert in_bundle["memory_limit"] <= alone.pop("memory_limit")
    assert in_bundle.items() >= alone.items()
    assert [row["name"] for row in alone["caps"]] == list(specs(ModuleCaps))
    assert alone["caps"][0]["found"] == MODULE.stat().st_size
    assert "hostel_v1.call" in alone["imports"]


def test_a_projects_folder_is_checked_as_its_bundle(cli: Cli, sample: Callable[[str], Path]) -> None:
    folder = cli("check", MODULE.parents[1], "--json").json
    assert folder == cli("check", sample("grocery_delivery"), "--json").json
    asked = {one["name"]: one for one in folder["capabilities"]}
    assert asked["storage"]["asked"] == "required" and "storage.put" in asked["storage"]["methods"]
    assert any("not signed" in hint for hint in folder["hints"])


def made(home: Path, module: bytes, **manifest: Any) -> str:
    told = {"app_id": "a.b", "name": "n", "version": {"name": "1", "code": 1}, "program": {"module": "p.wasm"}}
    members = {"manifest.json": msgspec.json.encode({**told, **manifest}), "p.wasm": module}
    (home / "made.ma").write_bytes(pack_contents(members))
    return "made.ma"


def test_what_is_used_and_not_asked_for_is_told_with_its_cure(cli: Cli, home: Path) -> None:
    wasm = module(more='(data (i32.const 900) "payment.refund_query storage.get")')
    asked = [{"name": "payment", "reason": "to be paid"}]
    told = cli("check", made(home, wasm, req_permissions=asked), "--json").json
    assert told["methods"] == ["payment.refund_query", "storage.get"]
    assert [hint.partition(":")[0] for hint in told["hints"][:3]] == [
        "payment is asked for, and no method that needs it is named in the code",
        "payment.refund_query will be refused as capability_undeclared",
        "storage.get will be refused as capability_undeclared",
    ]
    assert '{"name": "storage", "reason": …}' in told["hints"][2]


def test_what_no_host_installs_has_an_exit_code(cli: Cli, home: Path) -> None:
    asked = [{"name": "payments", "reason": "r"}, {"name": "http", "reason": "r", "constraints": {"host": "x"}}]
    file = made(home, module(), req_permissions=asked)
    said = cli("check", file)
    assert (said.code, "did you mean payment?" in said.err, "and 1 more" in said.err) == (3, True, True)
    assert len(cli("check", file, "--json").json["error"]["details"]["refused"]) == 2


def test_limits_that_the_operator_has_to_give_are_told(cli: Cli, home: Path) -> None:
    file = made(home, module(), program={"module": "p.wasm", "limits": {"cpu_us": 90_000, "wall_ms": 5}})
    hints = cli("check", file, "--json").json["hints"]
    assert [hint for hint in hints if "cpu_us = 90000, and gets 50000" in hint]
    assert not [hint for hint in hints if "wall_ms" in hint]


def test_a_scripts_methods_are_found_as_scripts_spell_them(cli: Cli, home: Path) -> None:
    source = b'import { payment, storage } from "hostel"; export default { async m() { await payment.refundQuery({});'
    members = {
        "manifest.json": msgspec.json.encode({
            "app_id": "a.b", "name": "n", "version": {"name": "1", "code": 1},
            "program": {"script": "main.js", "abi": "hostel_v1"},
        }),
        "main.js": source + b' storage.put({}) } };',
    }  # fmt: skip
    (home / "script.ma").write_bytes(pack_contents(members))
    told = cli("check", "script.ma", "--json").json
    assert told["methods"] == ["payment.refund_query", "storage.put"]
    assert "caps" not in told and told["script_bytes"] > len(source)


def test_the_table_shows_the_margin(cli: Cli) -> None:
    said = cli("check", MODULE)
    (row,) = (line for line in said.out.splitlines() if line.split()[:1] == ["results"])
    assert row.split()[1:4] == ["1", "8", "8.0"]
    assert said.out.splitlines()[-1].startswith("accepted: sha256 ")


def test_the_limit_is_the_one_that_is_given(cli: Cli) -> None:
    assert cli("check", MODULE, "--limit", "memory_bytes=131072").code == 0
    said = cli("check", MODULE, "--limit", "memory_bytes=65536")
    assert said.code == 5
    assert "memory_bytes is 65536" in " ".join(said.err.split())


def test_what_is_no_module_is_refused(cli: Cli, home: Path) -> None:
    (home / "cut.wasm").write_bytes(MODULE.read_bytes()[:1_000])
    said = cli("check", "cut.wasm")
    assert said.code == 5 and said.err.startswith("hostel: bundle refused: not a well-formed WebAssembly module")
