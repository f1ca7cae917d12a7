"""The wire: MessagePack-RPC messages to bytes, and hostile bytes to messages. docs/protocol.md §3.

What lives here: encoding, canonical encoding (for fingerprints), bounded decoding, and the three messages. The only
file that knows a MessagePack library. No I/O, no clock, no state: any bytes give a value or MalformedMessage.

How a message is checked. The C decoder alone is not enough: it keeps the last of two equal keys, takes keys that are no
text, extension types, NaN, and lets a short message become a very large tree. So:

1. size, before anything else;
2. messages over SCAN_BYTES are first scanned (`_scan`: elements, depth, equal keys) without building anything. A
   shorter one cannot hold more than ELEMENTS_MAX elements, as each takes a byte;
3. the C decoder: well-formed, UTF-8, no trailing bytes;
4. equal keys in a short message: if encoding the value again gives the very same bytes there were none, since a map
   built from n distinct keys writes n in its header. Only messages not in that shortest form, which honest encoders
   write, need the scan;
5. types, depth, key lengths and finite numbers, on the values.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import inf
from typing import Any, Final, TypeAlias

import msgspec

DEPTH_MAX: Final = 16
"""Containers inside containers, the message itself being the first."""
ELEMENTS_MAX: Final = 4096
"""Values in one message: scalars, containers and keys alike."""
KEY_BYTES_MAX: Final = 256
METHOD_CHARS_MAX: Final = 64
MSGID_MAX: Final = 2**32 - 1
SCAN_BYTES: Final = ELEMENTS_MAX
HEAD_BYTES: Final = 32
"""So many bytes of a request are enough for `msgid_of`."""
PART_BYTES: Final = 64 << 10
"""Bytes in a message that are more than this are one of its `large_parts`."""

STORED_BYTES_MAX: Final = 16 << 20
"""As large as the limits on messages and values may be set."""

REQUEST, RESPONSE, NOTIFICATION = 0, 1, 2

Params: TypeAlias = dict[str, Any]


class MalformedMessage(ValueError):
    """Bytes that are no message, or not one allowed here. `reason` is short and free of what the bytes said."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Unencodable(ValueError):
    """A value the wire has no form for: our own bug, or a caller's."""


# ---- encoding --------------------------------------------------------------------------------------------------------
_encode = msgspec.msgpack.Encoder().encode
_encode_sorted = msgspec.msgpack.Encoder(order="deterministic").encode
_decode = msgspec.msgpack.Decoder().decode


def encode(value: Any) -> bytes:
    """Shortest form, map keys in their own order. Structs become maps. Raises Unencodable.

    For values of our own and of the host's callers: what `decode` refuses beyond that (NaN, depth, dates) is not
    looked for.
    """
    try:
        return _encode(value)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise Unencodable(str(error)[:200]) from None


def canonical(value: Any) -> bytes:
    """The one encoding of a value: shortest form, map keys in the order of their UTF-8 bytes. Raises Unencodable."""
    try:
        return _encode_sorted(value)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise Unencodable(str(error)[:200]) from None


def request(msgid: int, method: str, params: Mapping[str, Any]) -> bytes:
    """Raises Unencodable, as all of these do."""
    return encode((REQUEST, msgid, method, dict(params)))


def notification(method: str, params: Mapping[str, Any]) -> bytes:
    return encode((NOTIFICATION, method, dict(params)))


def response(msgid: int, result: Any) -> bytes:
    return encode((RESPONSE, msgid, None, result))


def error_response(msgid: int, error: Mapping[str, Any]) -> bytes:
    return encode((RESPONSE, msgid, error, None))


# ---- decoding --------------------------------------------------------------------------------------------------------
_SCALARS: Final = frozenset({str, int, bool, bytes, type(None)})
_SURELY_SHORT: Final = KEY_BYTES_MAX // 4  # a character takes at most four bytes


