"""Bundles of the samples with something changed in one of their layers: archive, signing block, manifest, module or
script. The same seed and number give the same bytes.

A change deeper than the archive is packed anew and signed anew, by a key that the host trusts, so that it is met where
it was made and not turned away at the door.
"""

from __future__ import annotations

import random
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from runtime.bundle import Keyring, SigningKey, TrustedKey, pack, sign
from runtime.bundle.archive import read_archive, read_layout
from runtime.bundle.archive_writer import write_archive
from runtime.errors import BundleError
from tests.fuzz import mutated_json
from tests.fuzz.module_sections import Section, joined, split
from tests.fuzz.mutated_archive import changed_field
from tests.fuzz.mutated_bytes import changed
from tests.hostile.guests import Script, bundle, scripted

SAMPLES: Final = Path(__file__).resolve().parents[2] / "sample_programs"
MANIFEST: Final = "manifest.json"
KEY: Final = SigningKey.from_seed(bytes(range(32)))
STRANGER: Final = SigningKey.from_seed(bytes(32))
KEYRING: Final = Keyring([TrustedKey(public_key=KEY.public_key)])
Call = tuple[str, dict[str, Any]]
_CALLS: Final[Mapping[str, tuple[Call, ...]]] = {
    "echo": (("echo", {"text": "hello"}), ("no.such", {})),
    "grocery_delivery": (("catalogue.list", {}), ("cart.add", {"items": {"apple": 3}})),
    "legal_advice": (("lawyers.list", {"topic": "tenancy"}), ("book", {"lawyer": "chen", "hour": 1})),
    "hostile/forged_order": (("run", {}),), "hostile/memory_hog": (("run", {}),), "hostile/spin": (("run", {}),),
    "scripted": (("run", Script().step("memory_grow", 3).step("spin", 9).params()),),
}  # fmt: skip
MODULES: Final = ("echo", "echo", "scripted", "hostile/forged_order", "hostile/memory_hog", "hostile/spin")
"""Whose modules are changed: small ones, as each is compiled."""


class Mutant(NamedTuple):
    """A bundle, the layer that was changed, and what to call should it be taken."""

    kind: str
    data: bytes
    calls: tuple[Call, ...]


def _sample(name: str) -> bytes:
    if name == "scripted":
        return bundle(scripted(), "org.example.scripted").data
    return pack(SAMPLES / name / "bundle")


