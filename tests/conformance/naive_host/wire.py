"""Messages (docs/protocol.md §5.1) and errors (§5.2): MessagePack by its ordinary library, with what §5.1 refuses."""

from __future__ import annotations

import math
from typing import Any

import msgpack

DEPTH, ELEMENTS, KEY_BYTES = 16, 4096, 256


class Malformed(Exception):
    """These bytes are no message."""


class Refused(Exception):
    """A request is answered with this error."""

    def __init__(self, code: str, message: str, retry_after_ms: int | None = None, **details: Any) -> None:
        super().__init__(message)
        self.code, self.retry_after_ms, self.details = code, retry_after_ms, details

    def value(self) -> dict[str, Any]:
        retryable = self.code in ("rate_limited", "cashier_busy", "busy", "internal", "overloaded")
        return {"code": self.code, "message": str(self), "retryable": retryable,
                "retry_after_ms": self.retry_after_ms, "details": self.details}  # fmt: skip


def encode(value: Any) -> bytes:
    packed = msgpack.packb(value)
    assert isinstance(packed, bytes)
    return packed


def canonical(value: Any) -> bytes:
    """Keys in the order of their UTF-8 bytes."""

    def ordered(inner: Any) -> Any:
        if isinstance(inner, dict):
            return {key: ordered(inner[key]) for key in sorted(inner, key=str.encode)}
        return [ordered(item) for item in inner] if isinstance(inner, list) else inner

    return encode(ordered(value))


def decode(data: bytes) -> Any:
    """The value. Raises Malformed."""
    try:
        value = msgpack.unpackb(data, strict_map_key=False, object_pairs_hook=_map, ext_hook=_extension)
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:
        raise Malformed(type(error).__name__) from None
    if _count(value, 1) > ELEMENTS:
        raise Malformed(f"more than {ELEMENTS} values")
    return value


def _map(pairs: list[tuple[Any, Any]]) -> dict[str, Any]:
    for key, _ in pairs:
        if not isinstance(key, str) or len(key.encode()) > KEY_BYTES:
            raise Malformed("a key is a text of 256 bytes at most")
    whole = dict(pairs)
    if len(whole) != len(pairs):
        raise Malformed("two equal keys")
    return whole


def _extension(code: int, data: bytes) -> Any:
    raise Malformed(f"extension type {code}")


def _count(value: Any, depth: int) -> int:
    if isinstance(value, dict | list):
        if depth > DEPTH:
            raise Malformed(f"more than {DEPTH} containers in one another")
        inner = [*value, *value.values()] if isinstance(value, dict) else value
        return 1 + sum(_count(item, depth + 1) for item in inner)
    if isinstance(value, float) and not math.isfinite(value):
        raise Malformed("no finite number")
    if isinstance(value, msgpack.Timestamp):
        raise Malformed("a timestamp")
    return 1


def _is_id(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 32


def request(data: bytes) -> tuple[int | None, str, dict[str, Any]]:
    """msgid (None: a notification), method and params. Raises Malformed."""
    match decode(data):
        case [0 as kind, msgid, method, params] if type(kind) is int and _is_id(msgid):
            pass
        case [2 as kind, method, params] if type(kind) is int:
            msgid = None
        case _:
            raise Malformed("no request")
    if not isinstance(method, str) or not 1 <= len(method) <= 64 or not isinstance(params, dict):
        raise Malformed("no method with params")
    if any(key.startswith("$") for key in params):
        raise Malformed("a key begins with $")
    return msgid, method, params


def response(data: bytes, msgid: int) -> tuple[dict[str, Any] | None, Any]:
    """Error and result. Raises Malformed."""
    match decode(data):
        case [1 as kind, told, error, result] if type(kind) is int and type(told) is int and told == msgid:
            pass
        case _:
            raise Malformed("no response to this request")
    if error is None:
        return None, result
    is_error = isinstance(error, dict) and all(isinstance(error.get(key), str) for key in ("code", "message"))
    if not is_error or result is not None:
        raise Malformed("an error is a map with the texts code and message, and its result is nil")
    return error, None
