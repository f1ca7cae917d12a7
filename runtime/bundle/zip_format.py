"""The records of a ZIP file that a bundle may hold, and every limit on the container.

What lives here: the byte layout after PKWARE's APPNOTE 6.3.10 (§4.3.7, §4.3.12, §4.3.16), shared by the reader
(archive.py) and the writer (archive_writer.py), and the numbers. No decision about hostile bytes.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from runtime.limits import MIB

ARCHIVE_BYTES_MAX = 16 * MIB
"""The whole file; checked before anything in it is looked at."""
MEMBERS_MAX = 256
MEMBER_BYTES_MAX = 8 * MIB
"""One member, inflated: twice the largest module (`ModuleCaps.module_bytes`)."""
CONTENT_BYTES_MAX = 32 * MIB
"""All members together, inflated."""
RATIO_MAX = 100
"""Inflated bytes per deflated byte; deflate itself can reach 1,032. The writer stores what it could press harder."""

STORED, DEFLATED = 0, 8
UTF8_NAME = 0x0800
"""Flag bit 11: the name is UTF-8."""
LOCAL_SIGNATURE, CENTRAL_SIGNATURE, END_SIGNATURE = 0x04034B50, 0x02014B50, 0x06054B50


class LocalHeader(NamedTuple):
    """What precedes a member's bytes; its name follows."""

    signature: int
    needed: int
    flags: int
    method: int
    time: int
    date: int
    crc: int
    packed_bytes: int
    content_bytes: int
    name_bytes: int
    extra_bytes: int


LOCAL_LAYOUT = struct.Struct("<IHHHHHIIIHH")


class CentralHeader(NamedTuple):
    """A member's entry in the central directory; its name follows."""

    signature: int
    made_by: int
    needed: int
    flags: int
    method: int
    time: int
    date: int
    crc: int
    packed_bytes: int
    content_bytes: int
    name_bytes: int
    extra_bytes: int
    comment_bytes: int
    disk: int
    internal: int
    external: int
    offset: int

    def local(self) -> LocalHeader:
        """The local header that agrees with this entry."""
        return LocalHeader(
            LOCAL_SIGNATURE, self.needed, self.flags, self.method, self.time, self.date, self.crc,
            self.packed_bytes, self.content_bytes, self.name_bytes, self.extra_bytes,
        )  # fmt: skip


CENTRAL_LAYOUT = struct.Struct("<IHHHHHHIIIHHHHHII")


class EndRecord(NamedTuple):
    """The last 22 bytes of the file."""

    signature: int
    disk: int
    directory_disk: int
    disk_members: int
    members: int
    directory_bytes: int
    directory_offset: int
    comment_bytes: int


END_LAYOUT = struct.Struct("<IHHHHIIH")
