"""`hostel new`, `build`, `test` and `pack`, as they are typed: from nothing to a bundle, in every language."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from runtime.bundle import Bundle
from runtime.cli.new import GUEST, LANGUAGES, languages
from runtime.toolchains import TOOLCHAINS, Missing
from tests.runtime.cli.conftest import Cli

ZIG_CACHE = os.environ.get("ZIG_GLOBAL_CACHE_DIR") or str(Path.home() / ".cache/zig")
FIRST = GUEST / "javascript/template/scenarios/first.json"


@pytest.fixture(autouse=True)
def _compiled_once(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a developer's machine: compilers find what they compiled for the program before."""
    monkeypatch.setenv("ZIG_GLOBAL_CACHE_DIR", ZIG_CACHE)


def test_every_language_has_a_template() -> None:
    """And all of them play the same scenario, to the byte."""
    assert languages() == list(LANGUAGES)
    for lang in LANGUAGES:
        assert (GUEST / lang / "template/scenarios/first.json").read_bytes() == FIRST.read_bytes(), lang


@pytest.mark.slow
@pytest.mark.parametrize("lang", LANGUAGES)
def test_from_nothing_to_a_bundle(cli: Cli, home: Path, lang: str) -> None:
    said = cli("new", "shop", "--lang", lang)
    assert said.code == 0, said.err
    assert said.out.splitlines()[0].startswith(f"shop: org.example.shop, a guest book in {lang}, ")
    texts = [path.read_text() for path in (home / "shop").rglob("*") if path.suffix in (".json", ".md", ".js", ".c")]
    assert not any("@NAME@" in text or "@APP_ID@" in text for text in texts)
    toolchain = TOOLCHAINS.get(lang)
    if toolchain is not None and lang != "javascript" and isinstance(found := toolchain.find(), Missing):
        assert [line.strip() for line in said.out.splitlines()[1:3]] == [found.cure, "hostel build shop"]
        pytest.skip(f"{found.name} is not here: {found.cure}")
    tested = cli("test", "shop")
    assert tested.code == 0, tested.out + tested.err
    if lang in ("c", "javascript"):  # the others have built theirs once, with new
        built = cli("build", "shop", "--json")
        assert built.code == 0 and built.json["bytes"] > 0, built.err
    assert cli("pack", "shop").code == 0
    assert Bundle.read(home / "shop.ma").manifest.app_id == "org.example.shop"


def test_the_name_and_the_id_are_what_was_said(cli: Cli, home: Path) -> None:
    made = cli("new", "lilys/Tea-House", "--lang", "javascript", "--json")
    assert made.code == 2 and not (home / "lilys").exists()
    (home / "lilys").mkdir()
    told = cli("new", "lilys/Tea-House", "--lang", "javascript", "--app-id", "org.lily.tea", "--json").json
    assert told["app_id"] == "org.lily.tea" and ".gitignore" in told["files"]
    manifest = json.loads((home / "lilys/Tea-House/bundle/manifest.json").read_text())
    assert (manifest["app_id"], manifest["name"]["en"]) == ("org.lily.tea", "Tea-House")


def test_what_is_to_be_typed_next_can_be_typed(cli: Cli, home: Path) -> None:
    assert "  hostel test 'my shop'\n" in cli("new", "my shop", "--lang", "javascript").out


def test_nothing_is_overwritten_and_nothing_half_made(cli: Cli, home: Path) -> None:
    (home / "shop").mkdir()
    for words, said in (
        (["shop", "--lang", "javascript"], "is there already"),
        (["other", "--lang", "cobol"], "there are templates for"),
        (["a/../../b", "--lang", "cobol"], "there are templates for"),
        (["-x", "--lang", "c"], "See hostel new --help"),
        (["9lives", "--lang", "c"], "is no name for a project"),
        (["x" * 41, "--lang", "c"], "is no name for a project"),
        (["other", "--lang", "c", "--app-id", "Org Example"], "write parts of a-z"),
    ):
        refused = cli("new", *words)
        assert (refused.code, said in refused.err) == (2, True), refused.err
    assert [path.name for path in home.iterdir()] == ["shop"]


def test_there_is_nothing_to_build_in_an_empty_folder(cli: Cli, home: Path) -> None:
    (home / "empty").mkdir()
    refused = cli("build", "empty")
    assert refused.code == 2 and "hostel new NAME" in refused.err


def test_a_script_that_does_not_load_is_told_with_its_line(cli: Cli, home: Path) -> None:
    assert cli("new", "shop", "--lang", "javascript").code == 0
    (home / "shop/bundle/main.js").write_text("export default {\n  list() { return 1 }\n  oops\n}\n")
    refused = cli("build", "shop")
    assert refused.code == 5 and "main.js" in refused.err and "3" in refused.err
