"""A bundle that is refused: one line that says what and why, the documented exit code, and nothing written anywhere.

Each case runs the console script in a child process, with a state directory asked for and a home of its own.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from runtime.bundle import SigningKey, pack, pack_contents, sign
from runtime.bundle.archive_writer import place_block
from runtime.bundle.bundle import Bundle
from runtime.bundle.signature import encode_block
from runtime.limits import KIB, MIB
from tests.console import ROOT, hostel
from tests.runtime.sandbox.proposals import leb, module, section
from tests.runtime.sandbox.test_compiler import bomb

HANG_S = 30.0
"""A guard against hanging, far above what is measured (and printed: pytest -s)."""
BUNDLE = ROOT / "sample_programs/echo/bundle"
KEY = SigningKey.from_seed(bytes(32))
KEYRING = f'[[key]]\npublic_key = "{KEY.public_key}"\n'


def _with(**members: bytes) -> bytes:
    """The echo bundle with some of its members replaced; `_` in a name stands for the full stop."""
    contents = {path.name: path.read_bytes() for path in BUNDLE.iterdir()}
    return pack_contents({**contents, **{name.replace("_", "."): data for name, data in members.items()}})


def _signed() -> bytes:
    return sign(pack(BUNDLE), KEY)


def _one_byte_of_the_module() -> bytes:
    """A byte of the stored archive is another one."""
    data = bytearray(_signed())
    data[len(data) // 2] ^= 1
    return bytes(data)


def _one_byte_repacked() -> bytes:
    """Somebody changed one character of the manifest, packed it properly and put the old signature back on."""
    manifest = (BUNDLE / "manifest.json").read_bytes().replace(b'"name": "1.0.0"', b'"name": "1.0.1"')
    block = encode_block(KEY.sign(Bundle.from_bytes(_signed()).claim))
    return place_block(_with(manifest_json=manifest), block)


def _zip(name: str, content: bytes) -> bytes:
    """What an ordinary tool makes."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(BUNDLE / "manifest.json", "manifest.json")
        archive.write(BUNDLE / "program.wasm", "program.wasm")
        archive.writestr(name, content)
    return made.getvalue()


