"""Keys and bundles on the command line, from a folder to a trusted release."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from runtime.bundle import Bundle, Keyring, pack
from tests.console import ROOT
from tests.runtime.cli.conftest import Cli

GROCERY = ROOT / "sample_programs/grocery_delivery/bundle"
ECHO = ROOT / "sample_programs/echo/bundle"


def test_from_a_folder_to_a_trusted_release(cli: Cli, home: Path) -> None:
    made = cli("keygen", "dev.key", "--owner", 'Ünï "Ltd"')
    assert made.code == 0 and "dev.key" in made.err
    assert stat.S_IMODE((home / "dev.key").stat().st_mode) == 0o600
    (home / "keyring.toml").write_text(made.out)
    (trusted,) = Keyring.load(home / "keyring.toml").keys.values()
    assert trusted.owner == 'Ünï "Ltd"'

    assert cli("pack", GROCERY, "-o", "grocery.ma").code == 0
    assert (home / "grocery.ma").read_bytes() == pack(GROCERY)
    assert cli("verify", "grocery.ma", "--keyring", "keyring.toml").code == 4

    assert cli("sign", "grocery.ma", "--key", "dev.key").code == 0
    told = cli("verify", "grocery.ma", "--keyring", "keyring.toml", "--json")
    assert (told.code, told.json["key_id"], told.json["owner"]) == (0, trusted.public_key.key_id, 'Ünï "Ltd"')
    assert trusted.public_key.key_id in cli("verify", "grocery.ma", "--keyring", "keyring.toml").out
    run = ("run", "grocery.ma", "catalogue.list", "--grant", "storage", "--keyring", "keyring.toml", "--require-signed")
    assert cli(*run).err == ""


def test_sign_into_another_file_leaves_the_first(cli: Cli, home: Path, sample: Callable[[str], Path]) -> None:
    bundle = sample("echo")
    before = bundle.read_bytes()
    cli("keygen", "dev.key")
    said = cli("sign", bundle, "--key", "dev.key", "-o", "signed.ma", "--json")
    assert said.json["signed_by"] == Bundle.read(home / "signed.ma").signature.key_id  # type: ignore[union-attr]
    assert bundle.read_bytes() == before


def test_inspect_tells_what_a_bundle_is(cli: Cli, sample: Callable[[str], Path]) -> None:
    bundle = sample("grocery_delivery")
    told = cli("inspect", bundle, "--json").json
    assert told["app_id"] == "org.example.grocery" and told["signed_by"] is None
    assert [p["name"] for p in told["permissions"]] == ["payment", "storage", "payment.refund", "user.login"]
    assert {m["path"] for m in told["members"]} == {"icons/basket.svg", "manifest.json", "program.wasm"}
    page = cli("inspect", bundle).out
    assert all(
        word in page for word in ("org.example.grocery", "鲜到家买菜", "keys: cart missing/ order/", told["identity"])
    )


def test_what_is_left_out_is_told(cli: Cli, home: Path) -> None:
    folder = home / "bundle"
    folder.mkdir()
    for name in ("manifest.json", "program.wasm"):
        (folder / name).write_bytes((ROOT / "sample_programs/echo/bundle" / name).read_bytes())
    (folder / ".swp").write_bytes(b"")
    said = cli("pack", folder, "-o", "echo.ma")
    assert said.code == 0
    assert said.err == "hostel: left out '.swp': its name begins with a full stop\n"


@pytest.mark.parametrize(
    ("permission", "warning"),
    [
        ({"name": "paymet"}, "unknown capability 'paymet'; did you mean payment?"),
        ({"name": "storage", "constraints": {"key": ["cart"]}},
         "unknown constraint of storage 'key'; did you mean keys?"),
        ({"name": "payment", "constraints": {"amount_max": -1}}, "constraint amount_max must be a whole number"),
    ],
)  # fmt: skip
def test_a_permission_that_no_install_takes_is_warned_of(
    cli: Cli, home: Path, permission: dict[str, Any], warning: str
) -> None:
    folder = home / "bundle"
    folder.mkdir()
    manifest = msgspec.json.decode((ECHO / "manifest.json").read_bytes())
    manifest["req_permissions"] = [{"name": "http", "reason": "r"}, {"reason": "r", **permission}]
    (folder / "manifest.json").write_bytes(msgspec.json.encode(manifest))
    (folder / "program.wasm").write_bytes((ECHO / "program.wasm").read_bytes())
    plain, as_json = cli("pack", folder, "-o", "odd.ma"), cli("pack", folder, "-o", "odd.ma", "--json")
    assert plain.code == as_json.code == 0
    (line,) = plain.err.splitlines()
    assert line.startswith("hostel: warning: manifest.json $.req_permissions[1]: ") and warning in line
    (told,) = as_json.json["warnings"]
    assert told.startswith("$.req_permissions[1]: ") and warning in told
    refused = cli("check", "odd.ma")
    assert refused.code == 3 and warning in refused.err
    assert cli("run", "odd.ma", "echo").code == 3


def test_a_good_manifest_is_not_warned_of(cli: Cli, sample: Callable[[str], Path]) -> None:
    assert cli("pack", GROCERY, "-o", "grocery.ma", "--json").json["warnings"] == []
    assert cli("check", sample("grocery_delivery")).err == ""


@pytest.mark.parametrize("words", [("run", ECHO, "echo"), ("inspect", ECHO), ("verify", ECHO)])
def test_a_folder_in_the_place_of_a_bundle(cli: Cli, words: tuple[str | Path, ...]) -> None:
    said = cli(*words)
    assert said.code == 2
    assert said.err.endswith("is a folder: make a bundle of it with hostel pack (invalid_argument)\n")


@pytest.mark.parametrize("command", [("run", "x"), ("inspect",), ("verify",)])
def test_a_module_in_the_place_of_a_bundle(cli: Cli, command: tuple[str, ...]) -> None:
    said = cli(command[0], ECHO / "program.wasm", *command[1:])
    assert said.code == 3
    assert said.err.startswith("hostel: bundle refused: a WebAssembly module of ")
    assert "make a bundle of that with hostel pack" in said.err


def test_a_refused_folder_leaves_the_old_bundle(cli: Cli, home: Path) -> None:
    (home / "bundle").mkdir()
    (home / "bundle/manifest.json").write_text("{}")
    (home / "old.ma").write_bytes(b"old")
    assert cli("pack", "bundle", "-o", "old.ma").code == 3
    assert (home / "old.ma").read_bytes() == b"old"
    assert sorted(path.name for path in home.iterdir()) == ["bundle", "old.ma"]


@pytest.mark.parametrize(
    "words",
    [
        ("pack", "nowhere", "-o", "x.ma"),
        ("pack", str(GROCERY), "-o", "nowhere/x.ma"),
        ("sign", "echo.ma", "--key", "nowhere"),
        ("verify", "nowhere"),
        ("inspect", "nowhere"),
        ("check", "nowhere"),
        ("keygen", "echo.ma"),
    ],
)
def test_files_that_cannot_be_read_or_written(cli: Cli, sample: Callable[[str], Path], words: tuple[str, ...]) -> None:
    sample("echo")
    said = cli(*words)
    assert said.code == 2 and said.out == ""
    assert said.err.count("\n") == 1
