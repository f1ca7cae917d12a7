"""A project's folder: its bundle and its scenarios. Reads files, writes none."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from host_api.capability import CAPABILITIES
from runtime.bundle import Bundle, bundle_folder, pack
from runtime.bundle.refusal import shown
from runtime.errors import UsageError
from runtime.scenarios.scenario import Installation, Scenario, load

SCENARIOS_MOST: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """A program as the operator of a scenario installs it."""

    bundle: Bundle
    install: Installation

    @property
    def grants(self) -> dict[str, dict[str, Any]]:
        """What it may: as the scenario says, else all that its manifest asks for and this host knows."""
        if self.install.grant is not None:
            return {name: dict(constraints) for name, constraints in self.install.grant.items()}
        return {
            asked.name: {name: _plain(value) for name, value in asked.constraints.items()}
            for asked in self.bundle.manifest.req_permissions
            if asked.name in CAPABILITIES
        }


def read_bundle(path: Path) -> Bundle:
    """A bundle's file, a project's folder, or the folder of a bundle. Raises BundleError's family, UsageError."""
    if not path.is_dir():
        return Bundle.read(path)
    return Bundle.from_bytes(pack(bundle_folder(path), on_left_out=lambda left, why: None))


def scenarios(folder: Path, only: str = "") -> list[Scenario]:
    """Every scenario of a project, in order of name. Raises UsageError; ScenarioError for the first that is none."""
    found = sorted((folder / "scenarios").glob("*.json"))
    if len(found) > SCENARIOS_MOST:
        raise UsageError(f"{len(found)} scenarios; at most {SCENARIOS_MOST} in one folder")
    if not found:
        raise UsageError(
            f"{shown(str(folder / 'scenarios'))} holds no scenario: see docs/scenarios.md for how one reads"
        )
    chosen = [path for path in found if only in ("", path.stem)]
    if not chosen:
        raise UsageError(f"no scenario {shown(only)}; there are {', '.join(path.stem for path in found)}")
    return [load(path) for path in chosen]


def programs(folder: Path, scenario: Scenario) -> list[Installed]:
    """All programs of a scenario, the project's own first."""
    own = Installed(bundle=read_bundle(folder), install=scenario.install)
    found = [own]
    for app_id, beside in scenario.programs.items():
        bundle = read_bundle((folder / beside.bundle).resolve())
        if bundle.manifest.app_id != app_id:
            raise UsageError(
                f"{scenario.name}.json: programs: {beside.bundle} is {bundle.manifest.app_id}, not {app_id}"
            )
        found.append(Installed(bundle=bundle, install=beside.install))
    return found


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
