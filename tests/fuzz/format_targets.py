"""Targets that read what strangers send: the wire, manifests, bundles, scripts.

Each gives a value or the one error its documentation names, whose message is one line; and a value that was read is
written to what reads as the same.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import msgpack
import msgspec

from runtime import wire
from runtime.bundle import Bundle, InflateBudget, SigningKey, pack, sign
from runtime.bundle.archive import read_archive
from runtime.bundle.archive_writer import write_archive
from runtime.bundle.manifest import Manifest, parse_manifest
from runtime.bundle.script import script_image
from runtime.bundle.zip_format import CONTENT_BYTES_MAX
from runtime.errors import BundleError, HostelError, ManifestError, ScriptError
from runtime.wire import MalformedMessage
from tests.fuzz import mutated_json
from tests.fuzz.mutated_archive import changed_field
from tests.fuzz.mutated_bytes import changed
from tests.fuzz.search import Target, simply

SAMPLES: Final = Path(__file__).resolve().parents[2] / "sample_programs"
BYTES_MAX: Final = 8 << 10
MESSAGE_MOST: Final = 2_000


def one_line(error: HostelError) -> None:
    plain = error.message.replace("µ", "u").replace("…", ".")
    assert plain.isascii() and plain.isprintable() and len(plain) <= MESSAGE_MOST, ascii(error.message)


# ---- the wire --------------------------------------------------------------------------------------------------------
def _each_once(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    assert len(dict(pairs)) == len(pairs), "equal keys"
    return dict(pairs)


def run_wire(data: bytes) -> None:
    for read in (wire.decode_bounded_by_size, lambda data: wire.parse_response(data, BYTES_MAX, 1), wire.msgid_of):
        try:
            read(data)
        except MalformedMessage as error:
            assert error.reason.isprintable() and len(error.reason) < 200
    try:
        value = wire.decode(data, BYTES_MAX)
    except MalformedMessage:
        value = None
    else:
        assert msgpack.unpackb(data, object_pairs_hook=_each_once) == value
        again = wire.encode(value)
        assert wire.decode(again, BYTES_MAX + len(again)) == value
        assert wire.canonical(wire.decode(wire.canonical(value), len(again))) == wire.canonical(value)
    try:
        msgid, method, params = wire.parse_request(data, BYTES_MAX)
    except MalformedMessage:
        return
    assert value is not None and value[-2:] == [method, params]
    assert wire.msgid_of(data[: wire.HEAD_BYTES]) == msgid


def wire_seeds() -> Iterator[bytes]:
    yield wire.request(1, "storage.put", {"key": "k", "value": {"a": [1, -1, 1.5, None, True, b"b", "t", 2**64 - 1]}})
    yield wire.notification("log.write", {"level": "info", "message": "é"})
    yield wire.response(1, [{}])
    yield wire.error_response(1, {"code": "x", "message": "m", "details": {}})
    yield wire.request(2**32 - 1, "m" * 64, {"k" * 200: {"d": "x" * 7_000}})
    yield wire.encode({"a": "x" * 4_096, "b": [[[[[[[[[[[[[[]]]]]]]]]]]]]], "c": {"d": 1, "e": 1.5, "f": None}})
    # Both above and below are long enough to be scanned before they are decoded.
    yield b"\x82\xa1a\x01\xa1a\x02"
    yield b"\xdf\x00\x00\x00\x01\xdb\x00\x00\x00\x01a\xdd\x00\x00\x00\x00" + bytes(5_000)


# ---- manifests -------------------------------------------------------------------------------------------------------
def run_manifest(data: bytes) -> None:
    try:
        manifest = parse_manifest(data)
    except ManifestError as error:
        one_line(error)
        assert error.details["path"].startswith("$")
        return
    assert isinstance(manifest, Manifest)
    json.loads(data)


def manifest_seeds() -> Iterator[bytes]:
    for path in sorted(SAMPLES.glob("*/bundle/manifest.json")):
        yield path.read_bytes()


def changed_json(data: bytes, draw: random.Random) -> bytes:
    try:
        return mutated_json.changed(data, draw)
    except (ValueError, RecursionError):
        return data


# ---- bundles ---------------------------------------------------------------------------------------------------------
def run_archive(data: bytes) -> None:
    budget = InflateBudget()
    try:
        archive = read_archive(data, budget)
    except BundleError as error:
        one_line(error)
        assert budget.spent <= CONTENT_BYTES_MAX + 1
        return
    assert read_archive(write_archive(archive.contents)).contents == archive.contents


def run_bundle(data: bytes) -> None:
    try:
        made = Bundle.from_bytes(data)
    except BundleError as error:
        one_line(error)
        return
    assert Bundle.from_bytes(made.data).identity == made.identity
    for path in made.assets:
        made.asset(path)


def bundle_seeds() -> Iterator[bytes]:
    key = SigningKey.from_seed(bytes(32))
    for name in ("echo", "legal_advice", "hostile/spin"):
        yield pack(SAMPLES / name / "bundle")
    yield sign(pack(SAMPLES / "hostile/spin/bundle"), key)


def archive_seeds() -> Iterator[bytes]:
    yield write_archive({"a.txt": b"text" * 50, "b/c.txt": b"", "manifest.json": b"{}"})
    yield from bundle_seeds()


def _of_contents(change: Callable[[dict[str, bytes], random.Random], None]) -> Callable[[bytes, random.Random], bytes]:
    """A change of what is in a bundle, which is packed again."""

    def made(data: bytes, draw: random.Random) -> bytes:
        try:
            contents = dict(read_archive(data).contents)
            change(contents, draw)
            return write_archive(contents)
        except BundleError:
            return data

    return made


@_of_contents
def _manifest_of_it(contents: dict[str, bytes], draw: random.Random) -> None:
    contents["manifest.json"] = changed_json(contents.get("manifest.json", b"{}"), draw)


@_of_contents
def _one_of_it(contents: dict[str, bytes], draw: random.Random) -> None:
    path = draw.choice(list(contents))
    contents[path] = changed(contents[path], draw)


# ---- scripts ---------------------------------------------------------------------------------------------------------
def run_script(data: bytes) -> None:
    """Members are divided by a byte that no path has: path, source, path, source."""
    parts = data.split(b"\0\0")
    paths = [part.decode("utf-8", "replace") for part in parts[::2]]
    members = dict(zip(paths, parts[1::2], strict=False))
    if not members:
        return
    try:
        image = script_image(next(iter(members)), members)
    except ScriptError as error:
        one_line(error)
        return
    told = msgspec.msgpack.decode(image)
    assert told[0][0] == next(iter(members)) and all(members[path] == source for path, source in told)


def script_seeds() -> Iterator[bytes]:
    yield b"\0\0".join((b"main.js", b"export default {}", b"data.json", b"{}", b"picture.png", b"\x89PNG"))
    yield b"\0\0".join((b"main.js", b"\0asm", b"other.js", b"\xff\n\xfe"))
    yield b"\0\0".join((b"main.js", b"x" * 300_000, b"a.js", b"y" * 300_000))


FORMATS: Final = (
    Target(name="wire", about="messages of programs", opened=simply(run_wire), seeds=wire_seeds),
    Target(name="manifest", about="manifest.json", opened=simply(run_manifest), seeds=manifest_seeds,
           changes=(changed_json,)),
    Target(name="archive", about="a bundle's container", opened=simply(run_archive), seeds=archive_seeds,
           changes=(changed_field, _one_of_it)),
    Target(name="bundle", about="a bundle as a whole", opened=simply(run_bundle), seeds=bundle_seeds,
           changes=(changed_field, _manifest_of_it, _one_of_it)),
    Target(name="script", about="the image of a script's members", opened=simply(run_script), seeds=script_seeds),
)  # fmt: skip
