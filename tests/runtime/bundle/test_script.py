"""Bundles whose program is a script: the script image, what comes into it, and what is refused before any engine."""

from __future__ import annotations

import json
from typing import Any

import pytest

from runtime import wire
from runtime.bundle import Bundle, pack_contents
from runtime.bundle.script import SCRIPT_IMAGE_BYTES_MAX
from runtime.errors import BundleError, ManifestError, ScriptError

ENTRY = b"export default {}\n"


def packed(members: dict[str, bytes], script: str = "main.js", **program: Any) -> Bundle:
    manifest = {
        "app_id": "org.example.notes", "name": "Notes", "version": {"name": "1.0.0", "code": 1},
        "program": {"script": script, **program},
    }  # fmt: skip
    return Bundle.from_bytes(pack_contents({"manifest.json": json.dumps(manifest).encode(), **members}))


def image(bundle: Bundle) -> list[list[Any]]:
    assert bundle.script_image is not None
    decoded: list[list[Any]] = wire.decode(bundle.script_image, SCRIPT_IMAGE_BYTES_MAX)
    return decoded


def refusal(members: dict[str, bytes]) -> ScriptError:
    with pytest.raises(ScriptError) as caught:
        packed(members)
    assert (caught.value.code, caught.value.exit_code) == ("script_invalid", 5)
    return caught.value


def test_the_entry_comes_first_then_scripts_and_json_by_their_paths_bytes() -> None:
    bundle = packed(
        {"main.js": ENTRY, "z.js": b"z", "a/b.js": b"b", "i18n/zh.json": b"{}", "é.js": b"e", "a.txt": b"text"}
    )
    assert image(bundle) == [
        ["main.js", ENTRY], ["a/b.js", b"b"], ["i18n/zh.json", b"{}"], ["z.js", b"z"], ["é.js", b"e"],
    ]  # fmt: skip


def test_the_manifest_is_no_part_of_it_and_a_module_is_an_asset() -> None:
    bundle = packed({"main.js": ENTRY, "other.wasm": b"\0asm", "texts.json": b"{}"})
    assert [path for path, _ in image(bundle)] == ["main.js", "texts.json"]
    assert bundle.assets == ("other.wasm", "texts.json")
    assert bundle.asset("texts.json") == b"{}"
    for path in ("main.js", "manifest.json", ""):
        with pytest.raises(BundleError):
            bundle.asset(path)


def test_the_same_scripts_give_the_same_image_whatever_the_manifest_says() -> None:
    one, other = packed({"main.js": ENTRY}), packed({"main.js": ENTRY}, lifetime="resident")
    assert one.script_image == other.script_image and one.identity != other.identity


def test_a_module_has_no_image_and_its_scripts_are_assets(unsigned: bytes, contents: dict[str, bytes]) -> None:
    assert Bundle.from_bytes(unsigned).script_image is None
    bundle = Bundle.from_bytes(pack_contents({**contents, "pages/cart.js": ENTRY}))
    assert bundle.asset("pages/cart.js") == ENTRY


def test_the_script_must_be_there() -> None:
    with pytest.raises(ManifestError) as caught:
        packed({"mian.js": ENTRY})
    assert caught.value.details["path"] == "$.program.script"
    assert "'main.js' is no member of the bundle" in caught.value.message


def test_scripts_at_their_limit_and_one_over() -> None:
    overhead = len(wire.encode([["main.js", bytes(SCRIPT_IMAGE_BYTES_MAX - 100)]])) - (SCRIPT_IMAGE_BYTES_MAX - 100)
    largest = b" " * (SCRIPT_IMAGE_BYTES_MAX - overhead)
    assert len(packed({"main.js": largest}).script_image or b"") == SCRIPT_IMAGE_BYTES_MAX
    error = refusal({"main.js": largest + b" "})
    assert error.details == {
        "limit": "script_image_bytes_max", "value": SCRIPT_IMAGE_BYTES_MAX, "used": SCRIPT_IMAGE_BYTES_MAX + 1,
        "unit": "bytes",
    }  # fmt: skip
    assert f"'main.js' has {len(largest) + 1}" in error.message and "asset.read" in error.message


def test_what_is_far_over_the_limit_names_the_largest() -> None:
    error = refusal({"main.js": ENTRY, "data.json": bytes(600_000), "more.json": bytes(1_000)})
    assert "'data.json' has 600000, 'more.json' has 1000, 'main.js'" in error.message


def test_a_source_that_is_no_utf_8_is_told_with_its_line() -> None:
    error = refusal({"main.js": ENTRY, "lib.js": b"const a = 1;\nconst b = '\xff';\n"})
    assert error.details == {"path": "'lib.js'", "line": 2}
    assert error.message == "'lib.js', line 2: byte 24 is not UTF-8; save the file as UTF-8"


def test_a_module_under_a_scripts_name_is_told() -> None:
    error = refusal({"main.js": b"\0asm\1\0\0\0"})
    assert 'name it .wasm, and the program\'s module in manifest.json as {"module"' in error.message
