"""manifest.json: what a bundle says of itself, and what it asks for.

What lives here: the fields (words of the W3C MiniApp Manifest draft, plus our `program`), their limits, and for every
path the cure that its refusals name. What may only be known with the other members at hand is bundle.py's; whether a
permission exists and its constraints make sense is decided at install. No I/O. Any bytes give a `Manifest` or raise
`ManifestError`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Annotated, Any, get_args, get_origin

import msgspec
from msgspec import Meta

from host_api.notify import templates
from host_api.one_line import one_line
from host_api.session import API_LEVEL
from runtime.bundle.names import path_problem
from runtime.bundle.refusal import shown
from runtime.bundle.script import SUFFIX
from runtime.bundle.strict_json import bad_value, parse_json, step
from runtime.errors import ManifestError
from runtime.limits import KIB, Limits, specs

ABI = "hostel_v1"
LIFETIMES = ("fresh", "resident")
MANIFEST_PATH = "manifest.json"
MANIFEST_BYTES_MAX = 64 * KIB
VERSION_CODE_MAX = 2**31 - 1

Text = str | Mapping[str, str]
"""Shown to people: one text, or language tag → text."""
Constraint = int | str | tuple[int | str, ...]


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of every object of the manifest. `parse_manifest` is the way to a checked one."""


class Version(_Part, frozen=True):
    name: Annotated[str, Meta(min_length=1, max_length=32)]
    """For people."""
    code: Annotated[int, Meta(ge=1, le=VERSION_CODE_MAX)]
    """For the host: never goes down from one release to the next."""


class PlatformVersion(_Part, frozen=True):
    min_code: Annotated[int, Meta(ge=1, le=VERSION_CODE_MAX)] = 1
    """The least api level the program runs on."""


class Icon(_Part, frozen=True):
    src: Annotated[str, Meta(min_length=1, max_length=255)]
    """A member of the bundle."""
    sizes: Annotated[str, Meta(max_length=64)] = ""
    label: Text = ""


class Permission(_Part, frozen=True):
    name: Annotated[str, Meta(min_length=1, max_length=64)]
    """The capability's name."""
    reason: Text
    """Shown to whoever grants it or consents."""
    required: bool = True
    """False: the program also works without."""
    constraints: Annotated[Mapping[str, Constraint], Meta(max_length=16)] = {}
    """How far it is asked for; what is granted is never wider."""


class Notice(_Part, frozen=True):
    id: Annotated[str, Meta(min_length=1, max_length=64)]
    """What notify.send names."""
    text: Text
    """Shown to a user who subscribed; `{name}` is filled in."""


class Program(_Part, frozen=True):
    """Either `module` or `script` is named."""

    module: Annotated[str, Meta(max_length=255)] = ""
    """A member of the bundle: the WebAssembly module. '' where the program is a script."""
    script: Annotated[str, Meta(max_length=255)] = ""
    """A member of the bundle: the script that the program begins with. '' where it is a module."""
    abi: str = ABI
    lifetime: str = "fresh"
    """fresh: a sandbox for every call. resident: one for each user, kept between calls."""
    events: bool = False
    """True: `hostel_handle` takes notifications of events. False: the program is never woken, and lists them."""
    limits: Annotated[Mapping[str, int], Meta(max_length=64)] = {}
    """Wanted by the developer, by name of `runtime.limits.Limits`; only a grant gives them."""


class Manifest(_Part, frozen=True):
    """A checked manifest. Its mappings are not to be changed."""

    app_id: Annotated[str, Meta(min_length=1, max_length=128)]
    name: Text
    version: Version
    program: Program
    platform_version: PlatformVersion = PlatformVersion()
    pages: Annotated[tuple[str, ...], Meta(max_length=64)] = ()
    icons: Annotated[tuple[Icon, ...], Meta(max_length=16)] = ()
    req_permissions: Annotated[tuple[Permission, ...], Meta(max_length=32)] = ()
    notices: Annotated[tuple[Notice, ...], Meta(max_length=templates.TEMPLATES_MAX)] = ()