def decode(data: bytes, bytes_max: int, *, depth_max: int = DEPTH_MAX, elements_max: int = ELEMENTS_MAX) -> Any:
    """Any bytes give a value or MalformedMessage. Ints are int64 or uint64, floats finite, map keys texts.

    `depth_max` and `elements_max`, never less than the defaults: for messages that hold one of a guest's.
    """
    value = _read(data, bytes_max, depth_max, elements_max)
    _check((value,), depth_max + 1)
    return value


def decode_bounded_by_size(data: bytes) -> Any:
    """For bytes of a host that one's own client asked: well-formed MessagePack, or MalformedMessage; nothing else is
    looked for. The caller has bounded their size."""
    try:
        return _decode(data)
    except Exception:  # as in `_read`
        raise MalformedMessage("not MessagePack") from None


def decode_around(rest: bytes, parts: Sequence[bytes], depth_max: int) -> Any:
    """What is left of a message that was looked at by `large_parts`, with the nth of them put where it has
    `stand_in(n)`. Raises MalformedMessage."""
    try:
        value = msgspec.msgpack.Decoder(ext_hook=lambda _, number: parts[int.from_bytes(number, "big")]).decode(rest)
    except Exception:  # as in `_read`
        raise MalformedMessage("not MessagePack") from None
    _check((value,), depth_max + 1)
    return value


def _read(data: bytes, bytes_max: int, depth_max: int = DEPTH_MAX, elements_max: int = ELEMENTS_MAX) -> Any:
    """Steps 1 to 4 of the rules on top. `_check` must follow."""
    size = len(data)
    if size > bytes_max:
        raise MalformedMessage(f"{size} bytes, the most is {bytes_max}")
    if size > SCAN_BYTES:
        _scan(data, depth_max, elements_max)
    try:
        value = _decode(data)
        if size <= SCAN_BYTES and _encode(value) != data:
            _scan(data, depth_max, elements_max)
    except MalformedMessage:
        raise
    except UnicodeDecodeError:
        raise MalformedMessage("a text is not UTF-8") from None
    except RecursionError:
        raise MalformedMessage("deeper than a message may be") from None
    except Exception:  # whatever the C decoder raises for bytes it does not like, the answer is the same
        raise MalformedMessage("not MessagePack") from None
    return value


def _check(items: Iterable[Any], depth: int) -> None:
    """Step 5 for the items of a container that may itself hold `depth - 1` levels."""
    for item in items:
        kind = type(item)
        if kind in _SCALARS:
            continue
        if kind is float:
            if not -inf < item < inf:
                raise MalformedMessage("a number is not finite")
        elif kind is not dict and kind is not list:
            raise MalformedMessage("an extension type")
        elif depth == 1:
            raise MalformedMessage("deeper than a message may be")
        elif kind is list:
            _check(item, depth - 1)
        else:
            for key in item:
                if type(key) is not str or len(key) > _SURELY_SHORT:
                    _check_key(key)
            _check(item.values(), depth - 1)


def _check_key(key: object) -> None:
    if type(key) is not str:
        raise MalformedMessage("a map key is not a text")
    if len(key.encode()) > KEY_BYTES_MAX:
        raise MalformedMessage(f"a map key is longer than {KEY_BYTES_MAX} bytes")


# ---- scanning --------------------------------------------------------------------------------------------------------
# For each first byte: the size of the whole value where that byte alone tells it, else 0.
_WHOLE: Final = bytes(
    [1] * 128 + [0] * 32 + [1 + n for n in range(32)] + [1, 0, 1, 1] + [0] * 6 + [5, 9, 2, 3, 5, 9, 2, 3, 5, 9]
    + [0] * 12 + [1] * 32
)  # fmt: skip
# First bytes with a length behind them: the length's width.
_LENGTH_WIDTH: Final = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4, 0xDC: 2, 0xDD: 4, 0xDE: 2, 0xDF: 4}
_BIN_32: Final = 0xC6
_TRUNCATED: Final = "ends too early"


