"""The host API as AssemblyScript: one class for the parameters of each method, one for each result, a function for each
method in the namespace of its service.

What lives here: how AssemblyScript spells the model. Parameters are given as an object literal, so those classes have
no methods; what is left out is not sent. Reading is a function beside the class. Inside of a namespace its own names
come first, so what is imported for use there ends with `_`. What must not: asking (host.ts).
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from host_api.bindings.model import Api, Field, Method, Struct, Type

_HEAD = """\
/* api.ts: the host API, level {level}. Generated from the declared methods by `python docs/generate.py`: do not edit.
 *
 * What lives here: a class for what each method takes and gives, and a function that asks for it. Parameters are given
 * as an object literal; what is left out is not sent. A whole number that may be nil is UNSET where it is; what may be
 * any value is a Writer in parameters and a Value in results. Fields that a newer host adds are skipped.
 */
import {{ Result, begin as begin_, received as received_, send as send_ }} from "./host";
import {{ Reader, UNSET }} from "./reader";
import {{ Value }} from "./value";
import {{ Writer }} from "./writer";
"""
_WORDS = frozenset(
    [
        "delete",
        "function",
        "new",
        "class",
        "switch",
        "default",
        "import",
        "export",
        "null",
        "true",
        "false",
        "this",
        "var",
        "let",
    ]
)
_SCALARS = {"text": "string", "choice": "string", "integer": "i64", "number": "f64", "boolean": "bool"}
_CALLS = {"text": "text", "choice": "text", "integer": "int", "number": "float", "boolean": "bool", "bytes": "bytes"}


def write(api: Api) -> str:
    """The text of api.ts."""
    taken, given = _used(api)
    parts = [_HEAD.format(level=api.level)]
    for struct in api.structs:
        if struct.fields:
            parts.append(_class(struct, is_given=struct.name in given))
            if struct.name in taken:
                parts.append(_writer(struct))
            if struct.name in given:
                parts.append(_reader(struct))
    services: dict[str, list[Method]] = {}
    for method in api.methods:
        services.setdefault(method.name.split(".")[0], []).append(method)
    for name, methods in services.items():
        functions = "\n\n".join(_function(method) for method in methods)
        parts.append(f"export namespace {name} {{\n{functions}\n}}\n")
    return "\n".join(parts)


def _used(api: Api) -> tuple[set[str], set[str]]:
    """Names of the structs that programs write, and of those that they read."""
    held = {struct.name: {name for field in struct.fields for name in _structs(field.type)} for struct in api.structs}

    def all_of(name: str) -> Iterator[str]:
        yield name
        for inner in held[name]:
            yield from all_of(inner)

    taken = {name for method in api.methods for name in all_of(method.params.name)}
    given = {name for method in api.methods for name in all_of(method.result.name)}
    return taken, given


def _structs(told: Type) -> Iterator[str]:
    if told.struct:
        yield told.struct
    if told.inner is not None:
        yield from _structs(told.inner)


def _class(struct: Struct, *, is_given: bool) -> str:
    lines = [f"/** {struct.meaning} */"] if struct.meaning else []
    lines.append(f"export class {_struct_name(struct.name)} {{")
    for field in struct.fields:
        lines += [f"  {line}" for line in _comment(field)]
        lines.append(f"  {_camel(field.name)}: {_declared(field, is_given=is_given)};")
    return "\n".join([*lines, "}", ""])


def _comment(field: Field) -> list[str]:
    words = field.meaning.rstrip(".")
    if field.type.kind == "choice":
        words += f" ({', '.join(field.type.choices)})"
    inner = field.type.inner
    if inner is not None and inner.kind == "choice":
        words += f" (of {', '.join(inner.choices)})"
    if field.bounds and not field.bounds.startswith("`"):
        words += f" [{field.bounds.replace('–', 'to')}]"
    if field.type.kind == "map":
        words += " [a map]"
    return [f"/** {words.strip()}. */"] if words else []


def _declared(field: Field, *, is_given: bool) -> str:
    """Type and, where it may be left out, what it then is. In results everything has a value to begin with."""
    told = field.type
    if told.kind in ("any", "map"):
        if is_given:
            return "Value = new Value(0, 0, null)"
        return "Writer" if field.required else "Writer | null = null"
    if told.kind == "integer" and told.nullable:
        return "i64 = UNSET"
    name = _type_name(told)
    if told.nullable or (told.kind == "bytes" and not field.required):
        return f"{name} | null = null"
    if field.required and not is_given:
        return name
    return f"{name} = {_initial(field)}"


def _initial(field: Field) -> str:
    told = field.type
    if told.kind == "struct":
        return f"new {_struct_name(told.struct)}()"
    if told.kind == "list":
        return "[]"
    if told.kind == "bytes":
        return "new Uint8Array(0)"
    empty: dict[str, object] = {"integer": 0, "number": 0.0, "boolean": False}
    value = empty.get(told.kind, "") if field.required or field.default is None else field.default
    return json.dumps(value)


def _type_name(told: Type) -> str:
    if told.kind == "struct":
        return _struct_name(told.struct)
    if told.kind == "list" and told.inner is not None:
        return f"Array<{_type_name(told.inner)}>"
    return "Uint8Array" if told.kind == "bytes" else _SCALARS[told.kind]


def _writer(struct: Struct) -> str:
    lines = [f"function write{_struct_name(struct.name)}(from: {_struct_name(struct.name)}, into: Writer): void {{"]
    lines.append("  into.map();")
    for field in struct.fields:
        lines += [f"  {line}" for line in _put(field)]
    return "\n".join([*lines, "  into.end();", "}", ""])


def _put(field: Field) -> list[str]:
    name, told = _camel(field.name), field.type
    key = f'into.key("{field.name}")'
    if told.kind == "integer" and told.nullable:
        return [f"if (from.{name} != UNSET) {key}.int(from.{name});"]
    if told.nullable or (not field.required and told.kind in ("bytes", "any", "map")):
        return [f"const {name} = from.{name};", f"if ({name} !== null) {key}.{_call(told)}({name});"]
    if told.kind == "struct":
        return [f"{key};", f"write{_struct_name(told.struct)}(from.{name}, into);"]
    if told.kind == "list" and told.inner is not None:
        each = f"for (let i = 0; i < from.{name}.length; i++) into.{_call(told.inner)}(from.{name}[i]);"
        return [f"{key}.list();", each, "into.end();"]
    put = f"{key}.{_call(told)}(from.{name});"
    return [put if field.required else f"if (from.{name} != {json.dumps(field.default)}) {put}"]


def _call(told: Type) -> str:
    """The method of Reader or Writer that has one value of it."""
    return "packed" if told.kind in ("any", "map") else _CALLS[told.kind]


def _reader(struct: Struct) -> str:
    name = _struct_name(struct.name)
    lines = [f"export function read{name}(from: Reader): {name} {{", f"  const it = new {name}();"]
    lines += ["  for (let left = from.map(); left > 0 && !from.bad; left--) {", "    from.key();"]
    word = "if"
    for field in struct.fields:
        for line in _get(field, word):
            lines.append(f"    {line}")
        word = "else if"
    lines += ["    else from.skip();", "  }", "  return it;", "}", ""]
    return "\n".join(lines)


def _get(field: Field, word: str) -> list[str]:
    name, told = f"it.{_camel(field.name)}", field.type
    head = f'{word} (from.isKey("{field.name}"))'
    if told.kind == "list" and told.inner is not None:
        each = f"{name}.push({_got(told.inner)});"
        return [f"{head} {{", f"  for (let items = from.list(); items > 0 && !from.bad; items--) {each}", "}"]
    return [f"{head} {name} = {_got(told)};"]


def _got(told: Type) -> str:
    if told.kind in ("any", "map"):
        return "from.value()"
    if told.kind == "struct":
        read = f"read{_struct_name(told.struct)}(from)"
        return f"from.isNil() ? null : {read}" if told.nullable else read
    if told.nullable:
        return "from.intOrUnset()" if told.kind == "integer" else "from.textOrNull()"
    return f"from.{_call(told)}()"


def _function(method: Method) -> str:
    name = method.name.split(".")[1]
    spelled = _camel(name) + ("_" if name in _WORDS else "")
    takes, gives = _struct_name(method.params.name), _struct_name(method.result.name)
    needs = f" Needs {method.capability}." if method.capability else ""
    lines = ["  /**", f"   * {method.summary}{needs}", f"   * Errors: {', '.join(method.errors)}.", "   */"]
    given = f"params: {takes}" if method.params.fields else ""
    if given and not any(field.required for field in method.params.fields):
        given += f" = new {takes}()"
    result = gives if method.result.fields else "Value"
    lines.append(f"  export function {spelled}({given}): Result<{result}> {{")
    if method.params.fields:
        lines.append(f'    write{takes}(params, begin_("{method.name}"));')
    else:
        lines.append(f'    begin_("{method.name}").map().end();')
    answered = f"received_<{gives}>(send_(), read{gives})" if method.result.fields else "send_()"
    return "\n".join([*lines, f"    return {answered};", "  }"])


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def _struct_name(name: str) -> str:
    """`payment.create.params` is PaymentCreateParams; a word of the schema stays as it is."""
    if "." not in name:
        return name
    return "".join(part[:1].upper() + part[1:] for part in name.replace("_", ".").split("."))
