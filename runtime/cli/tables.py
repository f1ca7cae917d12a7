"""`hostel limits`, `exit-codes` and `version`: what hostel knows about itself. None of them imports the sandbox."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed

from runtime.cli import report
from runtime.cli.exit_codes import EXIT_CODES
from runtime.limits import CompileLimits, DeveloperLimits, Limits, ModuleCaps, specs

_OPTION = {Limits: "--limit", DeveloperLimits: "", ModuleCaps: "", CompileLimits: "--compile-limit"}
_COLUMNS = ("limit", "unit", ">default", ">least", ">most", "scope", "error", "meaning")


def limits(*, as_json: report.AsJson = False) -> None:
    """List every limit. Those of a call, program or user are changed with hostel run --limit NAME=VALUE, those of
    compiling with --compile-limit NAME=VALUE, those of a developer with hostel developer limits; the caps of modules
    are the host's."""
    rows = [
        {"name": name, "table": table.__name__, "option": option, "unit": spec.unit, "default": getattr(table(), name),
         "least": spec.least, "most": spec.most, "scope": spec.scope, "error": spec.error, "text": spec.text}
        for table, option in _OPTION.items() for name, spec in specs(table).items()
    ]  # fmt: skip
    if as_json:
        report.show_json(rows)
        return
    for table, option in _OPTION.items():
        title = f"{table.__name__} ({option} NAME=VALUE)" if option else f"{table.__name__} (set by the host)"
        mine = [tuple(row.values()) for row in rows if row["table"] == table.__name__]
        report.show_table(_COLUMNS, [(row[0], *row[3:]) for row in mine], title=title)


def exit_codes(*, as_json: report.AsJson = False) -> None:
    """List what the exit codes mean."""
    if as_json:
        report.show_json([{"exit_code": code, "meaning": meaning} for code, meaning in EXIT_CODES.items()])
    else:
        report.show_table((">exit code", "meaning"), EXIT_CODES.items())


def version(*, as_json: report.AsJson = False) -> None:
    """Print the versions of hostel and what it runs on."""
    told = {name: _version_of(name) for name in ("hostel", "wasmtime", "trio", "apsw")}
    told["python"] = platform.python_version()
    if as_json:
        report.show_json(told)
    else:
        report.show_line(
            "hostel {hostel} (wasmtime {wasmtime}, trio {trio}, apsw {apsw}, Python {python})".format(**told)
        )


def _version_of(name: str) -> str:
    try:
        return installed(name)
    except PackageNotFoundError:
        return "not installed"