def _scan(data: bytes, depth_max: int, elements_max: int) -> list[tuple[int, int]]:
    """Elements, depth and equal keys of any bytes, building nothing but the sets of a map's keys.

    Elements are counted where a container announces them, so at most `elements_max` steps are made, whatever the bytes
    say. Gives where large parts begin and end. Raises MalformedMessage.
    """
    large: list[tuple[int, int]] = []
    try:
        _scan_values(data, depth_max, elements_max, large)
    except IndexError:
        raise MalformedMessage(_TRUNCATED) from None
    return large


def large_parts(data: bytes, depth_max: int, elements_max: int) -> list[tuple[int, int]]:
    """Where bytes (not texts) of more than PART_BYTES begin and end, each with a head of five bytes before it; the last
    may end after the message does. No ext type is in it. Raises MalformedMessage."""
    return _scan(data, depth_max, elements_max)


def stand_in(number: int) -> bytes:
    """In the place of a large part and its head: an ext type, which no message has."""
    return b"\xd5\x00" + number.to_bytes(2, "big")


def _scan_values(data: bytes, depth_max: int, elements_max: int, large: list[tuple[int, int]]) -> None:
    at, elements = 0, 1
    left, keys = 1, None  # values still to come in this container; the keys seen if it is a map
    outer: list[tuple[int, set[bytes] | None]] = []
    while True:
        while not left:
            if not outer:
                return  # trailing bytes are the decoder's to refuse
            left, keys = outer.pop()
        left -= 1
        first = data[at]
        if keys is not None and left & 1:
            begin, at = _key(data, at, first)
            key = data[begin:at]
            if key in keys:
                raise MalformedMessage("a map has two equal keys")
            keys.add(key)
        elif size := _WHOLE[first]:
            at += size
        else:
            number, at = _length(data, at)
            if 0xA0 <= first < 0xDC:
                if number > PART_BYTES and first == _BIN_32:
                    large.append((at, at + number))
                at += number
                continue
            if len(outer) == depth_max:
                raise MalformedMessage("deeper than a message may be")
            outer.append((left, keys))
            is_map = first < 0x90 or first >= 0xDE
            left, keys = (2 * number, set()) if is_map else (number, None)
            elements += left
            if elements > elements_max:
                raise MalformedMessage(f"more than {elements_max} elements")


def _key(data: bytes, at: int, first: int) -> tuple[int, int]:
    """Where the text of this key begins and ends: its bytes are compared, not its form, of which a text has four."""
    if 0xA0 <= first < 0xC0:
        return at + 1, at + 1 + (first & 31)
    if not 0xD9 <= first <= 0xDB:
        raise MalformedMessage("a map key is not a text")
    size, begin = _length(data, at)
    if size > KEY_BYTES_MAX:
        raise MalformedMessage(f"a map key is longer than {KEY_BYTES_MAX} bytes")
    return begin, begin + size


def _length(data: bytes, at: int) -> tuple[int, int]:
    """Length or count of the value at `at`, and where its body begins."""
    first = data[at]
    if first < 0xC0:
        return (first & 31 if first >= 0xA0 else first & 15), at + 1
    width = _LENGTH_WIDTH.get(first)
    if width is None:
        raise MalformedMessage("not MessagePack" if first == 0xC1 else "an extension type")
    begin = at + 1 + width
    if begin > len(data):
        raise MalformedMessage(_TRUNCATED)
    return int.from_bytes(data[at + 1 : begin], "big"), begin


