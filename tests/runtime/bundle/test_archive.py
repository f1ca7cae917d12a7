"""The container: every trick with its refusal, what is accepted, and that any bytes give one of the two."""

import io
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.bundle.archive import Archive, InflateBudget, read_archive, read_layout
from runtime.bundle.archive_writer import place_block, write_archive
from runtime.errors import BundleError
from runtime.limits import MIB

BOMB = bytes(8 * MIB)
NO_FILES = {"folder": 0o040755, "link": 0o120777, "fifo": 0o010644, "device": 0o020644, "socket": 0o140644}


def refusal(data: bytes) -> BundleError:
    with pytest.raises(BundleError) as caught:
        read_archive(data)
    message = caught.value.message
    assert caught.value.code == "bundle_invalid"
    assert "\n" not in message and message.isascii() and len(message) < 400
    return caught.value


# ---- one member told wrongly -----------------------------------------------------------------------------------------
MEMBERS: dict[str, tuple[dict[str, Any], str]] = {
    "encrypted": ({"both": {"flags": 0x801}}, "is encrypted (flags 0x0801)"),
    "strongly_encrypted": ({"both": {"flags": 0x841}}, "is encrypted"),
    "masked_header": ({"both": {"flags": 0x2800}}, "masked"),
    "data_descriptor": ({"both": {"flags": 0x808}}, "data descriptor"),
    "patched": ({"both": {"flags": 0x820}}, "patched"),
    "unknown_flag": ({"both": {"flags": 0x4800}}, "unknown flags 0x4800"),
    "method_bzip2": ({"both": {"method": 12}}, "method 12"),
    "method_deflate64": ({"both": {"method": 9}}, "method 9"),
    "version_zip64": ({"both": {"needed": 45}}, "needs ZIP version 45"),
    "zip64_size": ({"both": {"size": 0xFFFFFFFF}}, "ZIP64"),
    "zip64_offset": ({"central": {"offset": 0xFFFFFFFF}}, "ZIP64"),
    "other_disk": ({"central": {"disk": 1}}, "disk 1"),
    "local_extra": ({"extra": b"UT\1\0\0"}, "extra_bytes is 5"),
    "central_extra": ({"central_extra": b"\1\0\4\0abcd"}, "8 bytes of extra fields"),
    "comment": ({"comment": b"hello"}, "5 of comment"),
    "internal_attributes": ({"central": {"internal": 2}}, "internal attributes"),
    "dos_folder": ({"central": {"external": 0x10}}, "no regular file"),
    "stored_sizes_differ": ({"both": {"size": 5}}, "is stored, yet has 4 bytes packed and 5 unpacked"),
    "crc": ({"both": {"crc": 1}}, "CRC-32"),
    "local_signature": ({"local": {"signature": 0x08074B50}}, "signature is"),
    "central_signature": ({"central": {"signature": 0x06064B50}}, "has no entry's signature"),
    "size_differs": ({"local": {"size": 3}}, "content_bytes is 3 in its header and 4"),
    "packed_differs": ({"local": {"packed": 3}}, "packed_bytes is 3"),
    "flags_differ": ({"local": {"flags": 0}}, "flags is 0"),
    "method_differs": ({"local": {"method": 8}}, "method is 8"),
    "crc_differs": ({"local": {"crc": 0}}, "crc is 0"),
    "time_differs": ({"local": {"time": 1}}, "time is 1"),
    "needed_differs": ({"local": {"needed": 10}}, "needed is 10"),
    "name_differs": ({"local_name": b"b.txt"}, "another name"),
    "name_length_differs": ({"local_name": b"aa.txt"}, "name_bytes is 6"),
    "offset_beyond": ({"central": {"offset": 9999}}, "begins at 9999"),
    "runs_into_directory": ({"both": {"packed": 400, "size": 400}}, "runs into the central directory"),
    "over_member_bytes": ({"both": {"packed": 8 * MIB + 1, "size": 8 * MIB + 1}}, "member_bytes_max = 8388608"),
    "no_deflate_stream": ({"both": {"method": 8}, "packed": b"\xff\xff\xff\xff"}, "no deflate stream"),
    "deflate_cut_short": (
        {"deflate": True, "packed": zlib.compress(b"text" * 9, 9)[2:9], "both": {"size": 36}},
        "of the 36",
    ),
    "inflates_to_less": ({"deflate": True, "both": {"size": 5}}, "inflates to 4 bytes of the 5"),
    "inflates_to_more": ({"deflate": True, "both": {"size": 3}}, "more than the 3 bytes"),
    "inflates_from_nothing": ({"deflate": True, "packed": b"", "both": {"size": 0}}, "0 bytes of the 0"),
    "inflates_to_more_than_nothing": ({"deflate": True, "both": {"size": 0}}, "more than the 0 bytes"),
    "ratio": ({"deflate": True, "content": bytes(100_000)}, "over ratio_max = 100"),
}


