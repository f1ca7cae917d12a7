"""The host API for C: hostel_api.h, one struct for what a method takes, one for what it gives, one function each.

What lives here: how a type, a field that may be left out and a name are spelled in C. Header only, on top of hostel.h:
what is not called costs nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby
from typing import Final

from host_api.bindings.model import Api, Field, Method, Struct, Type

_HEAD: Final = """\
/* hostel_api.h: the methods of the host, typed. Include it in the place of hostel.h, which it includes.
 *
 * Generated from the declared methods by `python docs/generate.py` (host_api/bindings/c.py). API level %d.
 *
 *     hostel_storage_get_params params = {.key = hostel_text_of("cart")};
 *     hostel_storage_get_result stored;
 *     if (hostel_api_storage_get(&call, &params, &stored)) ...   else: call.error
 *
 * What is left out of an initializer is not sent, where it may be left out: a text or name that is NULL, a number or
 * bool without HOSTEL_GIVEN, a reader over nothing. What holds then stands behind each field. Lists, maps and values of
 * any kind are readers: given, over an encoded value (hostel_written); received, at the value. Of a result, fields that
 * are not here are ignored; a text that is nil or missing is NULL.
 */
#ifndef HOSTEL_API_H
#define HOSTEL_API_H

#include "hostel.h"

typedef struct { bool given; int64_t value; } hostel_given_int;
typedef struct { bool given, value; } hostel_given_bool;
#define HOSTEL_GIVEN(number) {true, (number)}

/* ---- reading fields -------------------------------------------------------------------------------------------- */
HOSTEL_SHARED_ bool hostel_field_absent_(hostel_reader map, const char *key, hostel_reader *value) {
    *value = hostel_find(map, key);
    return hostel_peek(*value) == HOSTEL_NONE || hostel_peek(*value) == HOSTEL_NIL;
}

/* `must`: false where nil, or no such field, is an answer too. */
HOSTEL_SHARED_ bool hostel_field_text_(hostel_reader map, const char *key, bool must, hostel_text *text) {
    hostel_reader value;
    text->at = NULL, text->size = 0;
    if (hostel_field_absent_(map, key, &value)) return !must;
    return hostel_text_between(value, 0, UINT32_MAX, text);
}

HOSTEL_SHARED_ bool hostel_field_bytes_(hostel_reader map, const char *key, bool must, hostel_text *bytes) {
    hostel_reader value;
    bytes->at = NULL, bytes->size = 0;
    if (hostel_field_absent_(map, key, &value)) return !must;
    *bytes = hostel_read_bytes(&value);
    return !value.bad;
}

HOSTEL_SHARED_ bool hostel_field_int_(hostel_reader map, const char *key, bool must, hostel_given_int *number) {
    hostel_reader value;
    number->value = 0;
    number->given = !hostel_field_absent_(map, key, &value);
    return number->given ? hostel_int_between(value, INT64_MIN, INT64_MAX, &number->value) : !must;
}

HOSTEL_SHARED_ bool hostel_field_bool_(hostel_reader map, const char *key, bool must, hostel_given_bool *answer) {
    hostel_reader value;
    answer->value = false;
    answer->given = !hostel_field_absent_(map, key, &value);
    if (!answer->given) return !must;
    answer->value = hostel_read_bool(&value);
    return !value.bad;
}