NAME_CHARS_MAX = 64
REASON_CHARS_MAX = 256
LANGUAGES_MAX = 64

_APP_ID = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*(\.[a-z0-9]+([-_][a-z0-9]+)*)*")
_CAPABILITY = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*")
_CONSTRAINT = re.compile(r"[a-z][a-z0-9_]*")
_NOTICE_ID = re.compile(r"[a-z0-9]+([-_.][a-z0-9]+)*")
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*")
_SIZES = re.compile(r"(any|[1-9][0-9]{0,4}x[1-9][0-9]{0,4})( [1-9][0-9]{0,4}x[1-9][0-9]{0,4})*")

_TEXT_CURE = 'write a text, or {"en": "...", "zh-Hans": "..."}'
CURES: Mapping[str, str] = {
    "$": "write an object with app_id, name, version and program",
    "$.app_id": 'write 1 to 128 of a-z, 0-9, "-", "_" in parts joined by ".", such as "org.example.grocery"',
    "$.name": f"{_TEXT_CURE}, each of 1 to {NAME_CHARS_MAX} visible characters",
    "$.version": 'write {"name": "1.0.0", "code": 1}',
    "$.version.name": "write 1 to 32 visible characters for people, such as 1.0.0",
    "$.version.code": f"write a whole number from 1 to {VERSION_CODE_MAX}, higher for every release",
    "$.platform_version": 'write {"min_code": 1}, or leave it out',
    "$.platform_version.min_code": f"write the least api level the program needs, at most {API_LEVEL}",
    "$.pages": "write a list of at most 64 different names of screens",
    "$.pages[]": 'write a relative path such as "pages/cart"',
    "$.icons": 'write a list of at most 16 objects such as {"src": "common/icon.png", "sizes": "48x48"}',
    "$.icons[]": 'write an object such as {"src": "common/icon.png", "sizes": "48x48"}',
    "$.icons[].src": "write the path of a member of the bundle",
    "$.icons[].sizes": 'write sizes such as "48x48" or "any", at most 64 characters',
    "$.icons[].label": f"{_TEXT_CURE}, each of 1 to {NAME_CHARS_MAX} visible characters",
    "$.req_permissions": "write a list of at most 32 objects, one for each capability",
    "$.req_permissions[]": 'write an object such as {"name": "payment", "reason": "To pay for an order"}',
    "$.req_permissions[].name": 'write the name of a capability such as "payment" or "user.phone", once',
    "$.req_permissions[].reason": f"{_TEXT_CURE}, each of 1 to {REASON_CHARS_MAX} visible characters",
    "$.req_permissions[].required": "write true or false; true where it is left out",
    "$.req_permissions[].constraints": "write an object of at most 16 names, each a number, a text or a list of these",
    "$.notices": f"write a list of at most {templates.TEMPLATES_MAX} objects, one for each message",
    "$.notices[]": 'write an object such as {"id": "shipped", "text": "Order {order_no} is on its way"}',
    "$.notices[].id": 'write 1 to 64 of a-z, 0-9 in parts joined by "-", "_" or ".", such as "order.shipped", once',
    "$.notices[].text": f"{_TEXT_CURE}, each of 1 to {templates.TEXT_CHARS_MAX} visible characters, with the same"
    f" placeholders such as {{order_no}}, at most {templates.PLACEHOLDERS_MAX}, in every language",
    "$.program": 'write {"module": "program.wasm"}, or {"script": "main.js"} for JavaScript, with "abi": "hostel_v1"',
    "$.program.module": "write the path of a member of the bundle that is a WebAssembly module",
    "$.program.script": "write the path of a member of the bundle that is JavaScript and ends in .js",
    "$.program.abi": f'write "{ABI}", or leave it out',
    "$.program.lifetime": 'write "fresh" or "resident", or leave it out',
    "$.program.events": "write true if hostel_handle takes notifications of events, or leave it out",
    "$.program.limits": "write an object of limits by name with whole numbers, or leave it out",
}
"""Path (list positions left out) → what to write there. Every field has one."""


