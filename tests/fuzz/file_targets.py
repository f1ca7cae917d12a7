"""Targets that read files of a host which were elsewhere since, or lie on a disk that spoils them: records of calls,
backups, the journal, the signed head of an audit."""

from __future__ import annotations

import hashlib
import json
import random
import struct
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import msgspec

from host_api.audit import Head
from runtime import UsageError, signed_head, wire
from runtime.backup import MANIFEST, BackupRefused, _manifest
from runtime.errors import Ending
from runtime.journal import entries
from runtime.receipt import Receipt, Usage
from runtime.recording import record as records
from runtime.testing import make_session
from tests.fuzz.format_targets import changed_json, one_line
from tests.fuzz.mutated_bytes import changed
from tests.fuzz.search import Target, simply


# ---- records of calls ------------------------------------------------------------------------------------------------
def run_record(data: bytes) -> None:
    for whole in (data, data[:-32] + hashlib.sha256(data[:-32]).digest()):
        try:
            record = records.decoded(whole)
            assert records.decoded(records.encoded(record)) == record
            assert record.limits is not None
        except UsageError as error:
            one_line(error)


def record_seeds() -> Iterator[bytes]:
    script = wire.encode([["main.js", b"export default {}"]])
    head = records.Head(
        app_id="org.example.echo", release="1", identity="0" * 64, module_sha256=hashlib.sha256(b"\0asm").hexdigest(),
        module=b"\0asm", script=None, limits={"cpu_us": 50_000}, message=wire.request(1, "run", {}),
        notification=False, wasmtime="48.0.0", machine="x86_64",
    )  # fmt: skip
    piece = records.Piece(8, b"\x93\x02")
    event = records.Event(
        name="hostel_v1.call", arguments=(8, 2, 16, 32), read=(piece,), written=(piece,), answer=2, fuel_left=7
    )
    receipt = Receipt(
        call_id="1", app_id="org.example.echo", release="1", method="run", ending=Ending.COMPLETED, usage=Usage()
    )
    end = records.End(response=b"\x94\x01\x01\xc0\xc0", detail="", is_cut=False, receipt=receipt)
    yield records.encoded(records.Record(head=head, events=(event, event), end=end))
    scripted = msgspec.structs.replace(head, module=b"", script=script)
    yield records.encoded(records.Record(head=scripted, events=(), end=end))


def _frame_of_record(data: bytes, draw: random.Random) -> bytes:
    """A change in one frame, whose length fits again."""
    frames, at = [], 16
    while at + 4 <= len(data) - 32:
        (length,) = struct.unpack_from(">I", data, at)
        frames.append(data[at + 4 : at + 4 + length])
        at += 4 + length
    if frames:
        which = draw.randrange(len(frames))
        frames[which] = changed(frames[which], draw, most=2)
        if draw.random() < 0.2:
            frames.insert(draw.randint(0, len(frames)), draw.choice(frames))
    content = data[:16] + b"".join(struct.pack(">I", len(one)) + one for one in frames)
    return content + hashlib.sha256(content).digest()


# ---- what the host wrote, and a disk may have spoilt -----------------------------------------------------------------
def run_journal(data: bytes) -> None:
    for kind in ("receipts", "logs"):
        for line in data.split(b"\n"):
            entries.decode(kind, line)


def journal_seeds() -> Iterator[bytes]:
    usage = Usage()
    receipt = Receipt(
        call_id="1", app_id="org.example.echo", release="1", method="run", ending=Ending.FAILED, usage=usage
    )
    session, encoder = make_session(), entries.Encoder(bytes(32))
    yield encoder.receipt(1, receipt, session) + encoder.line(1, session, "info", "a line")


def run_head(data: bytes) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder, "head.json")
        path.write_bytes(data)
        try:
            signed_head.read(path)
        except UsageError as error:
            assert "\n" not in error.message


def head_seeds() -> Iterator[bytes]:
    made = signed_head.sign(Head(n=1, hash=bytes(32)), 1, bytes(range(32)))
    yield json.dumps(made.as_dict()).encode()


# ---- backups ---------------------------------------------------------------------------------------------------------
def run_backup(data: bytes) -> None:
    with TemporaryDirectory() as folder:
        Path(folder, MANIFEST).write_bytes(data)
        try:
            _manifest(Path(folder))
        except (BackupRefused, UsageError) as error:
            assert "\n" not in error.message


def backup_seeds() -> Iterator[bytes]:
    file: dict[str, Any] = {"path": "hostel.db", "bytes": 1, "sha256": "0" * 64}
    yield json.dumps(
        {"format": "hostel backup 1", "made_us": 1, "schema": "0001_x", "head": {"n": 1, "hash": "00"}, "files": [file]}
    ).encode()


FILES: Final = (
    Target(name="record", about="the file of a recorded call", opened=simply(run_record), seeds=record_seeds,
           changes=(_frame_of_record,)),
    Target(name="backup", about="what a backup says of itself", opened=simply(run_backup), seeds=backup_seeds,
           changes=(changed_json,)),
    Target(name="journal", about="lines of the journal", opened=simply(run_journal), seeds=journal_seeds),
    Target(name="head", about="the signed head of an audit", opened=simply(run_head), seeds=head_seeds,
           changes=(changed_json,)),
)  # fmt: skip
