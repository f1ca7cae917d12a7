"""The tutorials, followed word for word: what stands there is put where it says, and typed in its order."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from runtime.bundle import Bundle
from runtime.toolchains import Missing, ziglang
from tests.console import ROOT

ZIG_CACHE = os.environ.get("ZIG_GLOBAL_CACHE_DIR") or str(Path.home() / ".cache/zig")


class Reader:
    """Somebody who follows a tutorial in a folder of their own."""

    def __init__(self, document: str, home: Path, cache: Path) -> None:
        text = (ROOT / "docs" / document).read_text(encoding="utf-8")
        self.blocks = re.findall(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
        self.home, self.cache = home, cache
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        (home / "hostel.toml").write_text(f"[http]\nport = {port}\n[workers]\ncount = 1\n")
        hostel = home / "bin/hostel"
        hostel.parent.mkdir()
        hostel.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m runtime.cli "$@"\n')
        hostel.chmod(0o755)

    def block(self, language: str, containing: str) -> str:
        """The one block of this language with this text in it."""
        (only,) = [text for kind, text in self.blocks if kind == language and containing in text]
        return str(only)

    def types(self, *containing: str) -> str:
        """The `sh` blocks with these texts, one after the other in one shell; what they print."""
        typed = "".join(self.block("sh", text) for text in containing)
        environment = {
            "PYTHONPATH": str(ROOT), "HOME": str(self.home), "PATH": f"{self.home / 'bin'}:/usr/bin:/bin",
            "XDG_CACHE_HOME": str(self.cache.parent), "ZIG_GLOBAL_CACHE_DIR": ZIG_CACHE,
        }  # fmt: skip
        told = self.home / "told"
        with told.open("wb") as output:
            shell = subprocess.Popen(
                ["sh", "-ec", typed], cwd=self.home, stdout=output, stderr=output, start_new_session=True,
                env=environment,
            )  # fmt: skip
            try:
                assert shell.wait(240) == 0, told.read_text()
            finally:
                with suppress(ProcessLookupError):  # a daemon, where a command before its end failed
                    os.killpg(shell.pid, signal.SIGKILL)
        return told.read_text()


def test_every_command_of_the_tutorials_is_typed_here() -> None:
    """But for the installation of the package."""
    typed = {"tutorial-javascript.md": 6, "tutorial-c.md": 5}
    for document, count in typed.items():
        text = (ROOT / "docs" / document).read_text(encoding="utf-8")
        blocks = re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
        assert len([block for block in blocks if "pip install" not in block]) == count, document


@pytest.mark.slow
def test_the_tutorial_in_javascript(tmp_path: Path, cache: Path) -> None:
    reader = Reader("tutorial-javascript.md", tmp_path, cache)
    assert "1 scenario passed through library" in reader.types("hostel new shop")
    main, first = tmp_path / "shop/bundle/main.js", tmp_path / "shop/scenarios/first.json"
    main.write_text(main.read_text().replace("  async list()", f"{reader.block('js', 'count')}  async list()"))
    step = reader.block("json", "Two have signed").rstrip()
    first.write_text(re.sub(r"\}(\s*\]\s*\}\s*)$", rf"}},\n{step}\1", first.read_text()))
    again = [text for kind, text in reader.blocks if kind == "sh" and text == "hostel test shop\n"]
    assert len(again) == 1
    reader.blocks.remove(("sh", again[0]))
    reader.blocks.append(("sh", f"{again[0]}# again\n"))
    assert "Two have signed." in reader.types("# again")
    told = reader.types("hostel dev shop", "kill $dev", "hostel keygen", "hostel serve")
    assert '"count": 1' in told and '"paid": true' in told and '"text": "First!"' in told
    assert Bundle.read(tmp_path / "shop.ma").signature is not None


@pytest.mark.slow
def test_the_tutorial_in_c(tmp_path: Path, cache: Path) -> None:
    if isinstance(found := ziglang.find(), Missing):
        pytest.skip(f"{found.name} is not here: {found.cure}")
    reader = Reader("tutorial-c.md", tmp_path, cache)
    assert "1 scenario passed through library" in reader.types("hostel new greeter")
    (tmp_path / "greeter/source/main.c").write_text(reader.block("c", "static void greet"))
    (tmp_path / "greeter/bundle/manifest.json").write_text(reader.block("json", "app_id"))
    (tmp_path / "greeter/scenarios/first.json").write_text(reader.block("json", "about"))
    assert "1 scenario passed through library" in reader.types("hostel build greeter")
    told = reader.types("hostel dev greeter", "hostel keygen", "hostel serve")
    assert '"hello": "Ada"' in told and '"hello": "Carol"' in told
    assert Bundle.read(tmp_path / "greeter.ma").signature is not None
