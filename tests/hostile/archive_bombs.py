"""Bundles that are cheap to send and dear, or dangerous, to unpack: made by hand, used by test_archive_bombs.py.

`REFUSED`: name → the bytes, and a word of the refusal. All are the good bundle with one thing changed, or begin like
one, so that nothing else refuses them first.
"""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping

from runtime.bundle import pack_contents
from tests.hostile.guests import module
from tests.runtime.bundle.conftest import RawMember, ZipBuilder

MIB = 1 << 20
MANIFEST = {
    "app_id": "org.example.archive", "name": "Archive", "version": {"name": "1", "code": 1},
    "program": {"module": "program.wasm"},
}  # fmt: skip
CONTENTS = {"manifest.json": json.dumps(MANIFEST).encode(), "program.wasm": module()}
LINK, DEVICE, FOLDER = 0o120777 << 16, 0o020666 << 16, 0o040755 << 16


def good(*more: RawMember, last: bool = True, **changes: object) -> bytes:
    """The good bundle, with further members behind (or before) its own."""
    own = [RawMember(name=name.encode(), content=content) for name, content in CONTENTS.items()]
    members = [*own, *more] if last else [*more, *own]
    return ZipBuilder.build(*members, **changes)  # type: ignore[arg-type]


def named(name: bytes) -> Callable[[], bytes]:
    return lambda: good(RawMember(name=name))


def of_mode(external: int) -> Callable[[], bytes]:
    return lambda: good(RawMember(name=b"link", content=b"/etc/passwd", central={"external": external}))


def zeros(size: int, said: int | None = None) -> bytes:
    """A member that inflates to so many zeros, and says so, or says something else."""
    both = {} if said is None else {"size": said}
    return good(RawMember(name=b"zeros", content=bytes(size), deflate=True, both=both))


def overlapping(count: int) -> bytes:
    """Many entries of the directory that all mean the same member: a kilobyte that unpacks to megabytes."""
    kernel = RawMember(name=b"kernel", content=b"0123456789" * 1_000)
    words, _ = kernel.fields()
    offset = len(good()) - _directory_bytes()
    same = {**words, "offset": offset}
    entries = [_entry(b"copy%d" % number, same) for number in range(count)]
    tail = b"".join(entries)
    return good(kernel, tail=tail, end={"members": 3 + count, "disk_members": 3 + count})


def _directory_bytes() -> int:
    return sum(46 + len(name) for name in CONTENTS) + 22


def _entry(name: bytes, words: Mapping[str, int]) -> bytes:
    fields = (
        0x02014B50, words["made_by"], words["needed"], words["flags"], words["method"], words["time"], words["date"],
        words["crc"], words["packed"], words["size"], len(name), 0, 0, 0, 0, words["external"], words["offset"],
    )  # fmt: skip
    return struct.pack("<IHHHHHHIIIHHHHHII", *fields) + name


def empty_blocks(size: int) -> bytes:
    """Deflate blocks that hold nothing, one after the other: work for an unpacker, and no byte comes of it."""
    packed = b"\x00\x00\x00\xff\xff" * (size // 5) + b"\x03\x00"
    return good(RawMember(name=b"empty", content=b"", deflate=True, packed=packed))


def in_each_other(levels: int) -> bytes:
    """An archive in an archive, and so on; the innermost is a megabyte of zeros."""
    inner = bytes(MIB)
    for _ in range(levels):
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("inner.zip", inner)
        inner = made.getvalue()
    return pack_contents({**CONTENTS, "inner.zip": inner})


def by_other_tools(method: int) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", method) as archive:
        for name, content in CONTENTS.items():
            archive.writestr(name, content * 20)
    return made.getvalue()


def many(count: int) -> bytes:
    return good(*(RawMember(name=b"%d" % number, content=b"") for number in range(count)))


REFUSED: Mapping[str, tuple[Callable[[], bytes], str]] = {
    # much out of little
    "8 MiB of zeros": (lambda: zeros(8 * MIB), "ratio_max"),
    "8 MiB of zeros that say they are 10 bytes": (lambda: zeros(8 * MIB, 10), "more than the 10 bytes"),
    "64 MiB of zeros that say they are 1 MiB": (lambda: zeros(64 * MIB, MIB), "more than the 1048576 bytes"),
    "4 GiB by its header": (
        lambda: good(RawMember(name=b"huge", deflate=True, both={"size": 0xFFFF_FFFE})), "ratio_max",
    ),
    "200 entries of one member": (lambda: overlapping(200), "without gap or overlap"),
    "300 members": (lambda: many(300), "members_max"), "20,000 members": (lambda: many(20_000), "members_max"),
    "17 MiB": (lambda: good(RawMember(name=b"long", content=bytes(17 * MIB))), "archive_bytes_max"),
    # out of the folder
    "a name that leads up": (named(b"../../etc/cron.d/x"), "segment '..'"),
    "a name that leads up from inside": (named(b"a/../../x"), "segment '..'"),
    "an absolute name": (named(b"/etc/passwd"), "absolute"), "a drive": (named(b"C:/x"), "holds :"),
    "a backslash": (named(b"..\\x"), "holds \\"), "a NUL": (named(b"a.txt\0.wasm"), "U+0000"),
    "a link": (of_mode(LINK), "no regular file"), "a device": (of_mode(DEVICE), "no regular file"),
    "a folder": (of_mode(FOLDER), "no regular file"),
    # two readings
    "a name twice": (named(b"program.wasm"), "is there twice"),
    "a name in other letters": (named(b"Program.wasm"), "one name"),
    "a file and a folder of one name": (named(b"program.wasm/x"), "one name"),
    "another name in its header": (
        lambda: good(RawMember(name=b"shown.txt", local_name=b"other.txt")), "another name",
    ),
    "bytes before it": (lambda: b"MZ" + good(), "does not end where"),
    "bytes after it": (lambda: good(after=b"PK"), "data after"),
    "a comment": (lambda: good(end={"comment": 2}, after=b"PK"), "comment"),
    "bytes between its members": (lambda: good(RawMember(name=b"x", before=b"hidden")), "without gap or overlap"),
    "a wrong checksum": (lambda: good(RawMember(name=b"x", both={"crc": zlib.crc32(b"other")})), "CRC-32"),
    # what nobody should have to read
    "encrypted": (lambda: good(RawMember(name=b"x", both={"flags": 0x801})), "encrypted"),
    "sizes behind the data": (lambda: good(RawMember(name=b"x", both={"flags": 0x808})), "data descriptor"),
    "pressed by bzip2": (lambda: by_other_tools(zipfile.ZIP_BZIP2), "ZIP version 46"),
    "pressed by LZMA": (lambda: by_other_tools(zipfile.ZIP_LZMA), "ZIP version 63"),
    "sizes of 64 bits": (lambda: good(RawMember(name=b"x", both={"size": 0xFFFF_FFFF})), "ZIP64"),
    "cut short": (lambda: good()[:-9], "cut short"), "nothing": (lambda: b"", "0 bytes"),
}  # fmt: skip

HARMLESS: Mapping[str, Callable[[], bytes]] = {
    "as it should be": good,
    "archives in each other": lambda: in_each_other(12),
    "a megabyte of empty blocks": lambda: empty_blocks(MIB),
}
"""Taken, and no more is unpacked of it than is said."""
