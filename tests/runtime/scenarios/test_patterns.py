"""Patterns: what fits, where it does not, and that neither hostile values nor hostile patterns do more than that."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.scenarios import patterns
from runtime.scenarios.patterns import MISSING, check, filled, mismatch, names, pointed
from runtime.scenarios.reading import At, ScenarioError

scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text() | st.binary()
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4)
)


def plain(value: Any) -> Any:
    """The pattern that is this value: bytes have a form of their own."""
    if isinstance(value, bytes):
        return {"$base64": base64.b64encode(value).decode()}
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, list) else value


def has_special(value: Any) -> bool:
    if isinstance(value, dict):
        return any(key.startswith("$") or has_special(inner) for key, inner in value.items())
    return isinstance(value, list) and any(map(has_special, value))


@settings(max_examples=50, deadline=None)
@given(values)
def test_a_value_fits_itself(value: Any) -> None:
    if not has_special(value):
        assert mismatch(plain(value), value) is None
        assert mismatch({"$any": True}, value) is None


@settings(max_examples=50, deadline=None)
@given(values, values)
def test_a_mismatch_says_where_it_is(pattern: Any, value: Any) -> None:
    """What is told as expected and as having come lies at the path that is told."""
    if has_special(pattern):
        return
    found = mismatch(plain(pattern), value)
    if found is None:
        return
    assert pointed(value, found.path) is found.came or pointed(value, found.path) == found.came
    if found.expected is not MISSING:
        assert plain(pointed(pattern, found.path)) == found.expected


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.text(), values, min_size=1, max_size=4))
def test_a_map_may_have_more_and_exactly_none(value: dict[str, Any]) -> None:
    if has_special(value):
        return
    more = {**value, "one more": 1}
    assert mismatch(plain(value), more) is None
    found = mismatch({"$exactly": plain(value)}, more)
    assert "one more" in value or (found is not None and found.path == "/one more")


@pytest.mark.parametrize(
    ("pattern", "fits", "fits_not"),
    [
        (1, [1], [True, 2, "1", None]),
        (True, [True], [1, False]),
        ({"$type": "text"}, ["", "a"], [b"", 1, None]),
        ({"$type": "integer"}, [0, -1], [True, 1.5, "1"]),
        ({"$type": "number"}, [0, 1.5], [True, "1"]),
        ({"$type": "boolean"}, [True], [1]),
        ({"$type": "list"}, [[]], [{}]),
        ({"$type": "map"}, [{}], [[]]),
        ({"$type": "nil"}, [None], [0, ""]),
        ({"$type": "bytes"}, [b""], [""]),
        ({"$match": "^[0-9]+$"}, ["17"], ["", "a1", 17, "1" * 5_000]),
        ({"$between": [1, 9]}, [1, 9, 1.5], [0, 10, True, "5"]),
        ({"$length": 2}, ["ab", [1, 2], {"a": 1, "b": 2}, b"ab"], ["a", 2, None]),
        ({"$base64": "AAE="}, [b"\0\1"], ["AAE=", b""]),
        ({"$exactly": {"a": {"$any": True}}}, [{"a": 7}], [{}, {"a": 1, "b": 2}, [], None]),
        ([1, {"$any": True}], [[1, 5]], [[1], [1, 2, 3], {}]),
        ({"a": {"b": 1}}, [{"a": {"b": 1, "c": 2}, "d": 3}], [{"a": {}}, {"a": None}, {}]),
    ],
)
def test_each_pattern(pattern: Any, fits: list[Any], fits_not: list[Any]) -> None:
    check(At(pattern, "expect", "a.json"))
    assert [value for value in fits if mismatch(pattern, value) is not None] == []
    assert [value for value in fits_not if mismatch(pattern, value) is None] == []


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ({"$any": False}, r"expect\[.\$any.\]: false; write true"),
        ({"$type": "txt"}, r"'txt'; did you mean text\?"),
        ({"$match": "("}, "no regular expression"),
        ({"$match": "(a+)+$"}, "may take for ever"),
        ({"$match": "a" * 201}, "201 characters"),
        ({"$between": [1]}, r"not two numbers; write \[1, 9\]"),
        ({"$length": -1}, "from 0 to 1000000"),
        ({"$base64": "*"}, "no base64"),
        ({"$exactly": 1}, "a number, no object"),
        ({"$eny": True}, r"did you mean \$any\?"),
        ({"$any": True, "a": 1}, "stands alone"),
        ([{"a": {"$any": 0}}], r"expect\[0\]\.a\[.\$any.\]: a number, neither true nor false"),
    ],
)
def test_a_pattern_that_is_none(pattern: Any, said: str) -> None:
    with pytest.raises(ScenarioError, match=said):
        check(At(pattern, "expect", "a.json"))


def test_no_pattern_takes_for_ever() -> None:
    began = time.perf_counter()
    mismatch({"$match": "a*a*a*a*$"}, "a" * 60 + "b")
    mismatch({"$match": "^a$"}, "a" * (1 << 20))
    assert time.perf_counter() - began < 5


# ---- values kept -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("pointer", "value"),
    [("", {"a/b": [{"~": 1}]}), ("/a~1b/0/~0", 1), ("/a~1b/1", MISSING), ("/a~1b/-1", MISSING), ("/c", MISSING)],
)
def test_json_pointers(pointer: str, value: Any) -> None:
    assert pointed({"a/b": [{"~": 1}]}, pointer) == value


@settings(max_examples=50, deadline=None)
@given(values)
def test_every_place_is_pointed_to(value: Any) -> None:
    left = [("", value)]
    while left:
        path, inner = left.pop()
        assert pointed(value, path) is inner
        if isinstance(inner, dict):
            left += [(f"{path}/{patterns.escaped(key)}", each) for key, each in inner.items()]
        elif isinstance(inner, list):
            left += [(f"{path}/{index}", each) for index, each in enumerate(inner)]


def test_names_are_filled_in() -> None:
    kept = {"order": {"id": "o-1"}, "n": 3}
    told = {"a": "${order}", "b": ["no ${n}, ${n}", "$n", "${}"], "c": 1}
    assert names(told) == {"order", "n"}
    assert filled(told, kept) == {"a": {"id": "o-1"}, "b": ["no 3, 3", "$n", "${}"], "c": 1}
    assert filled(json.loads(json.dumps(told)), kept) == filled(told, kept)
