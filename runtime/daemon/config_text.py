"""The configuration as text: the annotated example in docs/hostel.toml, made from the declarations.

What lives here: words and layout. The values and their bounds are config.py's and of whoever owns them; what a key
means is what stands under it in the source.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import MISSING, Field
from pathlib import Path
from typing import Any, Final

from host_api.field_docs import field_docs
from runtime.daemon.config import LIVE_SECTIONS, SECTIONS, default_of, keys
from runtime.limits import CompileLimits, DeveloperLimits, Limits, ModuleCaps, specs

_HEAD: Final = """\
# The configuration of hostel serve, with every key at its default. `hostel serve --check` says what is wrong with a
# file, and what is in effect. Keys that are left out have their defaults; unknown ones are refused.
#
# Sizes are in bytes, times in what the key's name ends with (_s, _ms, _us). Secrets do not belong here: a key that
# needs one names a file, or holds a SHA-256.
"""
_WIDTH: Final = 118
FILE_MODES: Final = frozenset({"socket_mode"})
"""Keys whose value nobody reads but in octal."""


def example() -> str:
    """The whole file; read back, it gives the defaults."""
    parts = [_HEAD]
    for section, kinds in SECTIONS.items():
        live = " These can change while the host runs: SIGHUP." if section in LIVE_SECTIONS else ""
        told = " ".join(" ".join((kind.__doc__ or "").split()) for kind in kinds)
        parts.append("\n" + "".join(f"{line}\n" for line in _comment(told + live)) + f"[{section}]\n")
        for kind in kinds:
            docs = field_docs(kind)
            for key, declared in keys(kind).items():
                parts += (f"{line}\n" for line in _entry(kind, key, declared, docs.get(key, "")))
    return "".join(parts)


def _entry(kind: type, key: str, declared: Field[Any], told: str) -> Iterator[str]:
    if kind in (Limits, DeveloperLimits, ModuleCaps, CompileLimits):
        spec = specs(kind)[key]
        told = f"{spec.text}; {spec.unit}, for each {spec.scope}; from {spec.least} to {spec.most}"
    yield from _comment(told)
    default = default_of(declared)
    if default is None or declared.default_factory is not MISSING:
        yield f"# {key} ="  # nothing, or what this machine has
    else:
        yield f"{key} = {oct(default) if key in FILE_MODES else _toml(default)}"


def _comment(told: str) -> list[str]:
    return textwrap.wrap(told, _WIDTH, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, str | Path):
        return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'
    return str(value)
