"""Paths of members: which are legal, and which two may not stand side by side.

The rules are those of the W3C MiniApp Packaging draft ("File and Path Names") made stricter, so that no path of a
bundle means something else to another file system, archive tool or reader. Pure functions over text.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from runtime.bundle.refusal import shown

PATH_BYTES_MAX = 255
"""One whole path, in UTF-8: what every file system takes as one name."""
PATH_DEPTH_MAX = 16
"""Folders above the file, and the file."""

_FORBIDDEN = frozenset('"*:<>?\\|')
"""Separators, wild cards and drive letters somewhere; the draft's list."""
_CATEGORIES = {
    "Cc": "a control character",
    "Cf": "an invisible formatting character",
    "Cs": "half a surrogate pair",
    "Co": "a private-use character",
    "Cn": "an unassigned character",
    "Zl": "a line separator",
    "Zp": "a paragraph separator",
}


def bad_character(text: str) -> str | None:
    """What the first character is that has no place in a name or in text shown to people; None where all are fine.

    Unassigned ones are refused because their case folding may change when they are assigned.
    """
    for character in text:
        what = _CATEGORIES.get(unicodedata.category(character))
        if what is not None:
            return f"{what} (U+{ord(character):04X})"
    return None


def path_over_limit(path: str) -> tuple[str, int, int, str] | None:
    """(limit, its value, what the path has, unit) of the first limit that a path is over; None for none."""
    size, depth = len(path.encode(errors="replace")), path.count("/") + 1
    if size > PATH_BYTES_MAX:
        return "path_bytes_max", PATH_BYTES_MAX, size, "bytes"
    if depth > PATH_DEPTH_MAX:
        return "path_depth_max", PATH_DEPTH_MAX, depth, "segments"
    return None


def path_problem(path: str) -> str | None:
    """Why `path` can be no member of a bundle, in words that follow the path; None for a legal one."""
    bad = bad_character(path)
    if bad is not None:
        return f"holds {bad}"
    size = len(path.encode())
    if not 1 <= size <= PATH_BYTES_MAX:
        return f"has {size} bytes; 1 to path_bytes_max = {PATH_BYTES_MAX} are allowed"
    found = sorted(_FORBIDDEN.intersection(path))
    if found:
        return f"holds {found[0]}, which is one of {' '.join(sorted(_FORBIDDEN))}"
    if not unicodedata.is_normalized("NFC", path):
        return "is not in Unicode normal form C"
    return _segments_problem(path.split("/"))


def _segments_problem(segments: list[str]) -> str | None:
    if segments[0] == "":
        return "is absolute (begins with /)"
    if segments[-1] == "":
        return "is a folder (ends with /); folders are implied by the files in them"
    if len(segments) > PATH_DEPTH_MAX:
        return f"has {len(segments)} levels; path_depth_max = {PATH_DEPTH_MAX}"
    for segment in segments:
        if segment in ("", ".", ".."):
            return f"has the segment {segment!r}"
        if segment[-1] in ". " or segment[0] == " ":
            return "has a segment that begins with a space, or ends with a space or a full stop"
    return None


def folded(path: str) -> str:
    """The canonical caseless form (Unicode 3.13, D145): equal for two paths that some file system takes for one."""
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", path).casefold())


def clash(paths: Iterable[str]) -> str | None:
    """Which two legal paths cannot be in one bundle, as a sentence; None where all can.

    Twice the same; equal but for case or composition, of a folder on the way too; one a file and the other a folder.
    """
    seen: dict[str, tuple[str, bool]] = {}
    for path in paths:
        parts = path.split("/")
        for depth in range(1, len(parts) + 1):
            spelled, is_file = "/".join(parts[:depth]), depth == len(parts)
            key = folded(spelled)
            if key not in seen:
                seen[key] = (spelled, is_file)
                continue
            other, other_is_file = seen[key]
            if is_file and other_is_file and other == spelled:
                return f"{shown(spelled)} is there twice"
            if is_file or other_is_file or other != spelled:
                return f"{shown(other)} and {shown(spelled)} are one name to some file systems"
    return None