class Mutants:
    """Makes mutants. `executable`: wasm-tools."""

    def __init__(self, executable: Path) -> None:
        self._executable = executable
        self._samples = {name: sign(_sample(name), KEY) for name in _CALLS}
        self._contents = {name: dict(read_archive(data).contents) for name, data in self._samples.items()}

    def make(self, draw: random.Random) -> Mutant:
        kind = draw.choices(list(_LAYERS), weights=[5, 5, 2, 7, 3, 3, 2, 1])[0]
        name, data = _LAYERS[kind](self, draw)
        return Mutant(kind, data, _CALLS[name])

    def _any(self, draw: random.Random) -> str:
        return draw.choice(list(_CALLS))

    # ---- the container -----------------------------------------------------------------------------------------------
    def _archive_bytes(self, draw: random.Random) -> tuple[str, bytes]:
        name = self._any(draw)
        return name, changed(self._samples[name], draw, others=[*self._samples.values()])

    def _archive_fields(self, draw: random.Random) -> tuple[str, bytes]:
        """A field of a header, in one of its places or in both; signed again where that can be read."""
        name = self._any(draw)
        return name, _signed(changed_field(self._samples[name], draw))

    def _signature(self, draw: random.Random) -> tuple[str, bytes]:
        name = self._any(draw)
        data = self._samples[name]
        layout = read_layout(data)
        begin, end = layout.members_end, layout.directory_start
        match draw.randrange(3):
            case 0:
                return name, sign(data, STRANGER)
            case 1:  # of another bundle
                other = self._samples[self._any(draw)]
                found = read_layout(other)
                block = other[found.members_end : found.directory_start]
            case _:
                block = changed(data[begin:end], draw, most=2)
        return name, data[:begin] + block + data[end:]

    # ---- what is in it -----------------------------------------------------------------------------------------------
    def _manifest(self, draw: random.Random) -> tuple[str, bytes]:
        name = self._any(draw)
        contents = self._contents[name]
        told = mutated_json.changed(contents[MANIFEST], draw, most=draw.choice((1, 1, 3)))
        return name, _packed({**contents, MANIFEST: told})

    def _with_module(self, name: str, wasm: bytes) -> tuple[str, bytes]:
        return name, _packed({**self._contents[name], "program.wasm": wasm})

    def _module_sections(self, draw: random.Random) -> tuple[str, bytes]:
        name = draw.choice(MODULES)
        sections = split(self._contents[name]["program.wasm"])
        for _ in range(draw.randint(1, 2)):
            at = draw.randrange(len(sections))
            one = sections[at]
            match draw.randrange(5):
                case 0 if len(sections) > 1:
                    del sections[at]
                case 1:
                    sections.insert(draw.randint(0, len(sections)), one)
                case 2:
                    sections.insert(draw.randint(0, at), sections.pop(at))
                case 3:
                    sections[at] = Section(draw.randrange(16), one.content)
                case _:
                    sections[at] = Section(one.id, changed(one.content, draw, most=2))
        return self._with_module(name, joined(sections))

    def _module_code(self, draw: random.Random) -> tuple[str, bytes]:
        """A change that leaves a valid module."""
        name = draw.choice(MODULES)
        while True:
            command = [self._executable, "mutate", "--seed", str(draw.getrandbits(32))]
            made = subprocess.run(
                command, input=self._contents[name]["program.wasm"], capture_output=True, check=False
            )  # fmt: skip
            if made.returncode == 0 and made.stdout:
                return self._with_module(name, made.stdout)

    def _script(self, draw: random.Random) -> tuple[str, bytes]:
        name = "legal_advice"
        contents = self._contents[name]
        path = draw.choice([path for path in contents if path.endswith((".js", "office.json"))])
        source = changed(contents[path], draw, most=2, others=[contents["main.js"], contents["store.js"]])
        return name, _packed({**contents, path: source})

    def _members(self, draw: random.Random) -> tuple[str, bytes]:
        """Members that are missing, more of them, and others' places."""
        name = self._any(draw)
        contents = dict(self._contents[name])
        path = draw.choice(list(contents))
        match draw.randrange(4):
            case 0 if len(contents) > 1:
                del contents[path]
            case 1:
                new = draw.choice(("x", "X", "a/b.txt", "MANIFEST.json", "p.js", "ä", "a" * 200))
                contents[new] = draw.randbytes(9)
            case 2:
                contents[path] = contents[draw.choice(list(contents))]
            case _:
                contents[path] = contents[path] * draw.choice((0, 2))
        return name, _packed(contents)


def _packed(contents: Mapping[str, bytes]) -> bytes:
    try:
        return _signed(write_archive(contents))
    except BundleError:  # its container already: as it is, with what cannot be written left out
        return b"PK\x03\x04" + b"".join(contents.values())[:4_096]


def _signed(data: bytes) -> bytes:
    """By the trusted key, where there is a bundle to sign; else as it is: it is refused whoever signs it."""
    try:
        return sign(data, KEY)
    except BundleError:
        return data


_LAYERS: Final[Mapping[str, Callable[[Mutants, random.Random], tuple[str, bytes]]]] = {
    "archive, bytes": Mutants._archive_bytes, "archive, fields": Mutants._archive_fields,
    "signing block": Mutants._signature, "manifest": Mutants._manifest, "module, sections": Mutants._module_sections,
    "module, code": Mutants._module_code, "script": Mutants._script, "members": Mutants._members,
}  # fmt: skip
