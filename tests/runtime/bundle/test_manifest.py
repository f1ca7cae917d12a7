"""manifest.json: every field with what it refuses, where, and the cure."""

import json
from collections.abc import Callable, Iterator
from typing import Any, get_args, get_origin

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from host_api.session import API_LEVEL
from runtime.bundle.manifest import CURES, MANIFEST_BYTES_MAX, Manifest, Text, parse_manifest
from runtime.errors import ManifestError
from runtime.limits import Limits, specs

Make = Callable[..., dict[str, Any]]


def refusal(data: bytes) -> ManifestError:
    with pytest.raises(ManifestError) as caught:
        parse_manifest(data)
    message = caught.value.message
    assert message.startswith(f"manifest.json: {caught.value.details['path']}: ")
    assert "\n" not in message and message.replace("µs", "us").isascii() and len(message) < 1_200
    return caught.value


def test_every_field_is_read(good: Make) -> None:
    read = json.loads(msgspec.json.encode(parse_manifest(json.dumps(good()).encode())))
    permissions = [{"required": True, "constraints": {}, **told} for told in good()["req_permissions"]]
    assert read == good(req_permissions=permissions, program={**good()["program"], "script": ""})


def test_what_may_be_left_out() -> None:
    least = {"app_id": "a", "name": "A", "version": {"name": "1", "code": 1}, "program": {"module": "m"}}
    manifest = parse_manifest(json.dumps(least).encode())
    assert (manifest.platform_version.min_code, manifest.program.abi, manifest.program.lifetime) == (
        1,
        "hostel_v1",
        "fresh",
    )
    assert (manifest.pages, manifest.icons, manifest.req_permissions, manifest.program.limits) == ((), (), (), {})
    assert manifest.notices == ()
    assert manifest.program.events is False


