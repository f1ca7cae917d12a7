"""Every structural cap on a module, through Host.install: at its value installed, one over it refused by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from runtime import ModuleCaps, ModuleError
from tests.hostile.conftest import Opened
from tests.hostile.guests import bundle, module

ABI_TYPES, ABI_EXPORTS, ABI_FUNCTIONS = 2, 3, 2
"""What every module of the kit has already."""


def _padded(size: int) -> bytes:
    """A module of exactly that many bytes, by a custom section."""
    made = module()
    rest = size - len(made) - 3
    assert 2 <= rest < 128 - 1
    return made + bytes([0, rest + 1, 1]) + b"x" + bytes(rest - 1)


def _handle(code: str) -> bytes:
    return module(more=f"(func {code})")


def _body(size: int) -> bytes:
    """A function whose body takes that many bytes: its locals, its instructions and its end."""
    return _handle("(nop) " * (size - 2))


def _names(size: int) -> bytes:
    return module(more=f'(func (export "{"n" * size}"))')


CAPS: Mapping[str, tuple[int, Callable[[int], bytes]]] = {
    "module_bytes": (200, _padded),
    "types": (
        6,
        lambda n: module(more="".join(f"(type (func {'(param i64) ' * (i + 1)}))" for i in range(n - ABI_TYPES))),
    ),
    "imports": (3, lambda n: module(imports=("call", "post", "wait", "take")[:n])),
    "functions": (20, lambda n: module(more="(func) " * (n - ABI_FUNCTIONS))),
    "globals": (7, lambda n: module(more="(global i32 (i32.const 0)) " * n)),
    "exports": (9, lambda n: module(more="".join(f'(func (export "f{i}"))' for i in range(n - ABI_EXPORTS)))),
    "elements": (4, lambda n: module(more="(table 1 funcref) (func $f) " + "(elem (i32.const 0) $f) " * n)),
    "element_items": (30, lambda n: module(more=f"(table 99 funcref) (func $f) (elem (i32.const 0) {'$f ' * n})")),
    "data_segments": (6, lambda n: module(more='(data (i32.const 0) "x") ' * (n - 1))),
    "tables": (0, lambda n: module(more="(table 1 funcref) " * n)),
    "table_elements": (50, lambda n: module(more=f"(table {n} funcref)")),
    "params": (12, lambda n: _handle("(param i32) " * n)),
    "results": (5, lambda n: _handle("(result i32) " * n + "(i32.const 0) " * n)),
    "locals": (40, lambda n: _handle("(local i64) " * n)),
    "body_bytes": (100, _body),
    "nesting": (10, lambda n: _handle("(block " * n + ")" * n)),
    "br_table": (25, lambda n: _handle(f"(block (br_table {'0 ' * (n + 1)} (i32.const 0)))")),
    "name_bytes": (40, _names),
}
"""Cap → the value it is set to, and a module that needs just n."""


@pytest.mark.parametrize("cap", CAPS)
async def test_a_module_at_the_cap_is_installed_and_one_over_it_refused(opened: Opened, cap: str) -> None:
    value, build = CAPS[cap]
    async with opened(caps=ModuleCaps(**{cap: value})) as site:
        app = await site.host.install(bundle(build(value)))
        assert (await site.host.call(app, "run")).value is None
        with pytest.raises(ModuleError) as caught:
            await site.host.install(bundle(build(value + 1), "org.example.over"))
        details = caught.value.details
        assert (details["cap"], details["value"], details["found"]) == (cap, value, value + 1)
        assert site.host.statistics().programs == 1
