"""Reading a bundle's container: a strict ZIP reader over bytes in memory.

Nothing is extracted, nothing is skipped, nothing is guessed: the members lie one after the other from byte 0, the
central directory says the same as their headers, and between the last member and the directory there is nothing but
what `Layout.block` returns. So there is one way to read a file, for us and for every other reader. First the whole
layout is checked by the headers, then members are inflated, bounded by what the headers said.

What lives here: the rules of the container. Limits are in zip_format.py, names in names.py; what the block means is
signature.py's. No I/O. Any bytes give an `Archive` or raise `BundleError`.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from runtime.bundle import zip_format as fmt
from runtime.bundle.names import clash, path_over_limit, path_problem
from runtime.bundle.refusal import over_limit, refused, shown
from runtime.bundle.zip_format import CentralHeader, EndRecord, LocalHeader

_FLAGS_ALLOWED = 0x0002 | 0x0004 | fmt.UTF8_NAME
"""Bits 1 and 2 tell how hard deflate tried; they change nothing."""
_FLAGS_REFUSED = {
    0x0001: "is encrypted",
    0x0008: "has a data descriptor: sizes must stand in the header",
    0x0020: "is patched data",
    0x0040: "is encrypted",
    0x2000: "is encrypted (masked header)",
}
_DOS_ATTRIBUTES_ALLOWED = 0x21
"""Read-only and archive; not folder, label, hidden or system."""
_ZIP64_16, _ZIP64_32 = 0xFFFF, 0xFFFFFFFF


@dataclass(slots=True, kw_only=True)
class InflateBudget:
    """How many bytes inflating may produce in all, and how many it did, refused members included."""

    bytes_max: int = fmt.CONTENT_BYTES_MAX
    spent: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One member as the directory tells it, where its bytes begin included; not inflated."""

    path: str
    header: CentralHeader
    start: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where everything lies: members from 0 to `members_end`, then the block, then the directory."""

    entries: tuple[Entry, ...]
    members_end: int
    directory_start: int
    end: EndRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """A container that was read to its last byte."""

    contents: Mapping[str, bytes] = field(repr=False)
    """Path → bytes, in the order of the file."""
    block: bytes
    """The bytes between the last member and the central directory; empty where there are none."""
    unsigned_sha256: bytes
    """SHA-256 of the file as it is without the block: the same before and after signing."""


def read_archive(data: bytes, budget: InflateBudget | None = None) -> Archive:
    """Read a whole container, every size enforced while inflating.

    Args:
        data: the file; at most `ARCHIVE_BYTES_MAX` of it are looked at.
        budget: counts what was inflated, also where this raises; by default a fresh one.

    Raises:
        BundleError: any rule of docs/protocol.md "Container" is broken; nothing was kept.
    """
    budget = budget or InflateBudget()
    layout = read_layout(data)
    contents = {entry.path: _content(data, entry, budget) for entry in layout.entries}
    return Archive(
        contents=MappingProxyType(contents),
        block=data[layout.members_end : layout.directory_start],
        unsigned_sha256=_unsigned_sha256(data, layout),
    )


def read_layout(data: bytes) -> Layout:
    """Check every header, and that every byte of the file belongs to something; inflates nothing.

    Raises:
        BundleError: as `read_archive`.
    """
    end = _end_record(data)
    headers = list(_directory(data, end))
    entries, position = [], 0
    for raw_name, header in headers:
        path = _path(raw_name, header)
        entries.append(Entry(path=path, header=header, start=_local_start(data, path, raw_name, header, position, end)))
        position = entries[-1].start + header.packed_bytes
    twins = clash(entry.path for entry in entries)
    if twins is not None:
        raise refused(f"{twins}; paths must differ in more than case and composition")
    total = sum(entry.header.content_bytes for entry in entries)
    if total > fmt.CONTENT_BYTES_MAX:
        raise over_limit("all members together", total, "content_bytes_max", fmt.CONTENT_BYTES_MAX, "bytes")
    return Layout(entries=tuple(entries), members_end=position, directory_start=end.directory_offset, end=end)


def _end_record(data: bytes) -> EndRecord:
    """The end record, which is the last 22 bytes and nowhere else: a comment would make two readings possible."""
    if len(data) > fmt.ARCHIVE_BYTES_MAX:
        raise over_limit("the bundle", len(data), "archive_bytes_max", fmt.ARCHIVE_BYTES_MAX, "bytes")
    at = len(data) - fmt.END_LAYOUT.size
    if at < 0:
        raise refused(f"{len(data)} bytes are no bundle: a ZIP file has at least {fmt.END_LAYOUT.size}")
    end = EndRecord._make(fmt.END_LAYOUT.unpack_from(data, at))
    if end.signature != fmt.END_SIGNATURE:
        raise refused(
            "no ZIP end record in the last 22 bytes: no ZIP file, cut short, or with a comment or data after it"
        )
    if end.comment_bytes:
        raise refused(f"the archive has a comment of {end.comment_bytes} bytes; none is allowed")
    if _ZIP64_16 in (end.members, end.disk_members) or _ZIP64_32 in (end.directory_bytes, end.directory_offset):
        raise refused("the archive is ZIP64; a bundle never needs it")
    if end.disk or end.directory_disk or end.disk_members != end.members:
        raise refused(f"the archive spans several disks (this is {end.disk}, the directory on {end.directory_disk})")
    if not end.members:
        raise refused("the archive has no members")
    if end.members > fmt.MEMBERS_MAX:
        raise over_limit("the archive", end.members, "members_max", fmt.MEMBERS_MAX, "members")
    if end.directory_offset + end.directory_bytes != at:
        raise refused(
            f"the central directory ({end.directory_bytes} bytes at {end.directory_offset}) does not end where the end"
            f" record begins ({at})"
        )
    return end


def _directory(data: bytes, end: EndRecord) -> Iterator[tuple[bytes, CentralHeader]]:
    """Raw name and entry of each member; the entries fill the central directory exactly."""
    position, stop = end.directory_offset, end.directory_offset + end.directory_bytes
    for number in range(1, end.members + 1):
        after = position + fmt.CENTRAL_LAYOUT.size
        if after > stop:
            raise refused(f"the central directory ends inside entry {number} of {end.members}")
        header = CentralHeader._make(fmt.CENTRAL_LAYOUT.unpack_from(data, position))
        if header.signature != fmt.CENTRAL_SIGNATURE:
            raise refused(f"entry {number} of the central directory, at {position}, has no entry's signature")
        position = after + header.name_bytes
        if header.extra_bytes or header.comment_bytes:
            raise refused(
                f"entry {number} has {header.extra_bytes} bytes of extra fields and {header.comment_bytes} of comment;"
                " none are allowed"
            )
        if position > stop:
            raise refused(f"the central directory ends inside the name of entry {number} of {end.members}")
        yield data[after:position], header
    if position != stop:
        raise refused(f"the central directory has {stop - position} bytes after its last entry")


def _path(raw_name: bytes, header: CentralHeader) -> str:
    """The member's path, once its name and all that its directory entry says are in order."""
    try:
        path = raw_name.decode("utf-8" if header.flags & fmt.UTF8_NAME else "ascii")
    except UnicodeDecodeError:
        raise refused(f"member name {shown(raw_name)} is not UTF-8, or not ASCII and not flagged as UTF-8") from None
    what = f"member {shown(path)}"
    if (over := path_over_limit(path)) is not None:
        limit, value, used, unit = over
        raise over_limit(what, used, limit, value, unit)
    problem = path_problem(path) or _header_problem(header)
    if problem is not None:
        raise refused(f"{what} {problem}")
    if header.method == fmt.DEFLATED and header.content_bytes > fmt.RATIO_MAX * header.packed_bytes:
        ratio = -(-header.content_bytes // max(1, header.packed_bytes))
        raise over_limit(what, ratio, "ratio_max", fmt.RATIO_MAX, "inflated bytes per deflated byte")
    if header.content_bytes > fmt.MEMBER_BYTES_MAX:
        raise over_limit(what, header.content_bytes, "member_bytes_max", fmt.MEMBER_BYTES_MAX, "bytes")
    return path


def _header_problem(header: CentralHeader) -> str | None:
    """What a directory entry says that no bundle may, in words that follow the path."""
    for flag, problem in _FLAGS_REFUSED.items():
        if header.flags & flag:
            return f"{problem} (flags 0x{header.flags:04x})"
    if header.flags & ~_FLAGS_ALLOWED:
        return f"has unknown flags 0x{header.flags:04x}"
    if _ZIP64_32 in (header.packed_bytes, header.content_bytes, header.offset) or header.disk == _ZIP64_16:
        return "is ZIP64; a bundle never needs it"
    if header.needed not in (10, 20):
        return f"needs ZIP version {header.needed}; 10 and 20 are allowed"
    if header.disk:
        return f"lies on disk {header.disk}; there is only one"
    if (header.external >> 28) not in (0, 8) or header.external & 0xFFFF & ~_DOS_ATTRIBUTES_ALLOWED:
        return f"is no regular file: a folder, link or device (attributes 0x{header.external:08x})"
    if header.internal > 1:
        return f"has unknown internal attributes 0x{header.internal:04x}"
    return _size_problem(header)


def _size_problem(header: CentralHeader) -> str | None:
    if header.method == fmt.STORED:
        if header.packed_bytes != header.content_bytes:
            return f"is stored, yet has {header.packed_bytes} bytes packed and {header.content_bytes} unpacked"
    elif header.method != fmt.DEFLATED:
        return f"is packed by method {header.method}; stored ({fmt.STORED}) and deflated ({fmt.DEFLATED}) are allowed"
    return None


def _local_start(data: bytes, path: str, raw_name: bytes, header: CentralHeader, position: int, end: EndRecord) -> int:
    """Where the member's bytes begin, once its local header is at `position` and says what the directory says."""
    if header.offset != position:
        raise refused(
            f"member {shown(path)} begins at {header.offset}, the one before it ends at {position}: members must lie"
            " in the directory's order, from byte 0, without gap or overlap"
        )
    start = position + fmt.LOCAL_LAYOUT.size + len(raw_name)
    if start + header.packed_bytes > end.directory_offset:
        raise refused(f"member {shown(path)} runs into the central directory at {end.directory_offset}")
    local = LocalHeader._make(fmt.LOCAL_LAYOUT.unpack_from(data, position))
    for name, here, there in zip(LocalHeader._fields, local, header.local(), strict=True):
        if here != there:
            raise refused(f"member {shown(path)}: {name} is {here} in its header and {there} in the central directory")
    if data[start - len(raw_name) : start] != raw_name:
        raise refused(f"member {shown(path)} has another name in its own header")
    return start


def _content(data: bytes, entry: Entry, budget: InflateBudget) -> bytes:
    header, what = entry.header, f"member {shown(entry.path)}"
    packed = data[entry.start : entry.start + header.packed_bytes]
    content = packed if header.method == fmt.STORED else _inflated(packed, header.content_bytes, what, budget)
    if zlib.crc32(content) != header.crc:
        raise refused(f"{what}: CRC-32 is {zlib.crc32(content):08x}, its header says {header.crc:08x}")
    return content


def _inflated(packed: bytes, size: int, what: str, budget: InflateBudget) -> bytes:
    """Exactly `size` bytes out of the whole of `packed`; never more than one byte over `size` or over the budget."""
    room = min(size, budget.bytes_max - budget.spent) + 1
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        content = stream.decompress(packed, room)
    except zlib.error:
        raise refused(f"{what}: its {len(packed)} bytes are no deflate stream") from None
    budget.spent += len(content)
    if budget.spent > budget.bytes_max:
        raise over_limit(f"{what} inflated", budget.spent, "content_bytes_max", budget.bytes_max, "bytes")
    if len(content) > size:
        raise refused(f"{what} inflates to more than the {size} bytes its header says")
    if not stream.eof or len(content) < size:
        raise refused(f"{what} inflates to {len(content)} bytes of the {size} its header says")
    if stream.unused_data:
        raise refused(f"{what} has {len(stream.unused_data)} bytes after its deflate stream")
    return content


def _unsigned_sha256(data: bytes, layout: Layout) -> bytes:
    digest = hashlib.sha256(memoryview(data)[: layout.members_end])
    digest.update(memoryview(data)[layout.directory_start : len(data) - fmt.END_LAYOUT.size])
    digest.update(fmt.END_LAYOUT.pack(*layout.end._replace(directory_offset=layout.members_end)))
    return digest.digest()
