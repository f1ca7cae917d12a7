"""docs/tutorial-c.md: what it tells to type does build, pack and run."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runtime.bundle import Bundle, pack
from runtime.toolchains import Missing, ziglang

ROOT = Path(__file__).resolve().parents[2]
TUTORIAL = (ROOT / "docs/tutorial-c.md").read_text()


def block(language: str, containing: str) -> str:
    """The one block of this language with this text in it."""
    found = re.findall(rf"^```{language}\n(.*?)^```$", TUTORIAL, re.MULTILINE | re.DOTALL)
    (only,) = [text for text in found if containing in text]
    return str(only)


@pytest.fixture
def greeter(tmp_path: Path) -> Path:
    if isinstance(ziglang.find(), Missing) or shutil.which("sh") is None:
        pytest.skip(f"ziglang is not installed: {ziglang.CURE}")
    (tmp_path / "bundle").mkdir()
    (tmp_path / "greeter.c").write_text(block("c", "static void greet"))
    (tmp_path / "bundle/manifest.json").write_text(block("json", "app_id"))
    typed = block("sh", "ziglang cc").replace("python", f'"{sys.executable}"')
    done = subprocess.run(
        ["sh", "-c", typed], cwd=tmp_path, env={"PYTHONPATH": str(ROOT), "HOME": str(Path.home())},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return tmp_path


def test_the_greeter_counts(greeter: Path, guest_of: Callable[[bytes], Any], refused: Any) -> None:
    program = guest_of((greeter / "bundle/program.wasm").read_bytes())
    assert program.call("greet", {"name": "Ada"}) == {"hello": "Ada", "visits": 1}
    assert program.call("greet", {"name": "Ada"}) == {"hello": "Ada", "visits": 2}
    assert program.host.stored == {"visits": (2, 2)}
    for method, params, code in (("greet", {"name": ""}, "invalid_params"), ("leave", {}, "unknown_method")):
        with pytest.raises(refused) as caught:
            program.call(method, params)
        assert caught.value.wire["code"] == code


def test_the_greeter_can_be_packed(greeter: Path) -> None:
    bundle = Bundle.from_bytes(pack(greeter / "bundle"))
    assert bundle.manifest.app_id == "org.example.greeter"


def test_the_manifest_of_the_tutorial_asks_only_for_what_the_program_uses() -> None:
    permissions = json.loads(block("json", "app_id"))["req_permissions"]
    assert permissions == [{"name": "storage", "reason": "To count your visits.", "constraints": {"keys": ["visits"]}}]
