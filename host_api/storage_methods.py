"""storage.*: the methods as they are declared. What answers them is in storage.py."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

import msgspec

from host_api.contract import Method, Params, Result
from host_api.errors import ErrorCode

CAPABILITY = "storage"
KEY_BYTES_MAX = 256
LIST_MAX = 500
"""Keys in one answer: 500 of the longest stay inside a response's default size and the wire's number of elements."""
VERSION_MAX = 2**53

Scope: TypeAlias = Annotated[
    Literal["user", "program"], msgspec.Meta(description="this user's values, or the program's own")
]
Version: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=VERSION_MAX)]
_Key: TypeAlias = Annotated[
    str,
    msgspec.Meta(
        min_length=1, max_length=KEY_BYTES_MAX, description="1 to 256 bytes of UTF-8 without control characters"
    ),
]
_Prefix: TypeAlias = Annotated[str, msgspec.Meta(max_length=KEY_BYTES_MAX)]


class GetParams(Params, frozen=True, kw_only=True):
    """Which value."""

    key: _Key
    scope: Scope = "user"


class GetResult(Result, frozen=True, kw_only=True):
    """The value as it is now."""

    found: bool
    """False where there is no such key."""
    value: Any
    """As it was put; nil where there is none."""
    version: int
    """Of this value; 0 where there is none."""


class PutParams(Params, frozen=True, kw_only=True):
    """What to write, and over what."""

    key: _Key
    value: Any
    """At most 14 levels of lists and maps."""
    scope: Scope = "user"
    if_version: Version | None = None
    """Write only if the key is at this version; 0: only if there is no such key."""


class PutResult(Result, frozen=True, kw_only=True):
    """That it was written."""

    version: int
    """Of the value written: never used twice in a scope, not even by a key that was deleted and written again."""


class DeleteParams(Params, frozen=True, kw_only=True):
    """What to delete."""

    key: _Key
    scope: Scope = "user"
    if_version: Version | None = None
    """Delete only if the key is at this version."""


class DeleteResult(Result, frozen=True, kw_only=True):
    """Whether anything was there."""

    deleted: bool
    """False where there was no such key."""


class ListParams(Params, frozen=True, kw_only=True):
    """Keys that begin with `prefix` and come after `after`, in the order of their UTF-8 bytes."""

    prefix: _Prefix = ""
    """What the keys begin with."""
    scope: Scope = "user"
    after: _Prefix = ""
    """The last key of the page before."""
    limit: Annotated[int, msgspec.Meta(ge=1, le=LIST_MAX)] = 100
    """Keys in one page."""


class ListedKey(msgspec.Struct, frozen=True, kw_only=True):
    """One key, without its value."""

    key: str
    """The key."""
    bytes: int
    """What it counts for the quota: key and encoded value."""
    version: int
    """Of its value."""


class ListResult(Result, frozen=True, kw_only=True):
    """One page."""

    keys: list[ListedKey]
    """In the order of their UTF-8 bytes."""
    more: bool
    """Ask again with `after` set to the last key."""


class UsageParams(Params, frozen=True, kw_only=True):
    """Of which scope."""

    scope: Scope = "user"


class UsageResult(Result, frozen=True, kw_only=True):
    """What the scope uses and what it may use."""

    bytes: int
    """Used: keys and encoded values."""
    bytes_max: int
    """The limit storage_bytes."""
    keys: int
    """Kept now."""
    keys_max: int
    """The limit storage_keys."""


_WRITE_ERRORS = (ErrorCode.GRANT_CONSTRAINT, ErrorCode.VERSION_CONFLICT, ErrorCode.BUSY, ErrorCode.UNKNOWN_OUTCOME)

GET = Method(
    name="storage.get",
    capability=CAPABILITY,
    params=GetParams,
    result=GetResult,
    errors=(ErrorCode.GRANT_CONSTRAINT, ErrorCode.BUSY),
    waits=False,
    summary="Read one value.",
    example={"key": "cart", "scope": "user"},
    answer={"found": True, "value": {"apple": 3}, "version": 4},
)
PUT = Method(
    name="storage.put",
    capability=CAPABILITY,
    params=PutParams,
    result=PutResult,
    errors=(*_WRITE_ERRORS, ErrorCode.QUOTA_EXCEEDED),
    waits=True,
    summary="Write one value, durable when answered; with if_version only over what was read.",
    example={"key": "cart", "value": {"apple": 3}, "if_version": 0},
    answer={"version": 5},
)
DELETE = Method(
    name="storage.delete",
    capability=CAPABILITY,
    params=DeleteParams,
    result=DeleteResult,
    errors=_WRITE_ERRORS,
    waits=True,
    summary="Delete one key.",
    example={"key": "cart"},
    answer={"deleted": True},
)
LIST = Method(
    name="storage.list",
    capability=CAPABILITY,
    params=ListParams,
    result=ListResult,
    errors=(ErrorCode.GRANT_CONSTRAINT, ErrorCode.BUSY),
    waits=False,
    summary="List keys in order, page by page.",
    example={"prefix": "orders/", "limit": 20},
    answer={"keys": [{"key": "orders/81", "bytes": 210, "version": 3}], "more": False},
)
USAGE = Method(
    name="storage.usage",
    capability=CAPABILITY,
    params=UsageParams,
    result=UsageResult,
    errors=(ErrorCode.BUSY,),
    waits=False,
    summary="Bytes and keys used, and the most there may be.",
    example={"scope": "program"},
    answer={"bytes": 210, "bytes_max": 10_485_760, "keys": 1, "keys_max": 1_000},
)
