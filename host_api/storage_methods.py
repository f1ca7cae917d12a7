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

Scope: TypeAlias = Literal["user", "program"]
Version: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=VERSION_MAX)]
_Key: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, max_length=KEY_BYTES_MAX)]
_Prefix: TypeAlias = Annotated[str, msgspec.Meta(max_length=KEY_BYTES_MAX)]


class GetParams(Params, frozen=True, kw_only=True):
    """`key`: 1 to 256 bytes of UTF-8 without control characters. `scope`: this user's values, or the program's own."""

    key: _Key
    scope: Scope = "user"


class GetResult(Result, frozen=True, kw_only=True):
    """`version` 0 and `value` nil where there is no such key."""

    found: bool
    value: Any
    version: int


class PutParams(Params, frozen=True, kw_only=True):
    """`if_version`: write only if the key is at this version; 0: only if there is no such key."""

    key: _Key
    value: Any
    scope: Scope = "user"
    if_version: Version | None = None


class PutResult(Result, frozen=True, kw_only=True):
    """A version is never used twice in a scope, not even by a key that was deleted and written again."""

    version: int


class DeleteParams(Params, frozen=True, kw_only=True):
    """`if_version`: delete only if the key is at this version."""

    key: _Key
    scope: Scope = "user"
    if_version: Version | None = None


class DeleteResult(Result, frozen=True, kw_only=True):
    """`deleted` is false where there was no such key."""

    deleted: bool


class ListParams(Params, frozen=True, kw_only=True):
    """Keys that begin with `prefix` and come after `after`, in the order of their UTF-8 bytes."""

    prefix: _Prefix = ""
    scope: Scope = "user"
    after: _Prefix = ""
    limit: Annotated[int, msgspec.Meta(ge=1, le=LIST_MAX)] = 100


class ListedKey(msgspec.Struct, frozen=True, kw_only=True):
    """`bytes`: what it counts for the quota, key and encoded value."""

    key: str
    bytes: int
    version: int


class ListResult(Result, frozen=True, kw_only=True):
    """`more`: ask again with `after` set to the last key."""

    keys: list[ListedKey]
    more: bool


class UsageParams(Params, frozen=True, kw_only=True):
    """Of which scope."""

    scope: Scope = "user"


class UsageResult(Result, frozen=True, kw_only=True):
    """What the scope uses and what it may use."""

    bytes: int
    bytes_max: int
    keys: int
    keys_max: int


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
)