def _compile_bomb() -> bytes:
    """10 KB: a function type with 1,000 parameters and 1,000 results, and calls of it in a row."""
    wide = b"\x60" + leb(1_000) + b"\x7f" * 1_000 + leb(1_000) + b"\x7f" * 1_000
    types = b"\x03\x60\x01\x7f\x01\x7f\x60\x02\x7f\x7f\x01\x7e" + wide
    calls = b"".join(b"\x20" + leb(number) for number in range(1_000)) + b"\x10\x02" * 2_600
    alloc, handle, wide_body = b"\x00\x41\x00\x0b", b"\x00\x42\x00\x0b", b"\x00" + calls + b"\x0b"
    bodies = b"".join(leb(len(body)) + body for body in (alloc, handle, wide_body))
    return (
        b"\0asm\x01\0\0\0"
        + section(1, types)
        + section(3, b"\x03\x00\x01\x02")
        + section(5, b"\x01\x00\x01")
        + section(7, b"\x03\x06memory\x02\x00\x0chostel_alloc\x00\x00\x0dhostel_handle\x00\x01")
        + section(10, b"\x03" + bodies)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A bundle, what is added to the command, and how it is refused."""

    make: Callable[[], bytes]
    words: tuple[str, ...] = ()
    exit_code: int
    code: str
    said: str


SIGNED = ("--require-signed", "--keyring", "keyring.toml")
CASES = {
    "unsigned": Case(make=lambda: pack(BUNDLE), words=SIGNED, exit_code=4, code="unsigned_bundle", said="not signed"),
    "stranger": Case(
        make=lambda: sign(pack(BUNDLE), SigningKey.from_seed(b"\1" * 32)),
        words=SIGNED, exit_code=4, code="key_unknown", said="not among the 1 of the keyring",
    ),
    "tampered": Case(make=_one_byte_of_the_module, exit_code=3, code="bundle_invalid", said="program.wasm"),
    "repacked": Case(make=_one_byte_repacked, exit_code=4, code="signature_invalid", said="signature"),
    "truncated": Case(make=lambda: _signed()[:-1], exit_code=3, code="bundle_invalid", said="end record"),
    "cut_in_half": Case(make=lambda: _signed()[:3_000], exit_code=3, code="bundle_invalid", said="end record"),
    "empty": Case(make=lambda: b"", exit_code=3, code="bundle_invalid", said="at least 22"),
    "zip_bomb": Case(
        make=lambda: _zip("zeros", bytes(64 * MIB)), exit_code=3, code="bundle_invalid", said="over ratio_max = 100"
    ),
    "lying_zip_bomb": Case(
        make=lambda: _zip("zeros", bytes(4 * MIB)).replace((4 * MIB).to_bytes(4, "little"), b"\0\0\1\0"),
        exit_code=3, code="bundle_invalid", said="65536",
    ),
    "outside": Case(make=lambda: _zip("../outside", b"x"), exit_code=3, code="bundle_invalid", said="'../outside'"),
    "unknown_import": Case(
        make=lambda: _with(program_wasm=module(imports='(import "env" "abort" (func))')),
        exit_code=5, code="module_refused", said="import 'env' 'abort' is not part of hostel_v1",
    ),
    "compile_bomb": Case(
        make=lambda: _with(program_wasm=_compile_bomb()),
        exit_code=5, code="module_refused", said="the cap params is 32",
    ),
    "four_gib": Case(
        make=lambda: pack(ROOT / "sample_programs/hostile/memory_declared/bundle"),
        exit_code=5, code="module_refused", said="the limit memory_bytes is 16777216",
    ),
    "grown_at_start": Case(
        make=lambda: _with(program_wasm=module(memory='(memory (export "memory") 65536)')),
        exit_code=5, code="module_refused", said="4294967296 bytes",
    ),
    "invalid_code": Case(
        make=lambda: _with(program_wasm=module().replace(b"\x41\x00\x0b", b"\x42\x00\x0b")),
        exit_code=5, code="module_refused", said="the compiler refused the module",
    ),
    "costly": Case(
        make=lambda: _with(program_wasm=bomb(MIB)), words=("--compile-limit", "cpu_s=1"),
        exit_code=6, code="compile_limit", said="over cpu_s = 1",
    ),
}  # fmt: skip


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "keyring.toml").write_text(KEYRING)
    yield tmp_path


def _tree(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Every path below, with what changes when somebody writes there."""
    found = {path: path.lstat() for path in (folder, *folder.rglob("*"))}
    return {str(path): (state.st_mode, state.st_size, state.st_mtime_ns) for path, state in found.items()}


@pytest.mark.parametrize("name", CASES)
def test_refused_in_one_line_with_nothing_written(home: Path, name: str) -> None:
    case = CASES[name]
    (home / "bundle.ma").write_bytes(case.make())
    before = _tree(home)
    done = hostel(home, "run", "bundle.ma", "anything", "--state", home / "state", *case.words)
    assert _tree(home) == before
    assert done.out == ""
    (line,) = [line for line in done.err.splitlines() if "warning: no key" not in line]
    assert line.startswith("hostel: bundle refused: ") and line.endswith(f" ({case.code})")
    assert case.said in line
    assert done.code == case.exit_code
    print(f"{name}: {done.seconds:.2f} s: {line}")
    assert done.seconds < HANG_S


@pytest.mark.parametrize("name", ["tampered", "costly"])
def test_without_a_state_directory_nothing_is_written_either(home: Path, name: str) -> None:
    case = CASES[name]
    (home / "bundle.ma").write_bytes(case.make())
    before = _tree(home)
    assert hostel(home, "run", "bundle.ma", "anything", *case.words).code == case.exit_code
    assert _tree(home) == before


@pytest.mark.parametrize("name", ["unsigned", "zip_bomb", "compile_bomb"])
def test_as_json_too(home: Path, name: str) -> None:
    case = CASES[name]
    (home / "bundle.ma").write_bytes(case.make())
    done = hostel(home, "run", "bundle.ma", "anything", "--json", *case.words)
    error = json.loads(done.out)["error"]
    assert (error["code"], error["exit_code"], done.code) == (case.code, case.exit_code, case.exit_code)
    assert case.said in error["message"]


@pytest.mark.parametrize(
    "words", [("--grant", "storag"), ("--limit", "cpu_us=0"), ("--config", "[]"), ("--fund", "1CNY")]
)
def test_wrong_options_leave_nothing_behind_either(home: Path, words: tuple[str, str]) -> None:
    (home / "bundle.ma").write_bytes(pack(BUNDLE))
    before = _tree(home)
    done = hostel(home, "run", "bundle.ma", "anything", "--state", home / "state", *words)
    assert _tree(home) == before
    assert done.code == 2
    assert done.err.splitlines()[-1].startswith("hostel: not done: ")


def test_the_bomb_is_what_it_is_said_to_be() -> None:
    assert 9 * KIB < len(_compile_bomb()) < 11 * KIB
