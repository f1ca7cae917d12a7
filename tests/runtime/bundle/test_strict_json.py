"""JSON as a manifest has it: what is refused before any parser sees it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.bundle import strict_json
from runtime.bundle.strict_json import DEPTH_MAX, parse_json
from runtime.errors import ManifestError


@pytest.mark.parametrize("ended", [True, False])
@given(escapes=st.lists(st.sampled_from([b'\\"', b"\\\\", b"x", b"[", b"\n"]), max_size=40))
def test_a_string_is_one_token_whether_it_ends_or_not(ended: bool, escapes: list[bytes]) -> None:
    """One look at each byte: a string without an end read anew from each of its quotes took 22 s for 64 KiB."""
    text = b'"' + b"".join(escapes) + (b'"' if ended else b"")
    tokens = [token[0] for token in strict_json._TOKEN.finditer(text)]
    assert tokens == [text]


def test_brackets_in_strings_do_not_count() -> None:
    assert parse_json(b'{"a": "' + b"[" * (DEPTH_MAX + 1) + b'"}', 1_000)["a"] == "[" * (DEPTH_MAX + 1)


def test_levels_at_the_bound_and_one_more() -> None:
    inner = DEPTH_MAX - 1
    assert parse_json(b'{"a":' + b"[" * inner + b"]" * inner + b"}", 1_000)
    with pytest.raises(ManifestError, match="levels"):
        parse_json(b'{"a":' + b"[" * DEPTH_MAX + b"]" * DEPTH_MAX + b"}", 1_000)
