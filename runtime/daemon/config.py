"""`hostel.toml`: one file to the values that the parts of the daemon are made with.

What lives here: which section fills which value, and how everything that is wrong with a file is told at once. Bounds
are the values' own; no default is written twice. Unknown sections and keys are refused: a typo must not be a limit that
nobody set. Secrets do not belong into this file: keys that need one name a file, or hold a hash.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin, get_type_hints

import msgspec

from runtime.bundle.files import read_file
from runtime.bundle.refusal import shown
from runtime.daemon.control.settings import ControlSettings
from runtime.daemon.http.settings import HttpSettings
from runtime.daemon.settings import LogSettings, ServiceSettings
from runtime.errors import HostelError, UsageError
from runtime.limits import CompileLimits, DeveloperLimits, Limits, ModuleCaps
from runtime.settings import HostSettings, JournalSettings, MetricsSettings
from runtime.worker_settings import WorkerSettings

FILE_BYTES_MAX: Final = 1 << 20
PROBLEMS_TOLD: Final = 100
SECTIONS: Final[Mapping[str, tuple[type, ...]]] = {
    "host": (ServiceSettings, HostSettings),
    "limits": (Limits,),
    "developers": (DeveloperLimits,),
    "module_caps": (ModuleCaps,),
    "compile": (CompileLimits,),
    "workers": (WorkerSettings,),
    "control": (ControlSettings,),
    "http": (HttpSettings,),
    "log": (LogSettings,),
    "metrics": (MetricsSettings,),
    "retention": (JournalSettings,),
}
"""Section → the values its keys are fields of."""
LIVE_SECTIONS: Final = frozenset({"limits", "retention"})
_LIVE_KEYS: Final = frozenset({("log", "level")})
_NOT_KEYS: Final = frozenset(
    {
        "limits",
        "developer_limits",
        "caps",
        "compile_limits",
        "workers",
        "journal",
        "engine",
        "metrics",
        "slots",
        "keep_resident_bytes",
        "ticker",
    }
)
"""Fields of `HostSettings` that are sections of their own, or mean nothing where workers run the programs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything `hostel serve` runs with. The defaults are those of an empty file."""

    service: ServiceSettings
    host: HostSettings
    control: ControlSettings
    http: HttpSettings
    log: LogSettings

    def of(self, kind: type) -> Any:
        """The value of that kind; its defaults where the host has none of it (no workers: it runs in one process)."""
        host = self.host
        held = (host, host.limits, host.developer_limits, host.caps, host.compile_limits, host.workers, host.metrics,
                host.journal, self.service, self.control, self.http, self.log)  # fmt: skip
        return next((value for value in held if type(value) is kind), None) or kind()


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One key of the file, as it is in effect."""

    section: str
    key: str
    value: Any
    default: Any

    @property
    def is_live(self) -> bool:
        """It can change while the host runs (reload.py); everything else needs a new start."""
        return self.section in LIVE_SECTIONS or (self.section, self.key) in _LIVE_KEYS

    @property
    def name(self) -> str:
        return f"[{self.section}] {self.key}"


class ConfigRefused(UsageError):
    """The file is not one that hostel starts with; `details["problems"]` holds all that is wrong with it."""

    code = "config_invalid"

    def __init__(self, source: str, problems: list[str]) -> None:
        first = problems[0]
        more = f" (and {len(problems) - 1} more: hostel serve --check lists them)" if len(problems) > 1 else ""
        super().__init__(f"{source}: {first}{more}", details={"problems": problems[:PROBLEMS_TOLD]})


def load(path: Path) -> Config:
    """Raises ConfigRefused, and UsageError: it cannot be read."""
    source = shown(str(path))
    data = read_file(path, "config_bytes_max", FILE_BYTES_MAX)
    try:
        return parse(data.decode(), source)
    except UnicodeDecodeError:
        raise ConfigRefused(source, ["the file is not UTF-8"]) from None


def parse(text: str, source: str = "hostel.toml") -> Config:
    """The file's text to values. Raises ConfigRefused with every problem there is."""
    try:
        told = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigRefused(source, [" ".join(str(error).split())]) from None
    return of_sections(told, source)


def of_sections(told: Mapping[str, Any], source: str) -> Config:
    """Section → key → value, as a file says them. Raises ConfigRefused with every problem there is."""
    problems: list[str] = []
    given: dict[type, dict[str, Any]] = {kind: {} for kinds in SECTIONS.values() for kind in kinds}
    for section, content in told.items():
        if section not in SECTIONS:
            problems.append(_unknown("", section, tuple(SECTIONS), "section"))
        elif not isinstance(content, dict):
            problems.append(f"{section} is a section: write [{section}] on a line of its own")
        else:
            problems += _read_section(section, content, given)
    problems += _out_of_bounds(given)
    if problems:
        raise ConfigRefused(source, problems)
    return _config(given)


