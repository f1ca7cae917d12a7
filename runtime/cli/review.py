"""What a reviewer reads on the command line: the report of an upload as tables and sentences, and what a release takes
away from its program once everybody gets it.

What lives here: texts. The report is runtime/report.py's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from runtime.cli import report
from runtime.cli.registry import plain, show
from runtime.errors import AccessDenied, NotInstalled, UsageError
from runtime.limits import ModuleCaps, specs

if TYPE_CHECKING:
    from host_api.releases.values import Upload
    from runtime.client import Client


async def not_given(client: Client, release: Upload) -> tuple[int, list[str]]:
    """The release that everybody gets now, and what it may do that `release` may not; (0, []) where there is none."""
    try:
        program = await client.program(release.app_id)
    except NotInstalled:
        return 0, []
    if program.current_code in (0, release.code):
        return program.current_code, []
    return program.current_code, sorted(program.grants.keys() - release.grants.keys())


async def name_of(client: Client, developer: str) -> str:
    """'' where it cannot be looked up."""
    try:
        return (await client.developers.get(developer)).name if developer else ""
    except (AccessDenied, UsageError):
        return ""


def show_release(found: Upload, developer: str) -> None:
    """The release, and what was found in it. `developer`: their name."""
    told = {name: value for name, value in plain(found).items() if name != "report"}
    show({**told, "developer": named(found.developer, developer)}, "release", as_json=False)
    if found.report:
        _show_report(found.report)


def named(developer: str, name: str) -> str:
    """A developer's id with their name beside."""
    return f"{developer} ({name})" if name and name != developer else developer


def _show_report(told: Mapping[str, Any]) -> None:
    size, memory, about = told["bytes"], told["memory_pages"], specs(ModuleCaps)
    report.show_table(
        ("structural cap", ">found", ">cap", ">margin", "unit", "what"),
        [
            (name, one["found"], one["cap"], margin(one["found"], one["cap"]), about[name].unit, about[name].text)
            for name, one in told["caps"].items() if name in about
        ],
    )  # fmt: skip
    if told["capabilities"]:
        report.show_table(
            ("asks for", "needed", "within", "why"),
            [(one["name"], "required" if one["required"] else "optional", _pairs(one["constraints"]),
              _pairs(one["reason"])) for one in told["capabilities"]],
        )  # fmt: skip
    if told["limits"]:
        rows = [(name, one["wanted"], one["default"]) for name, one in told["limits"].items()]
        report.show_table(("limit", ">wanted", ">host's own"), rows)
    most = "no maximum" if memory["most"] is None else f"at most {memory['most']}"
    code = "script" if size.get("script") else "module"
    report.show_line(f"{size['members']} files, {size['all']:,} bytes, {size[code]:,} of them the {code}")
    if code == "module":
        report.show_line(
            f"memory: {memory['least']} pages at start, {most}; imports: {', '.join(told['imports']) or 'none'}"
        )
    events = "; takes events" if told["events"] else ""
    report.show_line(f"sandbox: {told['lifetime']}{events}")
    report.show_line(difference(told["differences"], code))


def difference(told: Mapping[str, Any], code: str = "module") -> str:
    """In one sentence. `code`: what the program is, module or script."""
    if not told["to"]:
        return "no release of it is out to compare with"
    parts = [
        f"another {code}" if told["module"] else f"same {code}",
        _listed("new capability", told["new_capabilities"]),
    ]
    for what in ("gone_capabilities", "changed_constraints", "new_hosts", "changed_limits"):
        if told[what]:
            parts.append(_listed(what.replace("_", " "), told[what]))
    if told["name"]:
        parts.append(f"its name is now {told['name']}")
    return f"against {told['to']}: {'; '.join(parts)}"


def margin(found: int, cap: int) -> str:
    """How many times what was found would still be taken."""
    return f"{cap / found:.1f} ×" if found else "unused"


def _listed(what: str, names: list[str]) -> str:
    return f"{what}: {', '.join(names)}" if names else f"no {what}"


def _pairs(told: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}: {value}" if name else str(value) for name, value in told.items())
