"""The layers, over the imports: what may know what. An arrow that points up fails here, with its file."""

from __future__ import annotations

import ast

import pytest

from tests.style.source import SHIPPED, Source, sources

LAYERS: tuple[frozenset[str], ...] = tuple(
    frozenset(names.split())
    for names in (
        "errors bounds limits receipt statistics traceparent log wire error_response deadline sources rehearsal"
        " worker_settings jail reactor unavailable",
        "bundle sandbox verification javascript toolchains",
        "session settings signed_head offers bundle_reader",
        "admission testing faults pushes tracing report examination",
        "broker executor registry modules housekeeping journal metrics state_changes event_tail",
        "program_code",
        "outcomes backup made_backups residents developers program_operations",
        "state releases recording",
        "calls",
        "program_calls program_changes offline",
        "assembly",
        "upkeep",
        "operations",
        "host",
        "control",
        "client",
        "blocking",
        "daemon",
        "scenarios",
        "dev target",
        "cli",
    )
)
"""Parts of `runtime`, the lowest first. A part imports lower ones only; those of the first layer also each other."""
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
PURE = (
    "runtime/wire.py", "runtime/limits.py", "runtime/receipt.py", "host_api/contract.py", "host_api/money.py",
    "host_api/capability.py", "host_api/ledger.py", "runtime/sandbox/checks.py", "runtime/sandbox/outline.py",
    "runtime/sandbox/bodies.py", "runtime/bundle/archive.py", "runtime/bundle/manifest.py", "runtime/bundle/keys.py",
    "runtime/bundle/signature.py", "runtime/bundle/strict_json.py", "host_api/payment/orders.py",
    "host_api/schema.py",
)  # fmt: skip
_OUTSIDE = (
    "asyncio datetime io logging os pathlib random secrets select shutil signal socket subprocess tempfile threading"
    " time trio urllib"
)
OUTSIDE = frozenset(_OUTSIDE.split())
"""Modules that reach a file, a clock, a thread, randomness or the network."""


def _targets(source: Source) -> set[str]:
    """Parts of `runtime` that a file imports, its own left out."""
    parts = [name.split(".") for name in source.imports()]
    return {part[1] for part in parts if part[0] == "runtime" and len(part) > 1} & LEVEL.keys() - {source.unit}


def _wrong_arrows(source: Source) -> list[str]:
    mine = LEVEL[source.unit]
    return [
        f"{source.path} imports runtime.{target}"
        for target in sorted(_targets(source))
        if LEVEL[target] > mine or (LEVEL[target] == mine > 0)
    ]


def test_every_part_of_runtime_has_its_layer() -> None:
    assert {source.unit for source in sources("runtime")} - {"__init__"} <= LEVEL.keys()


def test_layers_point_down() -> None:
    assert [
        wrong for source in sources("runtime") if source.unit != "__init__" for wrong in _wrong_arrows(source)
    ] == []


def test_an_arrow_that_points_up_is_found() -> None:
    text = "def f():\n    from runtime.host import Host\n"
    assert _wrong_arrows(Source(path="runtime/broker.py", text=text, tree=ast.parse(text)))
    assert not _wrong_arrows(Source(path="runtime/cli/run.py", text=text, tree=ast.parse(text)))


def test_host_api_knows_no_runtime() -> None:
    assert [s.path for s in sources("host_api") for name in s.imports() if name.split(".")[0] == "runtime"] == []


def _importers(*modules: str) -> set[str]:
    """Files that import a module, or something from inside it."""
    return {
        source.path
        for source in sources(*SHIPPED)
        for name in source.imports()
        if any(name == module or name.startswith(f"{module}.") for module in modules)
    }


def test_only_the_sandbox_knows_wasmtime() -> None:
    importers = _importers("wasmtime")
    assert importers and all(path.startswith("runtime/sandbox/") for path in importers)


def test_only_the_binding_knows_wasmtimes_c_interface() -> None:
    assert _importers("wasmtime._ffi", "wasmtime._bindings") == {"runtime/sandbox/binding.py"}


def test_only_the_wire_knows_messagepack() -> None:
    users = {
        source.path
        for source in sources(*SHIPPED)
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Attribute) and node.attr == "msgpack"
    }
    assert users | _importers("msgpack", "msgspec.msgpack") == {"runtime/wire.py"}


def test_only_the_store_knows_the_database() -> None:
    assert all(path.startswith("host_api/store/") for path in _importers("apsw", "sqlite3"))


def test_one_file_names_every_concrete_service() -> None:
    services = _importers("host_api.payment.service", "host_api.storage.Storage", "host_api.session.SessionService")
    assert {path for path in services if not path.startswith("host_api/payment/")} <= {"host_api/services.py"}


@pytest.mark.parametrize("path", PURE)
def test_pure_files_reach_nothing_outside(path: str) -> None:
    (source,) = (each for each in sources(*SHIPPED) if each.path == path)
    assert {name.split(".")[0] for name in source.imports()} & OUTSIDE == set()