# ---- messages from a guest -------------------------------------------------------------------------------------------
def parse_request(data: bytes, bytes_max: int) -> tuple[int | None, str, Params]:
    """A guest's request or notification: (msgid, method, params); msgid is None for a notification.

    Keys of params that begin with `$` belong to the host's envelope and are refused. Raises MalformedMessage.
    """
    value = _read(data, bytes_max)
    if type(value) is not list or not 3 <= len(value) <= 4:
        raise MalformedMessage("not a request")
    msgid = None
    if len(value) == 4:
        kind, msgid, method, params = value
        if type(msgid) is not int or not 0 <= msgid <= MSGID_MAX:
            raise MalformedMessage("msgid is not a whole number of 32 bits")
    else:
        kind, method, params = value
    if type(kind) is not int or kind != (NOTIFICATION if msgid is None else REQUEST):
        raise MalformedMessage("not a request")
    if type(method) is not str or not 1 <= len(method) <= METHOD_CHARS_MAX:
        raise MalformedMessage(f"method is not a text of 1 to {METHOD_CHARS_MAX} characters")
    if type(params) is not dict:
        raise MalformedMessage("params is not a map")
    for key, item in params.items():  # `_check` spelled out for the level that is on the path of every host call
        if type(key) is not str or len(key) > _SURELY_SHORT or "$" in key:
            _check_key(key)
            if key[0] == "$":
                raise MalformedMessage("a parameter begins with $")
        if type(item) not in _SCALARS:
            _check((item,), DEPTH_MAX - 1)
    return msgid, method, params


def parse_response(data: bytes, bytes_max: int, msgid: int) -> tuple[Params | None, Any]:
    """A guest's answer to the request `msgid`: (error, result), at most one of them not None.

    An error is a map with at least the texts `code` and `message`. Raises MalformedMessage.
    """
    value = _read(data, bytes_max)
    if type(value) is not list or len(value) != 4 or type(value[0]) is not int or value[0] != RESPONSE:
        raise MalformedMessage("not a response")
    if type(value[1]) is not int or value[1] != msgid:
        raise MalformedMessage("a response to another msgid")
    error, result = value[2], value[3]
    if error is None and type(result) is dict:
        for key, item in result.items():  # `_check` spelled out for the level that every response has
            if type(key) is not str or len(key) > _SURELY_SHORT:
                _check_key(key)
            if type(item) not in _SCALARS:
                _check((item,), DEPTH_MAX - 1)
    else:
        _check((error, result), DEPTH_MAX)
    if error is not None:
        if type(error) is not dict or type(error.get("code")) is not str or type(error.get("message")) is not str:
            raise MalformedMessage("an error is not a map with the texts code and message")
        if result is not None:
            raise MalformedMessage("an error and a result")
    return error, result


_INT_WIDTH: Final = {0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8, 0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8}


def msgid_of(data: bytes) -> int | None:
    """The msgid of a request from its first HEAD_BYTES; None for a notification. Raises MalformedMessage.

    For a request too long to be read: the rest of it is not looked at.
    """
    head = data[:HEAD_BYTES]
    if not head or not (0x90 <= head[0] <= 0x9F or head[0] in (0xDC, 0xDD)):
        raise MalformedMessage("not an array")
    members, at = _length(head, 0)
    kind, at = _int(head, at)
    if (members, kind) == (3, NOTIFICATION):
        return None
    if (members, kind) != (4, REQUEST):
        raise MalformedMessage("not a request")
    msgid, _ = _int(head, at)
    if not 0 <= msgid <= MSGID_MAX:
        raise MalformedMessage("msgid is not a whole number of 32 bits")
    return msgid


def _int(head: bytes, at: int) -> tuple[int, int]:
    if at >= len(head):
        raise MalformedMessage(_TRUNCATED)
    first = head[at]
    if first < 0x80:
        return first, at + 1
    width = _INT_WIDTH.get(first)
    if width is None:
        raise MalformedMessage("not a request")
    end = at + 1 + width
    if end > len(head):
        raise MalformedMessage(_TRUNCATED)
    return int.from_bytes(head[at + 1 : end], "big", signed=first >= 0xD0), end


class CanonicalCodec:
    """What `host_api.contract.Codec` asks for: canonical out, bounded in. For what the host itself stores."""

    __slots__ = ("_bytes_max",)

    def __init__(self, bytes_max: int = STORED_BYTES_MAX) -> None:
        self._bytes_max = bytes_max

    def encode(self, value: Any) -> bytes:
        return canonical(value)

    def decode(self, data: bytes) -> Any:
        return decode(data, self._bytes_max)
