"""`hostel check`: the static checks of a module, and how far from each structural cap it stays."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from runtime.bundle import Bundle
from runtime.bundle.bundle import WASM_MAGIC
from runtime.bundle.files import read_archive_file
from runtime.cli import report
from runtime.cli.permissions import unknown_permissions
from runtime.cli.review import margin
from runtime.cli.words import read_limits
from runtime.limits import WASM_PAGE, Limits, ModuleCaps, specs
from runtime.sandbox.checks import ModuleFacts, check_module


def check(
    file: Path,
    /,
    *,
    limit: Annotated[list[str], Parameter(help="NAME=VALUE: the limit the program is to run under.")] = [],  # noqa: B006
    as_json: report.AsJson = False,
) -> None:
    """Check a module against the feature profile, the guest ABI and every structural cap; of a bundle, also whether
    this host knows the permissions it asks for. Nothing is compiled or run.

    Parameters
    ----------
    file
        A bundle, or a WebAssembly module alone.
    """
    wasm, memory_bytes, warnings = _module(file, read_limits(limit))
    caps = ModuleCaps()
    facts = check_module(wasm, caps, memory_bytes)
    rows = _rows(facts, caps)
    if as_json:
        report.show_json({"sha256": facts.sha256, "memory_bytes": facts.memory_min_pages * WASM_PAGE, "caps": rows,
                          "imports": [f"{module}.{name}" for module, name in facts.imports],
                          "warnings": warnings})  # fmt: skip
        return
    report.show_table(
        ("structural cap", ">found", ">cap", ">margin", "unit", "of each", "what"),
        [
            (r["name"], r["found"], r["cap"], margin(r["found"], r["cap"]), r["unit"], r["scope"], r["text"])
            for r in rows
        ],
    )
    inbox = f"an inbox of {facts.inbox[1]} bytes" if facts.inbox else "no inbox"
    report.show_line(
        f"accepted: sha256 {facts.sha256}, {facts.memory_min_pages * WASM_PAGE} of {memory_bytes} bytes of memory at"
        f" start, {len(facts.imports)} imports, {inbox}"
    )


def _module(file: Path, limits: dict[str, int]) -> tuple[bytes, int, list[str]]:
    """The module, the memory it may have, and what is wrong with the permissions that its manifest asks for."""
    data = read_archive_file(file)
    if data.startswith(WASM_MAGIC):
        given: Limits = Limits().changed(limits)
        return data, given.memory_bytes, []
    from runtime.offers import effective_limits

    bundle = Bundle.from_bytes(data)
    memory_bytes = effective_limits(bundle.manifest.program.limits, Limits(), limits).memory_bytes
    return bundle.module, memory_bytes, unknown_permissions(bundle.manifest)


def _rows(facts: ModuleFacts, caps: ModuleCaps) -> list[dict[str, Any]]:
    return [
        {"name": name, "found": facts.measured[name], "cap": getattr(caps, name), "unit": spec.unit,
         "scope": spec.scope, "text": spec.text}
        for name, spec in specs(ModuleCaps).items()
    ]  # fmt: skip