def parse_manifest(data: bytes) -> Manifest:
    """Read manifest.json.

    Raises:
        ManifestError: `details["path"]` is the place. Code `manifest_unsupported` where the manifest is right but this
            host cannot run the program (a higher api level), else `manifest_invalid`.
    """
    tree = parse_json(data, MANIFEST_BYTES_MAX)
    _refuse_unknown(tree, Manifest, "$")
    try:
        manifest = msgspec.convert(tree, Manifest)
    except msgspec.ValidationError as error:
        raise _from_msgspec(str(error)) from None
    for path, wrong in _problems(manifest):
        raise _refused(path, wrong)
    return manifest


def _refused(path: str, wrong: str) -> ManifestError:
    """With the cure of the path, or of the nearest place above it that has one."""
    place = re.sub(r"\[\d+\]", "[]", path)
    while place not in CURES:
        place = place[: max(place.rfind("."), place.rfind("["), 1)]
    return bad_value(path, wrong, CURES[place])


def _from_msgspec(message: str) -> ManifestError:
    """msgspec ends its message with the path, in which there is nothing hostile: keys of maps stand as `[...]`."""
    wrong, _, path = message.partition(" - at `")
    path = path.removesuffix("`") or "$"
    missing = re.fullmatch(r"Object missing required field `(\w+)`", wrong)
    if missing is not None:
        return _refused(f"{path}.{missing[1]}", "is missing")
    return _refused(path, wrong[0].lower() + wrong[1:].replace("`", ""))


@cache
def _known(part: type[_Part]) -> Mapping[str, Any]:
    """Field → type; looking them up takes longer than reading a manifest."""
    return {field.name: field.type for field in msgspec.structs.fields(part)}


def _refuse_unknown(value: Any, part: Any, path: str) -> None:
    """Keys no object of the manifest has, with the nearest one it has; shapes are msgspec's to check."""
    if isinstance(part, type) and issubclass(part, _Part) and isinstance(value, dict):
        known = _known(part)
        for key, item in value.items():
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1)
                hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(known)}"
                raise bad_value(path, f"unknown key {shown(key)}", hint)
            _refuse_unknown(item, known[key], step(path, key))
    elif isinstance(value, list):
        inner = next((get_args(kind)[0] for kind in get_args(part) if get_origin(kind) is tuple), None)
        for index, item in enumerate(value):
            _refuse_unknown(item, inner, f"{path}[{index}]")


def _problems(manifest: Manifest) -> Iterator[tuple[str, str]]:
    """(path, what is wrong there) of all that types do not say."""
    if not _APP_ID.fullmatch(manifest.app_id):
        yield "$.app_id", f"{shown(manifest.app_id)} is no app id"
    yield from _text_problems("$.name", manifest.name, NAME_CHARS_MAX)
    yield from _text_problems("$.version.name", manifest.version.name, 32)
    if manifest.platform_version.min_code > API_LEVEL:
        path, asked = "$.platform_version.min_code", manifest.platform_version.min_code
        wrong = f"api level {asked} is not supported by this host (api level {API_LEVEL})"
        raise bad_value(path, wrong, CURES[path], code="manifest_unsupported")
    yield from _page_problems(manifest.pages)
    for index, icon in enumerate(manifest.icons):
        yield from _icon_problems(f"$.icons[{index}]", icon)
    yield from _permission_problems(manifest.req_permissions)
    yield from _notice_problems(manifest.notices)
    yield from _program_problems(manifest.program)


def _text_problems(path: str, text: Text, chars_max: int) -> Iterator[tuple[str, str]]:
    if isinstance(text, str):
        try:
            if one_line("the text", text, chars_max) != text:
                yield path, "has spaces around it, two of them in a row, a space other than U+0020, or is not in NFC"
        except ValueError as error:
            yield path, str(error)
        return
    if not 1 <= len(text) <= LANGUAGES_MAX:
        yield path, f"has {len(text)} languages; 1 to {LANGUAGES_MAX} are allowed"
    if len({language.lower() for language in text}) != len(text):
        yield path, "has one language twice (case does not count)"
    for language, one in text.items():
        if len(language) > 35 or not _LANGUAGE.fullmatch(language):
            yield path, f"{shown(language)} is no language tag (BCP 47)"
        yield from _text_problems(step(path, language), one, chars_max)


