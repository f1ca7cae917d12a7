"""However deep something is nested, a script is told so in an error that it can catch; it never ends in a trap."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.samples.javascript_site import scripted

DEPTH = 20_000
NESTED = ("(", "[", "{", "!", "1?", "a=", "new ", "2**", "`${", "if(1)", "if(1){", "()=>(", "f(", "class A extends ")
CASES = {
    "call": "const f = () => f() + 1; f()",
    "getter": "const o = { get x() { return this.x; } }; o.x",
    "constructor": "class A { a = new A(); } new A()",
    "sort": "const f = () => [2, 1].sort(f); f()",
    "replace": 'const f = () => "a".replace(/a/, f); f()',
    "generator": "function* g() { yield* g(); } g().next()",
    "toString": 'const o = { toString() { return "" + o; } }; "" + o',
    "toPrimitive": "const o = { [Symbol.toPrimitive]() { return +o; } }; +o",
    "reviver": 'const f = () => JSON.parse("[1]", f); f()',
    "eval": 'globalThis.f = () => eval("f()"); f()',
    "JSON.parse [": f'JSON.parse("[".repeat({DEPTH}))',
    "JSON.parse {": f'JSON.parse("{{\\"a\\":".repeat({DEPTH}))',
    "JSON.stringify": f"let a = []; for (let i = 0; i < {DEPTH}; i++) a = [a]; JSON.stringify(a)",
    "flat": f"let a = []; for (let i = 0; i < {DEPTH}; i++) a = [a]; a.flat(Infinity)",
    "join": f"let a = []; for (let i = 0; i < {DEPTH}; i++) a = [a]; String(a)",
    "clone": f"let a = []; for (let i = 0; i < {DEPTH}; i++) a = [a]; structuredClone(a)",
    "proxy get": f"let p = {{}}; for (let i = 0; i < {DEPTH}; i++) p = new Proxy(p, {{}}); p.x",
    "proxy set": f"let p = {{}}; for (let i = 0; i < {DEPTH}; i++) p = new Proxy(p, {{}}); p.x = 1",
    "proxy keys": f"let p = {{}}; for (let i = 0; i < {DEPTH}; i++) p = new Proxy(p, {{}}); Object.keys(p)",
    **{
        f"source {part}": f"new Function({part!r}.repeat({DEPTH}))"
        for part in NESTED
    },
    "functions": f'new Function("function f(){{".repeat({DEPTH}))',
    "classes": f'new Function("class A{{a=".repeat({DEPTH}))',
    "expression (?:": f'new RegExp("(?:".repeat({DEPTH}) + ")".repeat({DEPTH}))',
    "expression (?=": f'new RegExp("(?=".repeat({DEPTH}) + ")".repeat({DEPTH}))',
    "expression [[": f'new RegExp("[".repeat({DEPTH}) + "]".repeat({DEPTH}), "v")',
}  # fmt: skip
_METHODS = "".join(f"  {name!r}() {{ {case} }},\n" for name, case in CASES.items())
SCRIPT = f"""
const cases = {{
{_METHODS}}};
export default {{
  deep({{ name }}) {{
    try {{ cases[name](); return "no end"; }} catch (error) {{ return error.message; }}
  }},
}};
"""


async def test_nothing_is_too_deep_to_be_told(cache: Path) -> None:
    async with scripted(cache, SCRIPT) as site:
        told = {name: await site.call("deep", {"name": name}) for name in CASES}
    endings = ("Maximum call stack size exceeded", "stack overflow")
    assert {name: said for name, said in told.items() if said not in endings} == {}


@pytest.mark.parametrize("nested", ["[", '{"a":'])
async def test_a_deep_data_file_is_refused_when_it_is_loaded(cache: Path, nested: str) -> None:
    from runtime.errors import ScriptError

    files = {"main.js": 'import data from "./data.json"; export default { data };', "data.json": nested * DEPTH}
    with pytest.raises(ScriptError, match="Maximum call stack size exceeded"):
        async with scripted(cache, files):
            pass