@pytest.mark.parametrize("trick", MEMBERS)
def test_member_refused(zips: Any, trick: str) -> None:
    told, words = MEMBERS[trick]
    assert words in refusal(zips.build(zips.member(**told))).message


@pytest.mark.parametrize("kind", NO_FILES)
def test_only_regular_files(zips: Any, kind: str) -> None:
    data = zips.build(zips.member(central={"external": NO_FILES[kind] << 16}))
    assert "no regular file" in refusal(data).message


def test_data_after_the_deflate_stream(zips: Any) -> None:
    data = zips.build(zips.member(deflate=True, packed=zips.deflated(b"text") + b"hidden"))
    assert "6 bytes after its deflate stream" in refusal(data).message


# ---- names -----------------------------------------------------------------------------------------------------------
NAMES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "has 0 bytes"),
    "absolute": (b"/etc/passwd", "absolute"),
    "parent": (b"../up", "segment '..'"),
    "parent_inside": (b"a/../b", "segment '..'"),
    "here": (b"./a", "segment '.'"),
    "double_slash": (b"a//b", "segment ''"),
    "folder": (b"a/", "is a folder"),
    "backslash": (b"a\\b", "holds \\"),
    "drive": (b"C:evil", "holds :"),
    "wild_card": (b"a*", "holds *"),
    "nul": (b"a\0b", "U+0000"),
    "newline": (b"a\nb", "U+000A"),
    "delete": (b"a\x7f", "U+007F"),
    "c1_control": ("a\x85".encode(), "U+0085"),
    "bidi": ("a\u202etxt".encode(), "U+202E"),
    "zero_width": ("a\u200b".encode(), "U+200B"),
    "byte_order_mark": ("\ufeffa".encode(), "U+FEFF"),
    "private_use": ("\ue000".encode(), "U+E000"),
    "noncharacter": ("\ufffe".encode(), "U+FFFE"),
    "line_separator": ("a\u2028".encode(), "U+2028"),
    "not_nfc": ("e\u0301".encode(), "normal form C"),
    "no_utf8": (b"\xff\xfe", "is not UTF-8"),
    "overlong_utf8": (b"a\xc0\xafb", "is not UTF-8"),
    "surrogate": (b"\xed\xa0\x80", "is not UTF-8"),
    "ends_with_stop": (b"a.", "full stop"),
    "ends_with_space": (b"a /b", "space"),
    "begins_with_space": (b" a", "space"),
    "too_long": (b"a" * 256, "path_bytes_max = 255"),
    "too_deep": (b"a/" * 16 + b"a", "path_depth_max = 16"),
}  # fmt: skip


@pytest.mark.parametrize("trick", NAMES)
def test_name_refused(zips: Any, trick: str) -> None:
    name, words = NAMES[trick]
    assert words in refusal(zips.build(zips.member(name=name))).message


def test_limits_of_a_header_are_told_with_their_numbers(zips: Any) -> None:
    long, deep = zips.member(name=b"a" * 256), zips.member(name=b"a/" * 16 + b"a")
    pressed_hard = zips.member(deflate=True, both={"method": 8, "packed": 6, "size": 601})
    told = [refusal(zips.build(member)).details for member in (long, deep, pressed_hard)]
    assert told == [
        {"limit": "path_bytes_max", "value": 255, "used": 256, "unit": "bytes"},
        {"limit": "path_depth_max", "value": 16, "used": 17, "unit": "segments"},
        {"limit": "ratio_max", "value": 100, "used": 101, "unit": "inflated bytes per deflated byte"},
    ]


