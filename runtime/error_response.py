"""An error answered to a guest, as bytes that fit into its response limit. Pure."""

from __future__ import annotations

from typing import Final

from host_api.errors import ApiError
from runtime import wire

TEXT_CHARS_MAX: Final = 200
"""What a message quotes of a guest's own words is cut here."""


def error_response(msgid: int, error: ApiError, bytes_max: int) -> bytes:
    """The response that carries it, inside `bytes_max`: its details go where they do not fit."""
    told = error.as_wire()
    told["message"] = told["message"][: 2 * TEXT_CHARS_MAX]
    response = wire.error_response(msgid, told)
    if len(response) > bytes_max:
        response = wire.error_response(msgid, {**told, "message": quoted(error.message), "details": {}})
    return response


def quoted(text: str) -> str:
    """A guest's own words, safe in a message: ASCII, cut."""
    return ascii(text[:TEXT_CHARS_MAX])[1:-1][:TEXT_CHARS_MAX]
