"""Changes of a bundle's container that leave it a container: one field of a header, in one of its places or in both."""

from __future__ import annotations

import random
import struct
from contextlib import suppress
from typing import Any

from runtime.bundle import zip_format as fmt
from runtime.bundle.archive import read_layout
from runtime.errors import BundleError
from tests.fuzz.mutated_bytes import INTERESTING


def changed_field(source: bytes, draw: random.Random) -> bytes:
    """As it is where it is no container."""
    try:
        layout = read_layout(source)
    except BundleError:
        return source
    data = bytearray(source)
    where = draw.choice(("directory", "local", "both", "end"))
    with suppress(struct.error):  # a value wider than its field
        if where == "end":
            at = len(data) - fmt.END_LAYOUT.size
            end = fmt.EndRecord(*fmt.END_LAYOUT.unpack_from(data, at))
            fmt.END_LAYOUT.pack_into(data, at, *_changed(end, draw))
            return bytes(data)
        at = layout.directory_start
        for _ in range(draw.randrange(len(layout.entries))):
            at += fmt.CENTRAL_LAYOUT.size + fmt.CentralHeader(*fmt.CENTRAL_LAYOUT.unpack_from(data, at)).name_bytes
        header = fmt.CentralHeader(*fmt.CENTRAL_LAYOUT.unpack_from(data, at))
        told = _changed(header, draw)
        if where != "local":
            fmt.CENTRAL_LAYOUT.pack_into(data, at, *told)
        if where != "directory":
            fmt.LOCAL_LAYOUT.pack_into(data, header.offset, *told.local())
    return bytes(data)


def _changed(record: Any, draw: random.Random) -> Any:
    field = draw.choice(record._fields)
    value = getattr(record, field)
    near = (value + 1, max(0, value - 1), value ^ 1 << draw.randrange(16), draw.choice(INTERESTING))
    return record._replace(**{field: draw.choice(near)})
