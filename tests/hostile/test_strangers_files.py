"""Files that a developer got from a stranger: projects that are built, records that are replayed. Building compiles
them and runs nothing of theirs; a record's pointers stay inside of the guest's memory.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import stat
from pathlib import Path
from typing import Any

import pytest

from runtime import Ending, UsageError, wire
from runtime.receipt import Receipt, Usage
from runtime.recording import record as records
from runtime.toolchains import BuildError, Missing, ziglang
from runtime.toolchains.assemblyscript import CURE, AssemblyScript
from runtime.toolchains.rust import TARGET, Rust

GUEST = Path(__file__).resolve().parents[2] / "host_api/guest"


# ---- building --------------------------------------------------------------------------------------------------------
@pytest.mark.skipif(isinstance(ziglang.find(), Missing), reason=f"no zig here: {ziglang.CURE}")
def test_a_folder_that_is_called_as_the_compiler_is_not_run(tmp_path: Path) -> None:
    package = tmp_path / "ziglang"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()")
    with pytest.raises(BuildError):
        ziglang.build(["version"], "main.c", tmp_path)
    assert not (tmp_path / "ran").exists()


def test_a_rust_toolchain_that_a_project_names_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands in for rustup's rustc obeys a file in the folder it runs in, as that does."""
    toolchain, project = tmp_path / "toolchain", tmp_path / "project"
    (toolchain / "lib/rustlib" / TARGET / "lib").mkdir(parents=True)
    _program(toolchain / "lib/rustlib/x/bin/rust-lld", "exit 1")
    _program(toolchain / "bin/rustc", 'for word; do case "$word" in */program.wasm) echo module > "$word";; esac; done')
    _program(tmp_path / "rustc", f"""
        if [ -f rust-toolchain.toml ]; then touch {tmp_path}/ran; fi
        if [ "$1" = --print=sysroot ]; then echo {toolchain}; else exec {toolchain}/bin/rustc "$@"; fi""")  # fmt: skip
    monkeypatch.setenv("RUSTC", str(tmp_path / "rustc"))
    (project / "source").mkdir(parents=True)
    (project / "rust-toolchain.toml").write_text('[toolchain]\npath = "evil"\n')
    monkeypatch.chdir(project)
    assert not isinstance(Rust().find(), Missing)
    assert Rust().build(project, project / "sdk", project).module == b"module\n"
    assert not (tmp_path / "ran").exists()


def _program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.mark.skipif(isinstance(AssemblyScript().find(), Missing), reason=f"no asc here: {CURE}, and HOSTEL_ASC")
def test_a_transform_that_a_project_names_is_not_run(tmp_path: Path) -> None:
    project = tmp_path / "project"
    shutil.copytree(GUEST / "assemblyscript/template", project)
    shutil.copytree(GUEST / "assemblyscript", project / "sdk", ignore=shutil.ignore_patterns("template"))
    (project / "asconfig.json").write_text('{"options": {"transform": ["./evil.mjs"]}}')
    (project / "evil.mjs").write_text(
        f'import fs from "fs"; fs.writeFileSync({json.dumps(str(tmp_path / "ran"))}, "");\nexport default class {{}}\n'
    )
    assert AssemblyScript().build(project, project / "sdk", project).module.startswith(b"\0asm")
    assert not (tmp_path / "ran").exists()


# ---- replaying -------------------------------------------------------------------------------------------------------
def _event(**told: Any) -> records.Event:
    plain: dict[str, Any] = {"arguments": (0, 0, 0, 0), "read": (), "written": (), "answer": 1, "fuel_left": 0}
    return records.Event(name="hostel_v1.call", **{**plain, **told})


def _record(event: records.Event) -> bytes:
    head = records.Head(
        app_id="org.example.guest", release="1", identity="", module_sha256=hashlib.sha256(b"").hexdigest(), module=b"",
        script=None, limits={}, message=b"", notification=False, wasmtime="", machine="",
    )  # fmt: skip
    receipt = Receipt(call_id="", app_id="", release="1", method="m", ending=Ending.COMPLETED, usage=Usage())
    end = records.End(response=b"", detail="", is_cut=False, receipt=receipt)
    return records.encoded(records.Record(head=head, events=(event,), end=end))


def rewritten(record: bytes, at: int) -> bytes:
    """The record with another address in all that its first import wrote, and a digest that fits."""
    content, frames, place = record[:-32], [], record.index(b"\n") + 1
    while place < len(content):
        length = int.from_bytes(content[place : place + 4], "big")
        frames.append(wire.decode(content[place + 4 : place + 4 + length], 1 << 26))
        place += 4 + length
    frames[1]["written"] = [[at, data] for _, data in frames[1]["written"]]
    parts = [record[: record.index(b"\n") + 1]]
    for frame in map(wire.encode, frames):
        parts += (len(frame).to_bytes(4, "big"), frame)
    whole = b"".join(parts)
    return whole + hashlib.sha256(whole).digest()


@pytest.mark.parametrize("at", [-1, -65_536, -(1 << 63), 1 << 32, (1 << 64) - 8])
def test_a_record_cannot_write_beside_the_guests_memory(at: int) -> None:
    data = _record(_event(written=(records.Piece(0, b"x"),)))
    assert records.decoded(rewritten(data, 65_535)).events[0].written[0].at == 65_535
    with pytest.raises(UsageError, match="cannot be read"):
        records.decoded(rewritten(data, at))


def test_a_record_of_more_than_is_ever_recorded_is_refused_before_it_is_read_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A thousand pieces of nothing are a few kilobytes in the file, and some hundred in memory."""
    empty = records.Piece(0, b"")
    data = _record(_event(read=(empty,) * 1_000))
    monkeypatch.setattr("runtime.recording.record.EVENTS_BYTES_MAX", 10_000)
    with pytest.raises(UsageError, match="more is in it than is ever recorded"):
        records.decoded(data)
    assert records.decoded(_record(_event(read=(empty,) * 100))).events