GONE = object()
LONG = "x" * 5_000
TABLE: list[tuple[str, Any, str, str]] = [
    # where, what is put there, path of the refusal, words of it
    ("app_id", GONE, "$.app_id", "is missing; write 1 to 128 of"),
    ("app_id", 7, "$.app_id", "expected str, got int"),
    ("app_id", "", "$.app_id", "length >= 1"),
    ("app_id", "a" * 129, "$.app_id", "length <= 128"),
    ("app_id", "Org.Example", "$.app_id", "is no app id"),
    ("app_id", "org.example\n", "$.app_id", "'org.example\\n' is no app id"),
    ("app_id", "org..example", "$.app_id", "is no app id"),
    ("app_id", "7up", "$.app_id", "is no app id"),
    ("app_id", "a--b", "$.app_id", "is no app id"),
    ("app_id", "\u0430pp", "$.app_id", "'\\u0430pp' is no app id"),
    ("name", GONE, "$.name", "is missing"),
    ("name", "", "$.name", "has 0 characters"),
    ("name", "   ", "$.name", "not all spaces"),
    ("name", "x" * 65, "$.name", "has 65 characters"),
    ("name", "a\u202eb", "$.name", "U+202E"),
    ("name", "\u2800\u2800", "$.name", "U+2800 (character 1)"),
    ("name", "\u3164Shop", "$.name", "U+3164"),
    ("name", "Shop\ufe0f", "$.name", "U+FE0F"),
    ("name", "Shop" + "\u0316" * 5, "$.name", "at most 4 marks on a character"),
    ("name", "Pay  10.00 CNY to", "$.name", "two of them in a row"),
    ("name", " Shop", "$.name", "has spaces around it"),
    ("name", "A\u00a0Shop", "$.name", "a space other than U+0020"),
    ("name", "Cafe\u0301", "$.name", "not in NFC"),
    ("name", {"en": "Shop", "fr": "\u034fB"}, "$.name.fr", "U+034F"),
    ("name", ["A"], "$.name", "expected str | object, got array"),
    ("name", {}, "$.name", "has 0 languages"),
    ("name", {"en": 5}, "$.name[...]", "expected str, got int"),
    ("name", {"en": ""}, "$.name.en", "has 0 characters"),
    ("name", {"english language": "A"}, "$.name", "is no language tag"),
    ("name", {"en\n": "A"}, "$.name", "is no language tag"),
    ("name", {"en-US": "A", "en-us": "B"}, "$.name", "one language twice"),
    ("name", {f"aa-{n:04}": "A" for n in range(65)}, "$.name", "has 65 languages"),
    ("version", GONE, "$.version", "is missing"),
    ("version", "1.0", "$.version", 'got str; write {"name": "1.0.0", "code": 1}'),
    ("version.name", GONE, "$.version.name", "is missing"),
    ("version.name", "x" * 33, "$.version.name", "length <= 32"),
    ("version.name", "1\n", "$.version.name", "U+000A"),
    ("version.code", GONE, "$.version.code", "is missing; write a whole number from 1 to 2147483647"),
    ("version.code", "7", "$.version.code", "expected int, got str"),
    ("version.code", True, "$.version.code", "expected int, got bool"),
    ("version.code", 1.0, "$.version.code", "'1.0' is no whole number"),
    ("version.code", 0, "$.version.code", ">= 1"),
    ("version.code", -1, "$.version.code", ">= 1"),
    ("version.code", 2**31, "$.version.code", "<= 2147483647"),
    ("version.cod", 7, "$.version", "unknown key 'cod'; did you mean code?"),
    ("platform_version", 1, "$.platform_version", "got int"),
    ("platform_version.min_code", 0, "$.platform_version.min_code", ">= 1"),
    ("pages", "pages/a", "$.pages", "got str"),
    ("pages", [1], "$.pages[0]", "got int"),
    ("pages", ["a", "a"], "$.pages[1]", "'a' is there twice"),
    ("pages", ["a", "../b"], "$.pages[1]", "segment '..'"),
    ("pages", ["https://example.org"], "$.pages[0]", "holds :"),
    ("pages", [f"p{n}" for n in range(65)], "$.pages", "length <= 64"),
    ("icons", {"src": "a"}, "$.icons", "got object"),
    ("icons", [{"sizes": "1x1"}], "$.icons[0].src", "is missing; write the path of a member"),
    ("icons", [{"src": "a", "size": "1x1"}], "$.icons[0]", "did you mean sizes?"),
    ("icons", [{"src": "a", "sizes": "48"}], "$.icons[0].sizes", "'48' is no list of sizes"),
    ("icons", [{"src": "a", "sizes": "1x1\n"}], "$.icons[0].sizes", "is no list of sizes"),
    ("icons", [{"src": "a", "label": "x" * 65}], "$.icons[0].label", "65 characters"),
    ("icons", [{"src": "a"}] * 17, "$.icons", "length <= 16"),
    ("req_permissions", {"payment": {}}, "$.req_permissions", "got object"),
    ("req_permissions", ["payment"], "$.req_permissions[0]", "got str"),
    ("req_permissions", [{"name": "payment"}], "$.req_permissions[0].reason", "is missing"),
    ("req_permissions", [{"name": "a", "reason": ""}], "$.req_permissions[0].reason", "0 characters"),
    ("req_permissions", [{"name": "a", "reason": "x" * 257}], "$.req_permissions[0].reason", "257 characters"),
    ("req_permissions", [{"name": "a", "reason": "To\u3164pay"}], "$.req_permissions[0].reason", "U+3164"),
    ("req_permissions", [{"name": "Pay", "reason": "r"}], "$.req_permissions[0].name", "no name of a capability"),
    ("req_permissions", [{"name": "pay\n", "reason": "r"}], "$.req_permissions[0].name", "no name of a capability"),
    ("req_permissions", [{"name": "a", "reason": "r"}] * 2, "$.req_permissions[1].name", "asked for twice"),
    ("req_permissions", [{"name": "a", "reason": "r"}] * 33, "$.req_permissions", "length <= 32"),
    ("req_permissions", [{"name": "a", "reason": "r", "required": 1}], "$.req_permissions[0].required", "got int"),
    ("req_permissions", [{"name": "a", "reason": "r", "require": True}],
     "$.req_permissions[0]", "did you mean required?"),
    ("req_permissions", [{"name": "a", "reason": "r", "constraints": {"X": 1}}],
     "$.req_permissions[0].constraints", "'X' is no"),
    ("req_permissions", [{"name": "a", "reason": "r", "constraints": {"x": None}}],
     "$.req_permissions[0].constraints[...]", "null"),
    ("notices", {}, "$.notices", "got object"),
    ("notices", [{"id": "a"}], "$.notices[0].text", "is missing; write a text"),
    ("notices", [{"id": "a", "texts": "b"}], "$.notices[0]", "did you mean text?"),
    ("notices", [{"id": "a", "text": "b"}] * 2, "$.notices[1].id", "a is there twice"),
    ("notices", [{"id": "a", "text": "b"}] * 33, "$.notices", "length <= 32"),
    ("notices", [{"id": "A", "text": "b"}], "$.notices[0].id", "'A' is no id of a notice"),
    ("notices", [{"id": "a\n", "text": "b"}], "$.notices[0].id", "'a\\n' is no id of a notice"),
    ("notices", [{"id": "x" * 65, "text": "b"}], "$.notices[0].id", "length <= 64"),
    ("notices", [{"id": "a", "text": "x" * 257}], "$.notices[0].text", "257 characters"),
    ("notices", [{"id": "a", "text": "a\u202eb"}], "$.notices[0].text", "U+202E"),
    ("notices", [{"id": "a", "text": "Hi {no}\ufe0f"}], "$.notices[0].text", "U+FE0F"),
    ("notices", [{"id": "a", "text": "{no"}], "$.notices[0].text", "a brace that is not part of a placeholder"),
    ("notices", [{"id": "a", "text": "{No}"}], "$.notices[0].text", "a brace that is not part of a placeholder"),
    ("notices", [{"id": "a", "text": "".join(f"{{p{n}}}" for n in range(9))}],
     "$.notices[0].text", "has 9 placeholders; at most 8"),
    ("notices", [{"id": "a", "text": f"{{{'p' * 33}}}"}], "$.notices[0].text", "of more than 32 characters"),
    ("notices", [{"id": "a", "text": {"en": "{no}", "fr": "{nom}"}}],
     "$.notices[0].text", "has other placeholders in one language than in another"),
    ("program", GONE, "$.program", 'is missing; write {"module"'),
    ("program", "program.wasm", "$.program", "got str"),
    ("program.module", GONE, "$.program", 'names neither a module nor a script; write {"module": "program.wasm"}, or'),
    ("program.module", "", "$.program", "names neither a module nor a script"),
    ("program.module", None, "$.program.module", "got null"),
    ("program.module", "main.js", "$.program", "'main.js' looks like a script"),
    ("program.script", "main.js", "$.program", "names both a module and a script"),
    ("program", {"script": "main.ts"}, "$.program.script", "'main.ts' does not end in .js"),
    ("program", {"script": 1}, "$.program.script", "got int"),
    ("program.modul", "a", "$.program", "did you mean module?"),
    ("program.events", "yes", "$.program.events", "expected bool, got str; write true if hostel_handle"),
    ("program.event", True, "$.program", "did you mean events?"),
    ("program.abi", "hostel_v2", "$.program.abi", "'hostel_v2' is no ABI of this host; write \"hostel_v1\""),
    ("program.lifetime", "forever", "$.program.lifetime", "'forever' is no lifetime"),
    ("program.limits", [1], "$.program.limits", "got array"),
    ("program.limits", {"cpu_u": 60_000}, "$.program.limits", "unknown limit 'cpu_u'; did you mean cpu_us?"),
    ("program.limits", {"colour": 1}, "$.program.limits", "known here: cpu_us, fuel, wall_ms"),
    ("program.limits", {"cpu_us": 999}, "$.program.limits.cpu_us", "from 1000 to 600000000"),
    ("program.limits", {"cpu_us": "9"}, "$.program.limits[...]", "got str"),
    ("app-id", "a", "$", "unknown key 'app-id'; did you mean app_id?"),
    ("colour", "red", "$", "unknown key 'colour'; known here: app_id, name"),
    ("\x1b[31m\n" + LONG[:80], 1, "$", "unknown key '\\x1b[31m\\n"),
    ("name", LONG, "$.name", "a text of 5000 characters; at most 4096"),
    ("name", {LONG: "a"}, "$.name", "a text of 5000 characters; at most 128"),
    ("version.code", 10**15, "$.version.code", "<= 2147483647"),
    ("version.code", 2**53, "$.version.code", "<= 2147483647"),
    ("version.code", 2**53 + 1, "$.version.code", "9007199254740993 is too large for a number"),
    ("version.code", -(2**53) - 1, "$.version.code", "-9007199254740993 is too large for a number"),
    ("version.code", 10**17, "$.version.code", "a number of 18 characters"),
    ("version.code", 10**4000, "$.version.code", "a number of 4001 characters"),
    ("pages", [0] * 5_000, "$", "more than 4096 values"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("place", "value", "path", "words"), TABLE, ids=[f"{n:02}-{row[0][:20]!a}" for n, row in enumerate(TABLE)]
)
def test_field_refused(good: Make, place: str, value: Any, path: str, words: str) -> None:
    manifest = json.loads(json.dumps(good()))
    *above, last = place.split(".")
    inner = manifest
    for key in above:
        inner = inner[key]
    if value is GONE:
        del inner[last]
    else:
        inner[last] = value
    error = refusal(json.dumps(manifest).encode())
    assert words in error.message
    assert error.details["path"] == path
    assert (error.code, error.exit_code) == ("manifest_invalid", 3)


UNSUPPORTED: dict[str, tuple[dict[str, Any], str, str]] = {
    "api_level": (
        {"platform_version": {"min_code": API_LEVEL + 1}}, "$.platform_version.min_code",
        f"api level {API_LEVEL + 1} is not supported by this host (api level {API_LEVEL})",
    ),
}  # fmt: skip


@pytest.mark.parametrize("word", UNSUPPORTED)
def test_known_words_of_other_hosts(good: Make, word: str) -> None:
    changes, path, words = UNSUPPORTED[word]
    error = refusal(json.dumps(good(**changes)).encode())
    assert (error.code, error.details["path"]) == ("manifest_unsupported", path)
    assert words in error.message


@pytest.mark.parametrize("name", specs(Limits))
def test_every_limit_can_be_asked_for(good: Make, name: str) -> None:
    spec = specs(Limits)[name]
    for value, taken in (
        (spec.least, True),
        (spec.least - 1, False),
        (spec.most, spec.most < 10**15),
        (spec.most + 1, False),
    ):
        data = json.dumps(good(program={"module": "m", "limits": {name: value}})).encode()
        if taken:
            assert parse_manifest(data).program.limits == {name: value}
        elif value < 10**15:
            assert refusal(data).details["path"] == f"$.program.limits.{name}"


TEXTS: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "no JSON"),
    "array": (b"[]", "write an object with app_id"),
    "null": (b"null", "write an object"),
    "cut_short": (b'{"app_id": "a"', "no JSON: Expecting ',' delimiter in line 1, column 15"),
    "trailing": (b"{} {}", "no JSON: Extra data"),
    "byte_order_mark": (b"\xef\xbb\xbf{}", "no JSON: Unexpected UTF-8 BOM"),
    "utf16": ("{}".encode("utf-16"), "is not UTF-8"),
    "no_utf8": (b'{"name": "\xff"}', "byte 10 is not UTF-8"),
    "duplicate": (b'{"app_id": "a", "app_id": "b"}', "$: the key 'app_id' is there twice"),
    "duplicate_escaped": (b'{"version": {"code": 1, "c\\u006fde": 2}}', "$.version: the key 'code' is there twice"),
    "duplicate_in_list": (b'{"icons": [{"src": "a", "src": "b"}]}', "$.icons[0]: the key 'src' is there twice"),
    "nan": (b'{"version": {"code": NaN}}', "$.version.code: 'NaN' is no whole number"),
    "infinity": (b'{"version": {"code": -Infinity}}', "'-Infinity' is no whole number"),
    "float": (b'{"version": {"code": 1e3}}', "'1e3' is no whole number"),
    "surrogate": (b'{"name": "\\ud800"}', "$.name: half a surrogate pair"),
    "surrogate_key": (b'{"\\udfff": 1}', "$: half a surrogate pair"),
    "control_character": (b'{"name": "a\nb"}', "no JSON: Invalid control character"),
    "deep": (b"[" * 17, "more than 16 levels"),
    "depth_bomb": (b'{"a":' * 10_000, "more than 16 levels"),
    "depth_bomb_behind_text": (b'{"[\\"": ' + b"[" * 60_000, "more than 16 levels"),
    "too_large": (b" " * (MANIFEST_BYTES_MAX + 1), "65537 bytes are over manifest_bytes_max = 65536"),
}  # fmt: skip


