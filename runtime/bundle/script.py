"""The script image: what of a bundle's members is handed to the JavaScript engine, as bytes (docs/protocol.md §3).

What lives here: which members are scripts, their order, and the rules that need no engine. Whether a script loads is
found out in a sandbox. No I/O.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from runtime import wire
from runtime.bundle.refusal import shown
from runtime.errors import ScriptError
from runtime.limits import KIB

SUFFIX: Final = ".js"
SCRIPT_IMAGE_BYTES_MAX: Final = 512 * KIB
"""Of all scripts of a program, as they lie in the image."""
_LOADABLE: Final = (SUFFIX, ".json")
_WASM_MAGIC: Final = b"\0asm"
_LARGEST: Final = 3
"""Members that an image over its size is told by."""


def script_image(entry: str, members: Mapping[str, bytes]) -> bytes:
    """The image of a program that begins with `entry`: an array of [path, source], encoded as on the wire; `entry`
    first, the others that can be imported by their paths' UTF-8 bytes. `members`: path → content, the manifest left
    out.

    Raises:
        ScriptError: a source is no UTF-8, or a WebAssembly module, or all are over SCRIPT_IMAGE_BYTES_MAX.
    """
    others = sorted((path for path in members if path.endswith(_LOADABLE) and path != entry), key=str.encode)
    paths = [entry, *others]
    _check_size(sum(len(members[path]) for path in paths), paths, members)
    for path in paths:
        _check_source(path, members[path])
    image = wire.encode([[path, members[path]] for path in paths])
    _check_size(len(image), paths, members)
    return image


def _check_size(used: int, paths: list[str], members: Mapping[str, bytes]) -> None:
    if used <= SCRIPT_IMAGE_BYTES_MAX:
        return
    largest = sorted(paths, key=lambda path: len(members[path]), reverse=True)[:_LARGEST]
    told = ", ".join(f"{shown(path)} has {len(members[path])}" for path in largest)
    raise ScriptError(
        f"the program's scripts: {used} bytes are over script_image_bytes_max = {SCRIPT_IMAGE_BYTES_MAX} ({told});"
        " minify them, or give what is data another suffix than .js and .json and read it with asset.read",
        details={"limit": "script_image_bytes_max", "value": SCRIPT_IMAGE_BYTES_MAX, "used": used, "unit": "bytes"},
    )


def _check_source(path: str, source: bytes) -> None:
    if source.startswith(_WASM_MAGIC):
        raise ScriptError(
            f"{shown(path)} is a WebAssembly module, not a script: name it .wasm, and the program's module in"
            ' manifest.json as {"module": "program.wasm"}',
            details={"path": shown(path)},
        )
    try:
        source.decode("utf-8")
    except UnicodeDecodeError as error:
        line = source.count(b"\n", 0, error.start) + 1
        raise ScriptError(
            f"{shown(path)}, line {line}: byte {error.start} is not UTF-8; save the file as UTF-8",
            details={"path": shown(path), "line": line},
        ) from None
