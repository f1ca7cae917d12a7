"""JSON to the values of the wire (docs/protocol.md §5.1) and back, with nothing lost and one reading only.

What lives here: the parsing of parameters, and bytes, which JSON has no form for: {"$bytes": "BASE64"}. A map of the
guest's that would be read so is written with one `$` more, {"$$bytes": …}, and so on; coming in, one goes. Refused:
a key twice, numbers that the wire has no form for, and what is over the wire's own bounds (depth, elements, keys).
"""

from __future__ import annotations

import json
import re
from base64 import b64decode, b64encode
from typing import Any, Final

from runtime import wire
from runtime.daemon.http.refusal import Refused

_TOKEN: Final = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[{\]},:]', re.DOTALL)
"""Takes a text that does not end as one too: each character is looked at once, whatever comes."""
_TOKENS_MAX: Final = 3 * wire.ELEMENTS_MAX
"""Of so many elements as the wire allows: no value takes more than two marks or texts and one that separates it."""
_ANY_METHOD: Final = "m"
_BYTES: Final = "$bytes"
_ESCAPED: Final = re.compile(r"\$+bytes")


def incoming(data: bytes) -> dict[str, Any]:
    """Parameters of a call: a JSON object, or nothing for none. Raises Refused `body_malformed`."""
    if not data:
        return {}
    try:
        text = data.decode("utf-8")
        _check_size(text)
        value = json.loads(text, object_pairs_hook=_object, parse_constant=_no_number)
        if type(value) is not dict:
            raise _malformed("parameters are a JSON object")
        message = wire.request(1, _ANY_METHOD, value)  # the bounds are those of the message it will be
        return dict(wire.decode(message, wire.STORED_BYTES_MAX)[3])
    except UnicodeDecodeError:
        raise _malformed("it is not UTF-8") from None
    except wire.MalformedMessage as error:
        raise _malformed(error.reason) from None
    except (wire.Unencodable, ValueError):  # JSONDecodeError is one, and so is an integer of 4,300 digits
        raise _malformed("it is no JSON, or says what no message can") from None


def outgoing(value: Any) -> Any:
    """A value of the wire as one of JSON."""
    if type(value) is bytes:
        return {_BYTES: b64encode(value).decode("ascii")}
    if type(value) is dict:
        if len(value) == 1 and _ESCAPED.fullmatch(key := next(iter(value))):
            return {f"${key}": outgoing(value[key])}
        return {key: outgoing(item) for key, item in value.items()}
    if type(value) is list:
        return [outgoing(item) for item in value]
    return value


def _check_size(text: str) -> None:
    """Before a parser recurses or builds anything: brackets open at once, and how many values there may be."""
    depth = 0
    for tokens, token in enumerate(_TOKEN.finditer(text)):
        if tokens >= _TOKENS_MAX:
            raise _malformed(f"more than {wire.ELEMENTS_MAX} elements")
        if token[0] in "[{":
            depth += 1
            if depth > 2 * wire.DEPTH_MAX:  # bytes take one level more than they have on the wire
                raise _malformed(f"deeper than {wire.DEPTH_MAX}")
        elif token[0] in "]}":
            depth -= 1


def _object(pairs: list[tuple[str, Any]]) -> Any:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _malformed("a map has two equal keys")
    if len(found) == 1 and _ESCAPED.fullmatch(key := next(iter(found))):
        return _bytes(found[key]) if key == _BYTES else {key[1:]: found[key]}
    return found


def _bytes(text: Any) -> bytes:
    if type(text) is str:
        try:
            data = b64decode(text.encode("ascii"), validate=True)
        except ValueError:
            data = b""
        if b64encode(data).decode("ascii") == text:
            return data
    raise _malformed(f'{{"{_BYTES}": …}} is not bytes in base64')


def _no_number(_: str) -> Any:
    raise _malformed("a number is not finite")


def _malformed(why: str) -> Refused:
    return Refused("body_malformed", f"the body cannot be taken: {why}")