HOSTEL_SHARED_ bool hostel_not_read_(hostel_call *call) {
    return hostel_call_failed(call, "bad_response", "the host's result is not what this program was built for");
}
"""
_COLUMNS: Final = 120
_READERS: Final = ("any", "list", "map")


def write(api: Api) -> str:
    """The whole of hostel_api.h."""
    taken = {name for method in api.methods for name in _reached(api, method.params)}
    given = {name for method in api.methods for name in _reached(api, method.result)}
    shared = [struct for struct in api.structs if "." not in struct.name]
    lines = [_HEAD % api.level, _rule("what several methods use")]
    for struct in shared:
        lines += [*_struct(struct, params=False), ""]
        lines += [*_putter(struct), ""] if struct.name in taken else []
        lines += [*_reader(struct), ""] if struct.name in given else []
    for service, methods in groupby(api.methods, lambda method: method.name.partition(".")[0]):
        lines.append(_rule(service))
        for method in methods:
            lines += [*_method(method), ""]
    return "\n".join([*lines, "#endif\n"])


def _reached(api: Api, struct: Struct) -> Iterator[str]:
    """Names of the structs in it, at any depth, and its own."""
    yield struct.name
    by_name = {one.name: one for one in api.structs}
    for field in struct.fields:
        for kind in (field.type, field.type.inner):
            if kind is not None and kind.struct:
                yield from _reached(api, by_name[kind.struct])


def _rule(title: str) -> str:
    return f"/* ---- {title} ".ljust(_COLUMNS - 3, "-") + " */"


# ---- structs ---------------------------------------------------------------------------------------------------------
def _struct(struct: Struct, *, params: bool) -> Iterator[str]:
    if struct.meaning:
        yield from _comment(struct.meaning, "", "/**")
    yield "typedef struct {"
    for field in struct.fields:
        yield from _comment(_told(field, params=params), "    ", "/*")
        if field.type.kind == "struct" and field.type.nullable:
            yield f"    bool has_{field.name};"
        yield f"    {_type(field, params=params)}{field.name};"
    yield f"}} {_type_name(struct.name)};"


def _type(field: Field, *, params: bool) -> str:
    """With what separates it from the name."""
    kind = field.type
    may_lack = kind.nullable or (params and not field.required)
    if kind.kind in _READERS:
        return "hostel_reader "
    if kind.kind == "choice" and params:
        return "const char *"
    if kind.kind == "struct":
        return f"{_type_name(kind.struct)} "
    if kind.kind in ("integer", "boolean"):
        short = "int" if kind.kind == "integer" else "bool"
        return f"hostel_given_{short} " if may_lack else {"int": "int64_t ", "bool": "bool "}[short]
    if kind.kind == "number":
        raise ValueError(f"{field.name}: C has no spelling yet for a number with a fraction")
    return "hostel_text "


def _told(field: Field, *, params: bool) -> str:
    parts = [field.meaning] if field.meaning else []
    choices = _choices(field.type)
    if choices:
        parts.append(f"{', '.join(choices)}.")
    if field.type.kind in ("list", "map"):
        parts.append(f"A {field.type.kind}{_of(field.type)}.")
    if field.bounds:
        parts.append(f"({field.bounds})")
    if params and not field.required:
        parts.append(f"Left out: {'nothing' if field.default in (None, '', {}) else str(field.default).lower()}.")
    return " ".join(parts)


def _of(kind: Type) -> str:
    if kind.inner is None or kind.inner.kind == "any":
        return ""
    return f" of {_type_name(kind.inner.struct) if kind.inner.struct else kind.inner.kind}"


def _choices(kind: Type) -> tuple[str, ...]:
    return kind.choices or (_choices(kind.inner) if kind.inner else ())


def _type_name(name: str) -> str:
    """hostel_payment_create_params; hostel_order_result for OrderResult."""
    return "hostel_" + re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).replace(".", "_").lower()


# ---- writing ---------------------------------------------------------------------------------------------------------
def _putter(struct: Struct) -> Iterator[str]:
    """A function that writes one that a method takes."""
    name = _type_name(struct.name)
    yield f"HOSTEL_SHARED_ void {name}_put_(hostel_writer *w, const {name} *from) {{"
    if any(_given(field, params=False) for field in struct.fields):
        raise ValueError(f"{struct.name}: C has no spelling yet for a struct of params with a field that may lack")
    yield f"    hostel_put_map(w, {len(struct.fields)});"
    for field in struct.fields:
        yield from _put(field, params=False)
    yield "}"


def _begin(method: Method) -> Iterator[str]:
    """Begins the request with as many params as there will be."""
    conditions = [_given(field, params=True) for field in method.params.fields]
    begin = f'hostel_begin(call, "{method.name}", '
    if not any(conditions):
        yield f"    {'hostel_writer *w = ' if conditions else '(void)'}{begin}{len(conditions)});"
        return
    yield f"    uint32_t count = {conditions.count('')};"
    yield from (f"    count += {condition};" for condition in conditions if condition)
    yield f"    hostel_writer *w = {begin}count);"


def _given(field: Field, *, params: bool) -> str:
    """The condition under which it is sent; "" for always."""
    if field.required and not field.type.nullable:
        return ""
    member = f"from->{field.name}"
    kind = field.type.kind
    if kind in _READERS:
        return f"hostel_peek({member}) != HOSTEL_NONE"
    if kind in ("integer", "boolean"):
        return f"{member}.given"
    return f"{member} != NULL" if kind == "choice" and params else f"{member}.at != NULL"


def _put(field: Field, *, params: bool) -> Iterator[str]:
    member, given = f"from->{field.name}", _given(field, params=params)
    match field.type.kind:
        case "integer":
            value = f"hostel_put_int(w, {member}{'.value' if given else ''})"
        case "boolean":
            value = f"hostel_put_bool(w, {member}{'.value' if given else ''})"
        case "choice" if params:
            value = f"hostel_put_string(w, {member})"
        case "struct":
            value = f"{_type_name(field.type.struct)}_put_(w, &{member})"
        case "bytes":
            value = f"hostel_put_bytes(w, {member})"
        case kind if kind in _READERS:
            value = f"hostel_put_value(w, {member})"
        case _:
            value = f"hostel_put_text(w, {member})"
    condition = f"if ({given}) " if given else ""
    yield f'    {condition}hostel_put_string(w, "{field.name}"), {value};'


# ---- reading ---------------------------------------------------------------------------------------------------------
def _reader(struct: Struct) -> Iterator[str]:
    """A function that reads one that a method gives. Every field is set, whatever came."""
    name = _type_name(struct.name)
    yield f"HOSTEL_SHARED_ bool {name}_read(hostel_reader map, {name} *into) {{"
    plain = {field.type.kind for field in struct.fields if not field.type.nullable}
    if "integer" in plain:
        yield "    hostel_given_int number;"
    if "boolean" in plain:
        yield "    hostel_given_bool answer;"
    yield "    bool good = hostel_peek(map) == HOSTEL_MAP;"
    for field in struct.fields:
        yield from _read(field)
    yield "    return good;"
    yield "}"


def _read(field: Field) -> Iterator[str]:
    into, kind = f"into->{field.name}", field.type.kind
    must = "true" if field.required and not field.type.nullable else "false"
    read = f'map, "{field.name}", {must}, &'
    match kind:
        case "integer" | "boolean":
            short, local = ("int", "number") if kind == "integer" else ("bool", "answer")
            if field.type.nullable:
                yield f"    good &= hostel_field_{short}_({read}{into});"
            else:
                yield f"    good &= hostel_field_{short}_({read}{local}), {into} = {local}.value;"
        case "struct":
            inner = f'{_type_name(field.type.struct)}_read(hostel_find(map, "{field.name}"), &{into})'
            if field.type.nullable:
                yield f"    into->has_{field.name} = {inner};"
            else:
                yield f"    good &= {inner};"
        case kind if kind in _READERS:
            yield f'    {into} = hostel_find(map, "{field.name}");'
            if must == "true":
                yield f"    good &= hostel_peek({into}) != HOSTEL_NONE;"
        case _:
            yield f"    good &= hostel_field_{'bytes' if kind == 'bytes' else 'text'}_({read}{into});"
            if isinstance(field.default, str) and field.default and kind != "bytes":
                yield f'    if ({into}.at == NULL) {into} = hostel_text_of("{field.default}");'


# ---- methods ---------------------------------------------------------------------------------------------------------
def _method(method: Method) -> Iterator[str]:
    for struct, params in ((method.params, True), (method.result, False)):
        if struct.fields and "." in struct.name:
            yield from _struct(struct, params=params)
            yield ""
            if not params:
                yield from _reader(struct)
                yield ""
    takes = f", const {_type_name(method.params.name)} *from" if method.params.fields else ""
    gives = f", {_type_name(method.result.name)} *into" if method.result.fields else ""
    needs = f" Capability: {method.capability}." if method.capability else ""
    yield from _comment(f"{method.name}: {method.summary}{needs} Errors: {', '.join(method.errors)}.", "", "/**")
    head = f"HOSTEL_SHARED_ bool hostel_api_{method.name.replace('.', '_')}(hostel_call *call"
    yield f"{head}{takes}{gives}) {{" if len(head + takes + gives) < _COLUMNS - 2 else f"{head}{takes},"
    if len(head + takes + gives) >= _COLUMNS - 2:
        yield f"{' ' * (head.index('(') + 1)}{gives.removeprefix(', ')}) {{"
    yield from _begin(method)
    for field in method.params.fields:
        yield from _put(field, params=True)
    if gives:
        read = f"{_type_name(method.result.name)}_read(call->result, into)"
        yield f"    return hostel_send(call) && ({read} || hostel_not_read_(call));"
    else:
        yield "    return hostel_send(call);"
    yield "}"


def _comment(text: str, indent: str, opening: str) -> Iterator[str]:
    """One comment, broken at the column where every file's lines end; none of no text."""
    if not text:
        return
    lines, line = [], f"{indent}{opening}"
    for word in [*text.split(), "*/"]:
        if len(line) + 1 + len(word) > _COLUMNS:
            lines.append(line)
            line = f"{indent}{' ' * len(opening)}"
        line += f" {word}"
    yield from (*lines, line)
