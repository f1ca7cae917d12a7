"""The message codec of every SDK, against the vectors that the host's own codec made."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.samples.vectors import faults

CODECS = sorted((Path(__file__).parent / "codec").glob("*/bundle/program.wasm"))


@pytest.mark.parametrize("module", CODECS, ids=lambda path: path.parts[-3])
def test_the_codec_reads_and_writes_and_refuses_what_the_hosts_does(
    module: Path, guest_of: Callable[[bytes], Any], refused: Any
) -> None:
    guest = guest_of(module.read_bytes())
    guest.inbox = False

    def echo(data: bytes) -> bytes | None:
        try:
            answer: bytes = guest.call("codec.echo", {"bytes": data})["bytes"]
        except refused as error:
            assert error.wire["code"] == "invalid"
            return None
        return answer

    assert faults(echo) == []


def test_there_is_a_program_for_every_language_with_modules() -> None:
    assert {path.parts[-3] for path in CODECS} >= {"c", "zig"}
