"""Writing a bundle's container: the same contents always give the same bytes.

Members in the order of their paths' UTF-8 bytes, one fixed time (1980-01-01, the earliest ZIP knows), mode 0644, no
extra fields. Deflated where that is smaller, stored otherwise. The pressed bytes are zlib's at level 9: another
implementation of deflate may press differently, which changes the file but never the bundle's identity.

What lives here: making and re-making files that archive.py accepts. No I/O.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping

from runtime.bundle import zip_format as fmt
from runtime.bundle.archive import read_layout
from runtime.bundle.names import path_problem
from runtime.bundle.refusal import over_limit, refused, shown
from runtime.bundle.zip_format import CentralHeader, EndRecord

_VERSION = 20
_MADE_BY = 3 << 8 | _VERSION
"""Unix, so that the mode below is read as one."""
_DATE = (0 << 9) | (1 << 5) | 1
_REGULAR_0644 = 0o100644 << 16


def write_archive(contents: Mapping[str, bytes]) -> bytes:
    """A container with these members.

    Raises:
        BundleError: a path, a member's size, their number or the whole is over what `read_archive` accepts.
    """
    if not 1 <= len(contents) <= fmt.MEMBERS_MAX:
        raise over_limit("the bundle", len(contents), "members_max", fmt.MEMBERS_MAX, "members")
    members, directory = bytearray(), bytearray()
    for path in sorted(contents, key=lambda path: path.encode("utf-8", "surrogatepass")):
        name, header, packed = _member(path, contents[path], len(members))
        members += fmt.LOCAL_LAYOUT.pack(*header.local()) + name + packed
        directory += fmt.CENTRAL_LAYOUT.pack(*header) + name
    end = EndRecord(fmt.END_SIGNATURE, 0, 0, len(contents), len(contents), len(directory), len(members), 0)
    data = bytes(members + directory) + fmt.END_LAYOUT.pack(*end)
    read_layout(data)
    return data


def place_block(data: bytes, block: bytes) -> bytes:
    """The same container with `block` right before the central directory, in place of any that is there.

    An empty `block` takes the old one out.

    Raises:
        BundleError: `data` is no valid container, or has become larger than one may be.
    """
    layout = read_layout(data)
    end = layout.end._replace(directory_offset=layout.members_end + len(block))
    directory = data[layout.directory_start : len(data) - fmt.END_LAYOUT.size]
    placed = data[: layout.members_end] + block + directory + fmt.END_LAYOUT.pack(*end)
    read_layout(placed)
    return placed


def _member(path: str, content: bytes, offset: int) -> tuple[bytes, CentralHeader, bytes]:
    problem = path_problem(path)
    if problem is not None:
        raise refused(f"member {shown(path)} {problem}")
    if len(content) > fmt.MEMBER_BYTES_MAX:
        raise over_limit(f"member {shown(path)}", len(content), "member_bytes_max", fmt.MEMBER_BYTES_MAX, "bytes")
    name, (method, packed) = path.encode(), _packed(content)
    header = CentralHeader(
        fmt.CENTRAL_SIGNATURE, _MADE_BY, _VERSION, fmt.UTF8_NAME, method, 0, _DATE, zlib.crc32(content),
        len(packed), len(content), len(name), 0, 0, 0, 0, _REGULAR_0644, offset,
    )  # fmt: skip
    return name, header, packed


def _packed(content: bytes) -> tuple[int, bytes]:
    """Method and bytes: deflated if that is smaller and inside the ratio the reader allows."""
    stream = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS, 9)
    packed = stream.compress(content) + stream.flush()
    if len(packed) < len(content) <= fmt.RATIO_MAX * len(packed):
        return fmt.DEFLATED, packed
    return fmt.STORED, content
