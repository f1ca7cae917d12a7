"""`hostel new`: a project with a working program, from the template of a language.

What lives here: which files a project is made of. Templates and SDKs lie in host_api/guest and come with the package.
"""

from __future__ import annotations

import re
import shlex
import shutil
import tempfile
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter

from runtime.bundle.refusal import shown
from runtime.cli import report
from runtime.errors import UsageError

GUEST: Final = Path(str(files("host_api"))) / "guest"
TEMPLATE: Final = "template"
LANGUAGES: Final = ("c", "zig", "rust", "assemblyscript", "javascript")
IGNORED: Final = "*.ma\n*.key\nnode_modules/\ntarget/\n"
"""Of .gitignore: bundles, private keys, and what toolchains leave behind. The module is kept: who has no compiler can
run it."""
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9]*([ _-][A-Za-z0-9]+)*")
_APP_ID: Final = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*(\.[a-z0-9]+([-_][a-z0-9]+)*)*")
NAME_CHARS_MOST: Final = 40


def new(
    folder: Path,
    /,
    *,
    lang: Annotated[str, Parameter(help="c, zig, rust, assemblyscript or javascript.")],
    app_id: Annotated[str | None, Parameter(help="The program's id; org.example.NAME where it is left out.")] = None,
    as_json: report.AsJson = False,
) -> None:
    """Make a project: a small working program with its manifest, scenario and SDK. Where the language's compiler is
    there, it is built at once.

    Parameters
    ----------
    folder
        What is made; its name is the program's. It must not be there yet.
    """
    name = folder.name
    if len(name) > NAME_CHARS_MOST or not _NAME.fullmatch(name):
        raise UsageError(
            f"{shown(name)} is no name for a project: write up to {NAME_CHARS_MOST} letters, digits, - and _"
        )
    if lang not in languages():
        raise UsageError(f"--lang {shown(lang)}: there are templates for {', '.join(languages())}")
    app_id = app_id or f"org.example.{name.lower().replace(' ', '-')}"
    if len(app_id) > 128 or not _APP_ID.fullmatch(app_id):
        raise UsageError(f"--app-id {shown(app_id)}: write parts of a-z, 0-9, - and _ joined by full stops")
    made = _make(folder, lang, {"@NAME@": name, "@APP_ID@": app_id})
    built, hint = _built(folder, lang)
    if as_json:
        report.show_json({"folder": str(folder), "app_id": app_id, "lang": lang, "files": made, "built": built})
        return
    report.show_line(f"{folder}: {app_id}, a guest book in {lang}, {len(made)} files")
    named = shlex.quote(str(folder))
    for line in (*hint, f"  hostel test {named}", f"  hostel pack {named}"):
        report.show_line(line)


def languages() -> list[str]:
    """Those that have a template."""
    return [lang for lang in LANGUAGES if (GUEST / lang / TEMPLATE).is_dir()]


def _make(folder: Path, lang: str, words: dict[str, str]) -> list[str]:
    """Everything at once or nothing; gives the paths of the files. Raises UsageError."""
    if folder.exists() or folder.is_symlink():
        raise UsageError(
            f"{shown(str(folder))} is there already, and nothing in it is overwritten: name another folder"
        )
    try:
        with tempfile.TemporaryDirectory(dir=folder.absolute().parent, prefix=".hostel-") as aside:
            place = Path(aside) / folder.name
            for path, file in _files(lang):
                target = place / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(_filled(file.read_bytes(), words))
            (place / ".gitignore").write_text(IGNORED, encoding="utf-8")
            place.rename(folder)
    except OSError as error:
        raise UsageError(f"{shown(str(folder))} cannot be made: {error.strerror}") from error
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def _files(lang: str) -> Iterator[tuple[Path, Path]]:
    """Path in the project → the file that it is made of: the template, and below sdk the language's SDK."""
    template, sdk = GUEST / lang / TEMPLATE, GUEST / lang
    for file in _regular(template):
        yield file.relative_to(template), file
    for file in _regular(sdk):
        path = file.relative_to(sdk)
        if path.parts[0] != TEMPLATE and (lang != "javascript" or file.name.endswith(".d.ts")):
            yield Path("sdk") / path, file


def _regular(folder: Path) -> list[Path]:
    hidden = ("__pycache__", "node_modules", "target")
    return sorted(
        file
        for file in folder.rglob("*")
        if file.is_file() and not any(p.startswith(".") or p in hidden for p in file.relative_to(folder).parts)
    )


def _filled(data: bytes, words: dict[str, str]) -> bytes:
    for placeholder, word in words.items():
        data = data.replace(placeholder.encode(), word.encode())
    return data


def _built(folder: Path, lang: str) -> tuple[bool, list[str]]:
    """Whether it can be played now, and what else is to be typed before."""
    from runtime.toolchains import TOOLCHAINS, BuildError, Missing
    from runtime.toolchains.project import build_project

    toolchain = TOOLCHAINS.get(lang)
    if lang == "javascript" or toolchain is None:
        return True, []
    found = toolchain.find()
    if isinstance(found, Missing):
        return False, [f"  {found.cure}", f"  hostel build {shlex.quote(str(folder))}"]
    try:
        build_project(folder)
    except BuildError:
        shutil.rmtree(folder)  # a template that does not compile is no project
        raise
    return True, []