def _page_problems(pages: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for index, page in enumerate(pages):
        problem = path_problem(page)
        if problem is not None:
            yield f"$.pages[{index}]", f"{shown(page)} {problem}"
        if page in pages[:index]:
            yield f"$.pages[{index}]", f"{shown(page)} is there twice"


def _icon_problems(path: str, icon: Icon) -> Iterator[tuple[str, str]]:
    if icon.sizes and not _SIZES.fullmatch(icon.sizes):
        yield f"{path}.sizes", f"{shown(icon.sizes)} is no list of sizes"
    if icon.label != "":
        yield from _text_problems(f"{path}.label", icon.label, NAME_CHARS_MAX)


def _permission_problems(permissions: tuple[Permission, ...]) -> Iterator[tuple[str, str]]:
    names: set[str] = set()
    for index, permission in enumerate(permissions):
        path = f"$.req_permissions[{index}]"
        if not _CAPABILITY.fullmatch(permission.name):
            yield f"{path}.name", f"{shown(permission.name)} is no name of a capability"
        if permission.name in names:
            yield f"{path}.name", f"{permission.name} is asked for twice"
        names.add(permission.name)
        yield from _text_problems(f"{path}.reason", permission.reason, REASON_CHARS_MAX)
        for name in permission.constraints:
            if not _CONSTRAINT.fullmatch(name):
                yield f"{path}.constraints", f"{shown(name)} is no name of a constraint"


def _notice_problems(notices: tuple[Notice, ...]) -> Iterator[tuple[str, str]]:
    ids: set[str] = set()
    for index, notice in enumerate(notices):
        path = f"$.notices[{index}]"
        if not _NOTICE_ID.fullmatch(notice.id):
            yield f"{path}.id", f"{shown(notice.id)} is no id of a notice"
        if notice.id in ids:
            yield f"{path}.id", f"{notice.id} is there twice"
        ids.add(notice.id)
        yield from _text_problems(f"{path}.text", notice.text, templates.TEXT_CHARS_MAX)
        texts = [notice.text] if isinstance(notice.text, str) else list(notice.text.values())
        try:
            if len({templates.placeholders(text) for text in texts}) > 1:
                yield f"{path}.text", "has other placeholders in one language than in another"
        except ValueError as error:
            yield f"{path}.text", str(error)


def _code_problems(program: Program) -> Iterator[tuple[str, str]]:
    if program.module and program.script:
        yield "$.program", "names both a module and a script: a program is one of them"
    elif program.script:
        if not program.script.endswith(SUFFIX):
            yield "$.program.script", f"{shown(program.script)} does not end in {SUFFIX}"
    elif not program.module:
        yield "$.program", "names neither a module nor a script"
    elif program.module.endswith(SUFFIX):
        yield "$.program", f'{shown(program.module)} looks like a script: "script" names one'


def _program_problems(program: Program) -> Iterator[tuple[str, str]]:
    yield from _code_problems(program)
    if program.abi != ABI:
        yield "$.program.abi", f"{shown(program.abi)} is no ABI of this host"
    if program.lifetime not in LIFETIMES:
        yield "$.program.lifetime", f"{shown(program.lifetime)} is no lifetime"
    known = specs(Limits)
    for name, value in program.limits.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(known)}"
            raise bad_value("$.program.limits", f"unknown limit {shown(name)}", hint)
        spec = known[name]
        if not spec.least <= value <= spec.most:
            hint = f"write a whole number of {spec.unit} from {spec.least} to {spec.most}"
            raise bad_value(f"$.program.limits.{name}", f"{value} is out of bounds", hint)
