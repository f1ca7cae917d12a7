"""What a toolchain is: it turns a project's sources into the bytes of a module, or says what is missing.

What lives here: the values and the protocol that each language's file in this folder meets. No language, and nothing
that a host does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from runtime.errors import HostelError


class BuildError(HostelError):
    """A program could not be built. The message says where and what to do: what the compiler said, cut to what a
    screen holds, or which tool is missing and how it is had."""

    code = "build_failed"
    exit_code = 26


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A toolchain that is there."""

    name: str
    """With its version: `ziglang 0.17.1`."""
    exact: bool
    """It is the version that the sample programs are built with: the same sources give the same bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """One that is not."""

    name: str
    cure: str
    """One command, or one sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """What came of a build."""

    module: bytes
    compiler: str
    """As `Found.name`."""
    command: Sequence[str]
    """As it may be typed, paths from the folder it ran in."""


class Toolchain(Protocol):
    """One language's compiler."""

    language: str
    """As `--lang` names it: c, zig, rust, assemblyscript, javascript."""
    main: str
    """The file in a project that says it is written in this language: `source/main.c`."""
    sdk: str
    """The folder below host_api/guest that holds its SDK."""

    def find(self) -> Found | Missing:
        """Whether it is there; runs nothing that takes longer than a second."""
        ...

    def build(self, project: Path, sdk: Path, root: Path) -> Built:
        """The module of that project; writes nothing into it. `sdk`: the SDK's folder. `root`: the folder to run the
        compiler in, which holds both, so that no path outside of it reaches the module. Raises BuildError."""
        ...
