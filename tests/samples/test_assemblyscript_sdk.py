"""The AssemblyScript SDK: what any bytes come to, what a program that throws comes to, and how it is built."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import wasmtime

from runtime import wire
from runtime.toolchains import BuildError, Found, Missing
from runtime.toolchains.assemblyscript import CURE, PLACE, VERSION, AssemblyScript
from tests.samples.vectors import VALID, written

ROOT = Path(__file__).resolve().parents[2]
CODEC = ROOT / "tests/samples/codec/assemblyscript/bundle/program.wasm"
GUEST = ROOT / "host_api/guest"
TOOLCHAIN = AssemblyScript()
HELLO = """
import { Answer, Request, Writer, answer, serve } from "hostel";
export { hostel_alloc, hostel_inbox, hostel_inbox_size } from "hostel";
export function hostel_handle(at: usize, size: u32): u64 { return serve(at, size, hello); }
function hello(request: Request): Answer {
  const names = request.params.get("names").items(), told = new Writer().list();
  for (let i = 0; i < names.length; i++) told.text(names[i].text());
  return answer(told.end());
}
"""


@pytest.fixture
def codec(guest_of: Callable[[bytes], Any]) -> Any:
    return guest_of(CODEC.read_bytes())


def spoiled(chance: random.Random, message: bytes) -> bytes:
    """A message with some of its bytes changed, taken out or cut off."""
    data = bytearray(message)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(data))
        if chance.random() < 0.5:
            data[at] = chance.randrange(256)
        else:
            del data[at : at + chance.randint(1, 3)]
        data = data or bytearray(1)
    return bytes(data)


def test_any_bytes_are_answered_or_left_and_never_trap(codec: Any) -> None:
    """The host hands over messages that it has checked; a codec that relies on it would be one bug from a hole."""
    chance = random.Random(5)
    whole = [wire.request(7, "codec.echo", {"bytes": written(one["bytes"])[:200], "more": [1, "二"]}) for one in VALID]
    for _ in range(400):
        answer = codec.raw(spoiled(chance, chance.choice(whole)))
        if answer:
            kind, _, error, result = wire.decode(answer, 262_144)
            assert kind == 1 and (error is None) != (result is None)


def test_any_bytes_inside_are_read_or_refused(codec: Any, refused: type[Exception]) -> None:
    chance = random.Random(6)
    answered = 0
    for _ in range(400):
        data = spoiled(chance, written(chance.choice(VALID)["bytes"])[:300])
        try:
            again = codec.call("codec.echo", {"bytes": data})["bytes"]
        except refused:
            continue
        answered += 1
        assert wire.decode(again, 262_144) == wire.decode(data, 262_144)
    assert 40 < answered < 360


def test_a_large_message_is_given_room_of_its_own(codec: Any) -> None:
    data = wire.encode("x" * 60_000)
    assert codec.call("codec.echo", {"bytes": data}) == {"bytes": data}


def test_what_is_thrown_is_a_line_with_its_place_and_a_trap(codec: Any) -> None:
    line = next(
        number
        for number, text in enumerate((CODEC.parents[1] / "source/main.ts").read_text().splitlines(), 1)
        if "throw new" in text
    )
    with pytest.raises(wasmtime.Trap, match="unreachable"):
        codec.call("throw")
    ((method, params),) = codec.host.requests
    assert (method, params["level"]) == ("log.write", "error")
    assert params["message"].startswith(f"thrown as it was asked for (source/main.ts:{line}:")


def test_a_notification_is_not_answered(codec: Any) -> None:
    assert codec.raw(wire.notification("codec.echo", {})) == b""


def test_the_scenario_of_the_template_is_that_of_every_language() -> None:
    first = "template/scenarios/first.json"
    assert (GUEST / "assemblyscript" / first).read_bytes() == (GUEST / "javascript" / first).read_bytes()


# ---- the toolchain ---------------------------------------------------------------------------------------------------
@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder without asc, and none on the path."""
    monkeypatch.delenv(PLACE, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_without_the_compiler_it_says_how_it_is_had(nowhere: Path) -> None:
    assert TOOLCHAIN.find() == Missing(name=f"assemblyscript {VERSION}", cure=CURE)
    with pytest.raises(BuildError, match="npm install assemblyscript"):
        TOOLCHAIN.build(nowhere, nowhere, nowhere)


@pytest.mark.parametrize(("version", "exact"), [(VERSION, True), ("0.27.0", False)])
def test_the_projects_own_compiler_is_found_with_its_version(nowhere: Path, version: str, exact: bool) -> None:
    package = nowhere / "node_modules/assemblyscript"
    (package / "bin").mkdir(parents=True)
    (package / "bin/asc.js").write_text("")
    (package / "package.json").write_text(f'{{"version": "{version}"}}')
    assert TOOLCHAIN.find() == Missing(name="node", cure="install Node.js 20 or newer, with npm")
    (nowhere / "node").write_text("")
    (nowhere / "node").chmod(0o755)
    assert TOOLCHAIN.find() == Found(name=f"assemblyscript {version}", exact=exact)


@pytest.mark.skipif(
    isinstance(TOOLCHAIN.find(), Missing), reason=f"AssemblyScript is not here: {CURE}, and name asc in {PLACE}"
)
class TestBuilding:
    """With the compiler."""

    def make(self, folder: Path, text: str, lifetime: str = "fresh") -> bytes:
        (folder / "source").mkdir(parents=True)
        (folder / "source/main.ts").write_text(text)
        (folder / "bundle").mkdir()
        (folder / "bundle/manifest.json").write_text(f'{{"program": {{"lifetime": "{lifetime}"}}}}')
        root = Path(folder.anchor)
        return TOOLCHAIN.build(folder, GUEST / "assemblyscript", root).module

    def test_what_does_not_compile_is_told_with_its_place(self, tmp_path: Path) -> None:
        with pytest.raises(BuildError, match=r"source/main\.ts\(1,\d+\)"):
            self.make(tmp_path / "wrong", 'export function f(): i32 { return "one"; }')

    def test_a_resident_program_frees_what_it_no_longer_holds(self, tmp_path: Path) -> None:
        """Without a collector each message would take memory for good."""
        module = self.make(tmp_path / "kept", HELLO, "resident")
        store = wasmtime.Store(wasmtime.Engine())
        loaded = wasmtime.Module(store.engine, module)
        assert {one.module for one in loaded.imports} == {"hostel_v1"}
        linker = wasmtime.Linker(store.engine)
        linker.define_unknown_imports_as_traps(loaded)
        exports: Any = linker.instantiate(store, loaded).exports(store)
        message = wire.request(1, "hello", {"names": ["Ada" * 100] * 50})
        sizes = []
        for _ in range(40):
            for _ in range(10):
                at = exports["hostel_alloc"](store, len(message))
                exports["memory"].write(store, message, at)
                packed = exports["hostel_handle"](store, at, len(message))
            sizes.append(exports["memory"].size(store))
        start, size = packed >> 32, packed & 0xFFFFFFFF
        answer = wire.decode(exports["memory"].read(store, start, start + size), 262_144)
        assert answer == [1, 1, None, ["Ada" * 100] * 50]
        assert sizes[-1] == sizes[10] and sizes[-1] * 65_536 < 40 * 10 * len(message) / 4