@pytest.mark.parametrize("trick", TEXTS)
def test_text_refused(trick: str) -> None:
    data, words = TEXTS[trick]
    assert words in refusal(data).message


def test_brackets_inside_of_texts_are_no_depth(good: Make) -> None:
    data = json.dumps(good(name='[[[[[[[[[[[[[[[[[[[[\\"{{{{')).encode()
    assert parse_manifest(data).name == '[[[[[[[[[[[[[[[[[[[[\\"{{{{'


def test_size_at_its_limit(good: Make) -> None:
    data = json.dumps(good()).encode()
    assert parse_manifest(data + b" " * (MANIFEST_BYTES_MAX - len(data))).app_id == "org.example.grocery"


def fields(part: Any, path: str) -> Iterator[str]:
    """Paths of all fields of a part, of the parts in it too."""
    for field in msgspec.structs.fields(part):
        here = f"{path}.{field.name}"
        yield here
        for kind in (field.type, *get_args(field.type)):
            inner = get_args(kind)[0] if get_origin(kind) is tuple else kind
            if isinstance(inner, type) and issubclass(inner, msgspec.Struct):
                if inner is not kind:
                    yield f"{here}[]"
                yield from fields(inner, here + ("[]" if inner is not kind else ""))


def test_every_field_has_a_cure_and_nothing_else_has() -> None:
    assert {"$", "$.pages[]", *fields(Manifest, "$")} == set(CURES)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9) | st.sampled_from(
        [name for path in CURES for name in path.replace("[]", "").split(".")[1:]]), inner, max_size=5),
    max_leaves=20,
)  # fmt: skip


def outcome(data: bytes) -> Manifest | None:
    try:
        return parse_manifest(data)
    except ManifestError as error:
        assert error.message.replace("µs", "us").isascii() and "\n" not in error.message
        return None


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    outcome(data)


@given(JSON)
def test_any_json(value: Any) -> None:
    outcome(json.dumps(value).encode())


@given(place=st.sampled_from(sorted(CURES)), value=JSON)
def test_any_json_in_any_field(good: Make, place: str, value: Any) -> None:
    """A manifest that is read is one whose every text is fit to be shown."""
    manifest = json.loads(json.dumps(good()))
    inner, steps = manifest, place.replace("[]", ".0").split(".")[1:]
    for step in steps[:-1]:
        inner = inner[int(step) if step.isdigit() else step]
    if steps:
        inner[int(steps[-1]) if steps[-1].isdigit() else steps[-1]] = value
    read = outcome(json.dumps(manifest).encode())
    if read is not None:
        assert all(text.isprintable() and text.strip() for text in texts(read.name))


def texts(text: Text) -> list[str]:
    return [text] if isinstance(text, str) else list(text.values())