def test_name_without_utf8_flag_is_ascii(zips: Any) -> None:
    assert "flagged as UTF-8" in refusal(zips.build(zips.member(name="é".encode(), both={"flags": 0}))).message
    assert list(read_archive(zips.build(zips.member(name=b"e", both={"flags": 0}))).contents) == ["e"]


CLASHES: dict[str, tuple[str, str, str]] = {
    "twice": ("a", "a", "is there twice"),
    "case": ("Readme", "README", "one name"),
    "folded_case": ("straße", "STRASSE", "one name"),
    "case_of_folder": ("a/x", "A/y", "one name"),
    "file_and_folder": ("a", "a/b", "one name"),
    "folder_and_file": ("a/b", "A", "one name"),
    "compatible_composition": ("\u212b", "\u00e5", "normal form C"),
    "composed_case": ("\u00c5", "\u00e5", "one name"),
}


@pytest.mark.parametrize("trick", CLASHES)
def test_names_clash(zips: Any, trick: str) -> None:
    one, other, words = CLASHES[trick]
    members = [zips.member(name=name.encode()) for name in (one, other)]
    assert words in refusal(zips.build(*members)).message


# ---- the file as a whole ---------------------------------------------------------------------------------------------
WHOLE: dict[str, tuple[Callable[[Any, Any], bytes], str]] = {
    "no_zip": (lambda zips, one: b"not a zip file at all, but long enough", "no ZIP file"),
    "nothing": (lambda zips, one: b"", "0 bytes are no bundle"),
    "cut_short": (lambda zips, one: zips.build(one)[:-1], "cut short"),
    "data_after": (lambda zips, one: zips.build(one, after=b"\0"), "data after it"),
    "comment": (lambda zips, one: zips.build(one, end={"comment": 3}), "comment of 3 bytes"),
    "comment_there": (lambda zips, one: zips.build(one, end={"comment": 3}, after=b"abc"), "with a comment"),
    "no_members": (lambda zips, one: zips.build(), "no members"),
    "disk": (lambda zips, one: zips.build(one, end={"disk": 1}), "several disks"),
    "directory_disk": (lambda zips, one: zips.build(one, end={"directory_disk": 1}), "directory on 1"),
    "disk_members": (lambda zips, one: zips.build(one, end={"disk_members": 0}), "several disks"),
    "zip64_members": (lambda zips, one: zips.build(one, end={"members": 0xFFFF, "disk_members": 0xFFFF}), "ZIP64"),
    "zip64_offset": (lambda zips, one: zips.build(one, end={"offset": 0xFFFFFFFF}), "ZIP64"),
    "too_few_entries": (lambda zips, one: zips.build(one, end={"members": 2, "disk_members": 2}), "inside entry 2"),
    "too_many_entries": (
        lambda zips, one: zips.build(one, one, end={"members": 1, "disk_members": 1}), "51 bytes after its last entry"
    ),
    "directory_tail": (lambda zips, one: zips.build(one, tail=bytes(7)), "7 bytes after its last entry"),
    "directory_size": (lambda zips, one: zips.build(one, end={"bytes": 50}), "does not end where"),
    "name_over_directory": (lambda zips, one: zips.build(zips.member(central={"name": 6})), "ends inside the name"),
    "directory_at_0": (lambda zips, one: zips.build(one, end={"offset": 0, "bytes": 90}), "entry 1 of the central"),
    "prefix": (
        lambda zips, one: b"MZ" + zips.build(zips.member(central={"offset": 2}), end={"offset": 41}), "begins at 2"
    ),
}  # fmt: skip


@pytest.mark.parametrize("trick", WHOLE)
def test_file_refused(zips: Any, trick: str) -> None:
    make, words = WHOLE[trick]
    assert words in refusal(make(zips, zips.member())).message


