"""`hostel check`: what can be said of a program without running it: caps, imports, capabilities, and what a host will
refuse."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from runtime.bundle import Bundle
from runtime.bundle.bundle import WASM_MAGIC
from runtime.bundle.files import read_archive_file
from runtime.cli import report
from runtime.cli.review import margin
from runtime.cli.script import load_script
from runtime.cli.stale import check_built, warn_of_stale
from runtime.cli.words import read_limits
from runtime.errors import ManifestError
from runtime.limits import WASM_PAGE, Limits, ModuleCaps, specs
from runtime.sandbox.checks import ModuleFacts, check_module

if TYPE_CHECKING:
    from runtime.examination import Examined


def check(
    file: Path,
    /,
    *,
    limit: Annotated[list[str], Parameter(help="NAME=VALUE: the limit the program is to run under.")] = [],  # noqa: B006
    as_json: report.AsJson = False,
) -> None:
    """Check a program without calling it: its module against the feature profile, the guest ABI and every structural
    cap; of a bundle or a project also what it asks for and seems to use, and what a host will refuse, with the cure.

    What it uses is looked for by the names of methods in its code: a hint. A script is loaded once, as at installation.

    Parameters
    ----------
    file
        A bundle, a project's folder, or a WebAssembly module alone.
    """
    given = read_limits(limit)
    limits: Limits = Limits().changed(given)
    found = _read(file)
    if isinstance(found, bytes):
        told = _of_module(found, limits.memory_bytes)
        _show(told, as_json)
        return
    from runtime.examination import examine
    from runtime.offers import limits_of

    examined = examine(found, limits)
    _refuse(examined)
    if found.script_image is not None:
        load_script(found, given)
        of_code = {}
    else:
        of_code = _of_module(found.module, limits_of(found, limits).memory_bytes)
    _show({**_of_bundle(found, examined), **of_code}, as_json)


def _read(file: Path) -> Bundle | bytes:
    """A bundle, or the bytes of a module."""
    if file.is_dir():
        from runtime.scenarios.project import read_bundle

        check_built(file)
        warn_of_stale(file)
        return read_bundle(file)
    data = read_archive_file(file)
    return data if data.startswith(WASM_MAGIC) else Bundle.from_bytes(data)


def _refuse(examined: Examined) -> None:
    """Raises ManifestError with everything for which an installation is refused."""
    if refused := [str(finding) for finding in examined.refused]:
        more = f" (and {len(refused) - 1} more)" if len(refused) > 1 else ""
        raise ManifestError(f"{refused[0]}{more}", details={"refused": refused})


def _of_module(wasm: bytes, memory_bytes: int) -> dict[str, Any]:
    """Raises ModuleError."""
    facts = check_module(wasm, ModuleCaps(), memory_bytes)
    inbox = 0 if facts.inbox is None else facts.inbox[1]
    return {
        "sha256": facts.sha256, "bytes": len(wasm), "memory_bytes": facts.memory_min_pages * WASM_PAGE,
        "memory_limit": memory_bytes, "inbox_bytes": inbox, "caps": _rows(facts, ModuleCaps()),
        "imports": [f"{module}.{name}" for module, name in facts.imports],
    }  # fmt: skip


def _of_bundle(bundle: Bundle, examined: Examined) -> dict[str, Any]:
    manifest, image = bundle.manifest, bundle.script_image
    return {
        "app_id": manifest.app_id, "release": manifest.version.name, "identity": bundle.identity,
        "members": len(bundle.members), "all_bytes": sum(member.size for member in bundle.members.values()),
        "script_bytes": None if image is None else len(image), "methods": list(examined.methods),
        "capabilities": [
            {"name": one.name, "asked": one.asked, "methods": list(one.methods), "reason": one.reason}
            for one in examined.capabilities
        ],
        "hints": [str(finding) for finding in examined.hints],
    }  # fmt: skip


def _show(told: dict[str, Any], as_json: bool) -> None:
    if as_json:
        report.show_json(told)
        return
    if "caps" in told:
        _show_caps(told["caps"])
    if "app_id" in told:
        _show_bundle(told)
    if "caps" not in told:
        report.show_line(f"accepted: a script of {told['script_bytes']:,} bytes, which loads")
        return
    inbox = f"an inbox of {told['inbox_bytes']} bytes" if told["inbox_bytes"] else "no inbox"
    report.show_line(
        f"accepted: sha256 {told['sha256']}, {told['memory_bytes']} of {told['memory_limit']} bytes of memory at start,"
        f" {len(told['imports'])} imports, {inbox}"
    )


def _show_caps(rows: list[dict[str, Any]]) -> None:
    report.show_table(
        ("structural cap", ">found", ">cap", ">margin", "unit", "of each", "what"),
        [
            (r["name"], r["found"], r["cap"], margin(r["found"], r["cap"]), r["unit"], r["scope"], r["text"])
            for r in rows
        ],
    )


def _show_bundle(told: dict[str, Any]) -> None:
    if told["capabilities"]:
        report.show_table(
            ("capability", "asked for", "methods named in the code", "why"),
            [(one["name"], one["asked"], ", ".join(one["methods"]) or "none seen", one["reason"])
             for one in told["capabilities"]],
        )  # fmt: skip
    report.show_line(
        f"{told['app_id']} {told['release']}: {told['members']} files, {told['all_bytes']:,} bytes; calls"
        f" {', '.join(told['methods']) or 'no method that is named in the code'}"
    )
    for hint in told["hints"]:
        report.show_line(f"- {hint}")


def _rows(facts: ModuleFacts, caps: ModuleCaps) -> list[dict[str, Any]]:
    return [
        {"name": name, "found": facts.measured[name], "cap": getattr(caps, name), "unit": spec.unit,
         "scope": spec.scope, "text": spec.text}
        for name, spec in specs(ModuleCaps).items()
    ]  # fmt: skip
