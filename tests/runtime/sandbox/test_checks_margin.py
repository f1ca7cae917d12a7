"""Structural caps leave honest modules at least twice the room they need. Prints the table (`pytest -s`)."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path

import pytest

from runtime.limits import MIB, ModuleCaps, specs
from runtime.sandbox.checks import check_module

ROOT = Path(__file__).parents[3]
MARGIN = 2

MEASURED: Mapping[str, Mapping[str, int]] = {
    # quickjs-ng 0.17.0.2 (the C sources of its PyPI source distribution) with a reactor of its own that evaluates a
    # message as a script: zig cc 0.17.1, -target wasm32-wasi -mexec-model=reactor -O2 -s -D_GNU_SOURCE; measured by
    # check_module, 2026-11.
    "QuickJS-ng, our reactor": {
        "module_bytes": 1_025_304, "types": 109, "imports": 6, "functions": 1_233, "globals": 1, "exports": 4,
        "elements": 1, "element_items": 514, "data_segments": 2, "tables": 1, "table_elements": 515, "params": 13,
        "results": 1, "locals": 49, "body_bytes": 53_717, "nesting": 280, "br_table": 254, "name_bytes": 22,
    },
    # The reactor that quickjs-ng 0.17.0 publishes itself (clang): its largest body, branch table and nesting.
    "QuickJS-ng, published": {"body_bytes": 55_128, "nesting": 281, "br_table": 510, "module_bytes": 1_500_000},
    # A reactor with strtok, qsort, sprintf of doubles, sin and printf: zig cc 0.17.1, wasm32-wasi, -Oz -s.
    "C with libc": {
        "module_bytes": 47_765, "types": 32, "imports": 5, "functions": 94, "globals": 1, "exports": 4, "elements": 1,
        "element_items": 7, "data_segments": 2, "tables": 1, "table_elements": 8, "params": 6, "results": 1,
        "locals": 37, "body_bytes": 9_645, "nesting": 35, "br_table": 56, "name_bytes": 22,
    },
    # Formatting and sorting with Zig's standard library: zig build-exe 0.17.1, wasm32-freestanding, ReleaseFast.
    "Zig with its standard library": {
        "module_bytes": 785_064, "types": 8, "imports": 1, "functions": 11, "globals": 1, "exports": 4, "elements": 1,
        "element_items": 8, "data_segments": 1, "tables": 1, "table_elements": 9, "params": 6, "results": 1,
        "locals": 72, "body_bytes": 23_419, "nesting": 24, "br_table": 5, "name_bytes": 15,
    },
}  # fmt: skip
"""Modules too large to keep here: program → cap → largest value met."""
EXACT = frozenset({"tables"})
"""Not a matter of size: there is one or none."""

SOURCE = """
__attribute__((import_module("hostel_v1"), import_name("call"))) int host_call(const void *, int, void *, int);
static char room[4096];
__attribute__((export_name("hostel_alloc"))) void *hostel_alloc(int n) { return n <= 4096 ? room : 0; }
__attribute__((export_name("hostel_handle"))) unsigned long long hostel_handle(char *p, int n) {
  return (unsigned long long)(unsigned long)room << 32 | host_call(p, n, room, 4096);
}
"""


def _samples() -> Iterator[tuple[str, Mapping[str, int]]]:
    """Every honest guest that the repository itself carries."""
    folder = ROOT / "sample_programs"
    for path in sorted(folder.rglob("*.wasm")):
        if "hostile" not in path.relative_to(folder).parts:
            name = path.relative_to(folder).parts[0]
            yield name, check_module(path.read_bytes(), ModuleCaps(), 16 * MIB).measured


def test_every_cap_is_at_least_twice_what_honest_modules_need() -> None:
    corpus = dict(MEASURED) | dict(_samples())
    caps, narrow = ModuleCaps(), []
    print(f"\n{'cap':<16}{'value':>10}{'largest':>10}{'margin':>9}  met in")
    for cap in specs(ModuleCaps):
        value = getattr(caps, cap)
        met_in, largest = max(((name, met.get(cap, 0)) for name, met in corpus.items()), key=lambda met: met[1])
        margin = value / largest if largest else float("inf")
        print(f"{cap:<16}{value:>10}{largest:>10}{margin:>8.1f}×  {met_in}")
        if margin < MARGIN and cap not in EXACT:
            narrow.append(cap)
    assert narrow == []


@pytest.mark.slow
def test_a_program_just_compiled_passes_with_room(tmp_path: Path) -> None:
    if find_spec("ziglang") is None:
        pytest.skip("needs ziglang: pip install hostel[dev]")
    (tmp_path / "guest.c").write_text(SOURCE)
    subprocess.run(
        [
            sys.executable, "-m", "ziglang", "cc", "-target", "wasm32-freestanding", "-Oz", "-s", "-nostdlib",
            "-Wl,--no-entry", "-Wl,-z,stack-size=65536", "-o", "guest.wasm", "guest.c",
        ],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    facts = check_module((tmp_path / "guest.wasm").read_bytes(), ModuleCaps(), 16 * MIB)
    assert facts.imports == (("hostel_v1", "call"),)
    caps = ModuleCaps()
    assert all(MARGIN * met <= getattr(caps, cap) for cap, met in facts.measured.items() if cap not in EXACT)