def test_gap_between_members(zips: Any) -> None:
    message = refusal(zips.build(zips.member(name=b"a"), zips.member(name=b"b", before=b"hidden"))).message
    assert "without gap or overlap" in message


def test_data_before_the_first_member(zips: Any) -> None:
    assert "begins at 4, the one before it ends at 0" in refusal(zips.build(zips.member(before=b"#!sh"))).message


def test_overlapping_members(zips: Any) -> None:
    """Two entries share one local header: the quoted-overlap bomb in its smallest form."""
    first, second = zips.member(name=b"a"), zips.member(name=b"b", central={"offset": 0})
    assert "without gap or overlap" in refusal(zips.build(first, second)).message


def test_members_out_of_order(zips: Any) -> None:
    """The directory names them in another order than they lie in."""
    first, second = zips.member(name=b"a", central={"offset": 35}), zips.member(name=b"b", central={"offset": 0})
    assert "begins at 35" in refusal(zips.build(first, second)).message


def test_bytes_before_the_directory_are_given_back(zips: Any) -> None:
    archive = read_archive(zips.build(zips.member(), block=b"block"))
    assert archive.block == b"block"
    assert archive.unsigned_sha256 == read_archive(zips.build(zips.member())).unsigned_sha256


# ---- limits, at the value and one over -------------------------------------------------------------------------------
def test_members_max(zips: Any) -> None:
    members = [zips.member(name=f"{number}".encode()) for number in range(257)]
    assert len(read_archive(zips.build(*members[:256])).contents) == 256
    error = refusal(zips.build(*members))
    assert error.details == {"limit": "members_max", "value": 256, "used": 257, "unit": "members"}


def test_archive_bytes_max(zips: Any) -> None:
    """Sizes as such: a file at the limit fails later, for what it holds."""
    assert refusal(bytes(16 * MIB)).details == {}
    assert refusal(bytes(16 * MIB + 1)).details["used"] == 16 * MIB + 1


