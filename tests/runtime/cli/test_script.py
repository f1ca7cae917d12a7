"""Script programs on the command line: checked, shown, run and refused."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from runtime.bundle.script import SCRIPT_IMAGE_BYTES_MAX
from tests.runtime.cli.conftest import Cli

GOOD = b"import { log } from 'hostel';\nexport default { hello: ({ name }) => ({ text: `hello ${name}` }) };\n"


@pytest.fixture
def packed(cli: Cli, home: Path) -> Path:
    """A folder whose script is to be written; `hostel pack` makes notes.ma of it."""
    folder = home / "notes"
    folder.mkdir()
    manifest = {
        "app_id": "org.example.notes", "name": "Notes", "version": {"name": "1.0.0", "code": 1},
        "program": {"script": "main.js"},
    }  # fmt: skip
    (folder / "manifest.json").write_bytes(msgspec.json.encode(manifest))
    (folder / "main.js").write_bytes(GOOD)
    return folder


def test_a_script_is_packed_checked_shown_and_run(cli: Cli, packed: Path) -> None:
    assert cli("pack", packed, "-o", "notes.ma").code == 0
    told = cli("check", "notes.ma", "--json").json
    assert (told["script_bytes"], told["app_id"]) == (len(GOOD) + 12, "org.example.notes") and "caps" not in told
    assert cli("inspect", "notes.ma", "--json").json["program"]["script"] == "main.js"
    said = cli("run", "notes.ma", "hello", '{"name": "Ann"}')
    assert (said.code, said.json) == (0, {"text": "hello Ann"})


def test_a_script_that_does_not_load_is_refused_with_its_place(cli: Cli, packed: Path) -> None:
    (packed / "main.js").write_bytes(GOOD + b"const a = ;\n")
    cli("pack", packed, "-o", "notes.ma")
    for command in (["check", "notes.ma"], ["run", "notes.ma", "hello"]):
        said = cli(*command)
        assert said.code == 5 and "main.js, line 3, column 11: SyntaxError" in said.err


def test_scripts_over_their_size_are_not_even_packed(cli: Cli, packed: Path) -> None:
    (packed / "data.json").write_bytes(b" " * SCRIPT_IMAGE_BYTES_MAX)
    said = cli("pack", packed, "-o", "notes.ma")
    assert said.code == 5 and "script_image_bytes_max" in said.err and "asset.read" in said.err


def test_a_script_that_is_named_and_absent_is_told(cli: Cli, packed: Path) -> None:
    (packed / "main.js").rename(packed / "index.js")
    said = cli("pack", packed, "-o", "notes.ma")
    assert said.code == 3 and "$.program.script" in said.err and "'main.js' is no member" in said.err
