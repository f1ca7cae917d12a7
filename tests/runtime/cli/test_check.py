"""`hostel check`: caps, what was found, and the margin."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from runtime.limits import ModuleCaps, specs
from tests.console import ROOT
from tests.runtime.cli.conftest import Cli

MODULE = ROOT / "sample_programs/grocery_delivery/bundle/program.wasm"


def test_a_bundle_and_its_module_alone_are_checked_alike(cli: Cli, sample: Callable[[str], Path]) -> None:
    in_bundle, alone = cli("check", sample("grocery_delivery"), "--json").json, cli("check", MODULE, "--json").json
    assert in_bundle == alone
    assert [row["name"] for row in alone["caps"]] == list(specs(ModuleCaps))
    assert alone["caps"][0]["found"] == MODULE.stat().st_size
    assert "hostel_v1.call" in alone["imports"]


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
