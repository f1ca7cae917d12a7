"""The tick's machine code for arm64, run by an emulator where there is one, and its layout everywhere."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from runtime.sandbox import binding, ticker

PROGRAM = Path(__file__).with_name("arm_stub.c")
INSTRUCTIONS = 56
COMPILER, EMULATOR = "aarch64-linux-gnu-gcc", "qemu-aarch64"
LONGEST_S = 300


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> bytes:
    monkeypatch.setattr(ticker.platform, "machine", lambda: "aarch64")
    code = ticker._stub(0x1234_5678)
    assert code is not None
    return code


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for needed in (COMPILER, EMULATOR):
        if shutil.which(needed) is None:
            pytest.skip(f"NOT RUN: {needed} is not here: apt-get install qemu-user gcc-aarch64-linux-gnu")
    made = tmp_path_factory.mktemp("arm") / "arm_stub"
    command = [COMPILER, "-static", "-O1", "-Wall", "-Wextra", "-Werror", "-o", str(made), str(PROGRAM)]
    subprocess.run(command, check=True, timeout=LONGEST_S)
    return made


def test_it_holds_the_addresses_that_it_jumps_to(stub: bytes) -> None:
    """The instructions, then the two literals that they load and jump to."""
    assert len(stub) == INSTRUCTIONS + 16
    assert struct.unpack("<2Q", stub[INSTRUCTIONS:]) == (binding.INCREMENT_EPOCH, 0x1234_5678)
    for at, literal in ((16, INSTRUCTIONS), (44, INSTRUCTIONS + 8)):
        assert struct.unpack_from("<I", stub, at)[0] == 0x5800_0000 | (literal - at) // 4 << 5 | 16, "ldr x16"


@pytest.mark.parametrize("stack", [[], ["its own"]], ids=["the stack that runs", "another stack"])
def test_emulated_it_counts_and_returns_and_at_rest_disarms_its_timer(
    program: Path, stub: bytes, stack: list[str], tmp_path: Path
) -> None:
    code = tmp_path / "stub"
    code.write_bytes(stub[:INSTRUCTIONS])
    done = subprocess.run(
        [EMULATOR, str(program), str(code), *stack], capture_output=True, text=True, timeout=LONGEST_S
    )
    assert (done.returncode, done.stdout) == (0, "ok\n"), done.stderr