def settings(config: Config) -> Iterator[Setting]:
    """Every key of every section, in the order of their declaration."""
    for section, kinds in SECTIONS.items():
        for kind in kinds:
            held = config.of(kind)
            for key, declared in keys(kind).items():
                yield Setting(section=section, key=key, value=getattr(held, key), default=default_of(declared))


def keys(kind: type) -> Mapping[str, Field[Any]]:
    """The fields of a value that are keys of its section."""
    return {f.name: f for f in fields(kind) if not (kind is HostSettings and f.name in _NOT_KEYS)}


def default_of(declared: Field[Any]) -> Any:
    return declared.default_factory() if declared.default_factory is not MISSING else declared.default


# ---- reading ---------------------------------------------------------------------------------------------------------
def _read_section(section: str, content: Mapping[str, Any], given: dict[type, dict[str, Any]]) -> Iterator[str]:
    """Puts the section's values into `given`; gives what is wrong with its names and types."""
    places = {key: kind for kind in SECTIONS[section] for key in keys(kind)}
    for key, value in content.items():
        if key not in places:
            yield _unknown(f"[{section}]", key, tuple(places), "key")
            continue
        kind = places[key]
        try:
            given[kind][key] = _converted(value, get_type_hints(kind)[key])
        except msgspec.ValidationError as error:
            yield f"[{section}] {key} = {shown(value)}: {_misfit(error, get_type_hints(kind)[key])}"
        except UsageError as error:
            yield f"[{section}] {key}: {error.message}"


def _misfit(error: msgspec.ValidationError, hint: Any) -> str:
    if get_origin(hint) is Literal:
        *others, last = get_args(hint)
        return f"must be {', '.join(others)} or {last}"
    return " ".join(str(error).split())


def _converted(value: Any, hint: Any) -> Any:
    """A TOML value to a field's type. Raises ValidationError and UsageError."""
    inner = get_args(hint)
    if inner and is_dataclass(inner[0]) and isinstance(value, list):  # a table of its own each: [[control.tokens]]
        known = tuple(f.name for f in fields(inner[0]))
        for name in (name for one in value if isinstance(one, dict) for name in one if name not in known):
            raise UsageError(_unknown("each of them", name, known, "key"))
    return msgspec.convert(value, hint, dec_hook=_path)


def _out_of_bounds(given: dict[type, dict[str, Any]]) -> Iterator[str]:
    """What the values themselves refuse, one key after the other: the one without which it is another refusal, or
    none, is set aside, and what is left is tried again."""
    for section, kinds in SECTIONS.items():
        for kind in kinds:
            left = dict(given[kind])
            while (told := _refusal(kind, left)) is not None:
                yield f"[{section}] {told}"
                culprits = [key for key in left if _refusal(kind, {k: v for k, v in left.items() if k != key}) != told]
                if not culprits:
                    break
                del left[culprits[0]]


def _refusal(kind: type, values: Mapping[str, Any]) -> str | None:
    try:
        made = kind(**values)
        if isinstance(made, HttpSettings):
            made.check_safe()
    except HostelError as error:
        return error.message
    return None


def _config(given: dict[type, dict[str, Any]]) -> Config:
    host = HostSettings(
        **given[HostSettings], limits=Limits(**given[Limits]),
        developer_limits=DeveloperLimits(**given[DeveloperLimits]), caps=ModuleCaps(**given[ModuleCaps]),
        compile_limits=CompileLimits(**given[CompileLimits]), workers=WorkerSettings(**given[WorkerSettings]),
        journal=JournalSettings(**given[JournalSettings]), metrics=MetricsSettings(**given[MetricsSettings]),
    )  # fmt: skip
    return Config(
        service=ServiceSettings(**given[ServiceSettings]), host=host, control=ControlSettings(**given[ControlSettings]),
        http=HttpSettings(**given[HttpSettings]), log=LogSettings(**given[LogSettings]),
    )  # fmt: skip


def _unknown(where: str, name: str, known: tuple[str, ...], what: str) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
    return f"{where} {shown(name)}: unknown {what}; {hint}".strip()


def _path(kind: type, value: Any) -> Any:
    if kind is Path and isinstance(value, str) and value:
        return Path(value)
    raise ValueError("Expected the path of a file or folder")
