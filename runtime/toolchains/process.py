"""Runs a compiler, for the toolchains of this folder.

What lives here: one run in one folder, bounded in time and in what is kept of its words, and the module that came of
it. No language, no flag.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from runtime.toolchains.toolchain import BuildError

MODULE: Final = "program.wasm"
"""What stands in a command for the file that the compiler is to write."""
SECONDS_MOST: Final = 600
"""The first build with a toolchain may make its own library first."""
SAID_CHARS_MOST: Final = 8_000


def compiled(
    command: Sequence[str], what: str, root: Path, *, environment: Mapping[str, str] | None = None
) -> bytes:  # fmt: skip
    """The module that this command makes, run in `root`. Every part that is MODULE, or ends with `=` and it, becomes a
    file in a folder of its own, which is gone afterwards. `what`: the source, for the message. Raises BuildError."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / MODULE
        run = [part.removesuffix(MODULE) + str(out) if _is_output(part) else part for part in command]
        try:
            done = subprocess.run(
                run, cwd=root, env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=False,
                timeout=SECONDS_MOST,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise BuildError(f"{what} was not compiled within {SECONDS_MOST} seconds") from None
        except OSError as error:
            raise BuildError(f"{command[0]} cannot be run: {error.strerror}") from None
        if done.returncode != 0 or not out.exists():
            raise BuildError(f"{what} does not compile:\n{_cut(done.stderr or done.stdout)}")
        return out.read_bytes()


def _is_output(part: str) -> bool:
    return part == MODULE or part.endswith(f"={MODULE}")


def _cut(said: bytes) -> str:
    """Its beginning: a compiler's first error is the one to look at."""
    text = said.decode("utf-8", "replace").strip()
    return text if len(text) <= SAID_CHARS_MOST else f"{text[:SAID_CHARS_MOST]}\n(cut; {len(text)} characters in all)"