def test_member_bytes_max(zips: Any) -> None:
    content = b"0123456789abcdef" * (MIB // 2)
    assert len(read_archive(zips.build(zips.member(content=content))).contents["a.txt"]) == 8 * MIB
    assert refusal(zips.build(zips.member(content=content + b"x"))).details["limit"] == "member_bytes_max"


def pressed(zips: Any, size: int) -> bytes:
    """A deflate stream of zeros that is inside the ratio: real data, then empty blocks to make it long enough."""
    stream = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = stream.compress(bytes(size))
    while len(packed) * 100 < size:
        packed += stream.flush(zlib.Z_FULL_FLUSH)
        packed += b"\0\0\0\xff\xff" * (size // 500)
    return packed + stream.flush()


def test_content_bytes_max(zips: Any) -> None:
    budget = InflateBudget()
    packed = pressed(zips, 8 * MIB)
    members = [zips.member(name=b"%d" % n, content=BOMB, deflate=True, packed=packed) for n in range(4)]
    read_archive(zips.build(*members), budget)
    assert budget.spent == 32 * MIB
    error = refusal(zips.build(*members, zips.member(name=b"more", content=b"x")))
    assert error.details == {"limit": "content_bytes_max", "value": 32 * MIB, "used": 32 * MIB + 1, "unit": "bytes"}


def test_budget_is_enforced_while_inflating(zips: Any) -> None:
    """The second lock behind the headers' sums: what inflating may produce in all."""
    budget = InflateBudget(bytes_max=100)
    with pytest.raises(BundleError, match="content_bytes_max = 100"):
        read_archive(zips.build(zips.member(content=b"ab" * 60, deflate=True)), budget)
    assert budget.spent == 101


@pytest.mark.parametrize("said", [0, 10, 4_000])
def test_bomb_stops_one_byte_over_what_its_header_says(zips: Any, said: int) -> None:
    """8 MiB out of 8 KiB, with a header that says little: no more than that is ever inflated."""
    budget = InflateBudget()
    with pytest.raises(BundleError, match=f"more than the {said} bytes"):
        read_archive(zips.build(zips.member(content=BOMB, deflate=True, both={"size": said})), budget)
    assert budget.spent == said + 1


def test_honest_bomb_is_refused_by_its_header(zips: Any) -> None:
    budget = InflateBudget()
    with pytest.raises(BundleError, match="ratio_max"):
        read_archive(zips.build(zips.member(content=BOMB, deflate=True)), budget)
    assert budget.spent == 0


def test_refused_layout_inflates_nothing(zips: Any) -> None:
    budget = InflateBudget()
    members = [
        zips.member(name=b"a", content=b"ab" * 600, deflate=True),
        zips.member(name=b"b", both={"crc": 1, "method": 1}),
    ]
    with pytest.raises(BundleError):
        read_archive(zips.build(*members), budget)
    assert budget.spent == 0


# ---- what is accepted ------------------------------------------------------------------------------------------------
def test_other_tools_read_what_we_write() -> None:
    contents = {"b/ü.txt": b"x" * 500, "a": b"", "z.bin": bytes(range(256))}
    with zipfile.ZipFile(io.BytesIO(write_archive(contents))) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == contents
        assert archive.namelist() == ["a", "b/ü.txt", "z.bin"]


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_we_read_what_other_tools_write(method: int) -> None:
    file = io.BytesIO()
    contents = {"b/ü.txt": b"some text " * 50, "a": b"", "z.bin": bytes(range(256))}
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    assert read_archive(file.getvalue()).contents == contents


def test_writer_is_deterministic_and_ordered() -> None:
    contents = {"b": b"1" * 99, "a/c": b"2", "a-b": b"3"}
    assert write_archive(contents) == write_archive(dict(reversed(contents.items())))
    assert list(read_archive(write_archive(contents)).contents) == ["a-b", "a/c", "b"]


def test_writer_stores_what_presses_too_well() -> None:
    """A megabyte of zeros is honest: it is stored, so that the ratio does not refuse it."""
    assert read_archive(write_archive({"zeros": bytes(MIB)})).contents["zeros"] == bytes(MIB)
    assert len(write_archive({"zeros": bytes(MIB)})) > MIB
    assert len(write_archive({"text": b"ab" * 40})) < 180


@pytest.mark.parametrize("contents", [{}, {"../a": b""}, {"a": bytes(8 * MIB + 1)}, {"A": b"", "a": b""}])
def test_writer_refuses_what_the_reader_would(contents: dict[str, bytes]) -> None:
    with pytest.raises(BundleError):
        write_archive(contents)


def test_place_block_replaces_and_takes_out() -> None:
    plain = write_archive({"a": b"1"})
    once = place_block(plain, b"one")
    assert read_archive(once).block == b"one"
    assert place_block(once, b"other one") == place_block(plain, b"other one")
    assert place_block(once, b"") == plain


# ---- any bytes -------------------------------------------------------------------------------------------------------
PATHS = st.text(st.characters(codec="utf-8"), max_size=12)


@given(st.dictionaries(PATHS, st.binary(max_size=200), max_size=6))
def test_written_is_read(contents: dict[str, bytes]) -> None:
    try:
        data = write_archive(contents)
    except BundleError:
        return
    assert read_archive(data).contents == contents


@given(st.binary(max_size=400))
def test_any_bytes(data: bytes) -> None:
    for read in (read_archive, read_layout):
        try:
            read(data)
        except BundleError as error:
            assert error.message.isascii() and "\n" not in error.message


@given(st.data())
def test_any_change_of_a_good_file(data: st.DataObject) -> None:
    """Cut, overwrite and insert at random: an archive whose every byte is accounted for, or a refusal."""
    changed = bytearray(write_archive({"a.txt": b"text" * 9, "b/c": b"\0" * 9}))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(changed)))
        changed[at : at + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=4))
    try:
        archive = read_archive(bytes(changed))
    except BundleError:
        return
    assert isinstance(archive, Archive)
    assert set(archive.contents) and all(len(path.encode()) <= 255 for path in archive.contents)
