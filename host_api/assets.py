"""asset.*: what a program's own bundle brings besides its code: texts, tables, pictures. Needs no capability.

What lives here: the method, and the type that a path's ending stands for. Which members are assets is decided when a
bundle is read; where they lie is releases/contents.py's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final

import msgspec

from host_api.contract import Bound, Method, Params, Result, Session
from host_api.errors import ApiError, ErrorCode
from host_api.releases import contents
from host_api.store import Store

PATH_CHARS_MAX: Final = 255
READ_BYTES_MAX: Final = 192 << 10
"""In one answer: it fits into a response's default size, with what is around it."""
OFFSET_MAX: Final = 1 << 40
_TYPES: Final[Mapping[str, str]] = {
    "avif": "image/avif", "css": "text/css", "csv": "text/csv", "gif": "image/gif", "html": "text/html",
    "ico": "image/vnd.microsoft.icon", "jpeg": "image/jpeg", "jpg": "image/jpeg", "js": "text/javascript",
    "json": "application/json", "md": "text/markdown", "pdf": "application/pdf", "png": "image/png",
    "svg": "image/svg+xml", "txt": "text/plain", "wasm": "application/wasm", "webp": "image/webp",
    "woff2": "font/woff2", "xml": "application/xml",
}  # fmt: skip


class ReadParams(Params, frozen=True, kw_only=True):
    """Which member of the bundle, and which part of it."""

    path: Annotated[str, msgspec.Meta(min_length=1, max_length=PATH_CHARS_MAX)]
    """As it stands in the bundle: `i18n/zh.json`."""
    offset: Annotated[int, msgspec.Meta(ge=0, le=OFFSET_MAX)] = 0
    """Bytes before the part."""
    length: Annotated[int, msgspec.Meta(ge=1, le=READ_BYTES_MAX)] = READ_BYTES_MAX
    """Bytes of the part, at most."""


class ReadResult(Result, frozen=True, kw_only=True):
    """The part, as far as the member goes."""

    data: bytes
    """Shorter than asked for at the member's end, and empty behind it."""
    size: int
    """Bytes of the whole member."""
    media_type: str | None
    """By the ending of its path; nil for one that is not known."""


READ = Method(
    name="asset.read",
    capability=None,
    params=ReadParams,
    result=ReadResult,
    errors=(ErrorCode.NOT_FOUND,),
    waits=False,
    summary="Read a part of a member of the program's own bundle: any but the manifest, the module and scripts.",
    example={"path": "i18n/zh.json", "length": 4_096},
    answer={"data": b'{"hello": "\xe4\xbd\xa0\xe5\xa5\xbd"}', "size": 19, "media_type": "application/json"},
)


def media_type(path: str) -> str | None:
    """What a member of that path is; None: its ending says nothing."""
    _, dot, ending = path.rpartition("/")[2].rpartition(".")
    return _TYPES.get(ending.lower()) if dot else None


class AssetService:
    """Answers asset.*; holds nothing. The call's release decides what there is, also while another one comes."""

    def __init__(self, *, store: Store) -> None:
        self._store = store

    def bound(self) -> tuple[Bound, ...]:
        return (Bound(READ, self.read),)

    def read(self, session: Session, params: ReadParams) -> ReadResult:
        found = self._store.read(
            lambda tx: contents.read_asset(tx, session.assets_sha256, params.path, params.offset, params.length)
        )
        if found is None:
            raise ApiError(
                ErrorCode.NOT_FOUND, "the bundle has no such asset: paths are as packed, and scripts are none",
                details={"parameter": "path"},
            )  # fmt: skip
        size, data = found
        return ReadResult(data=data, size=size, media_type=media_type(params.path))
