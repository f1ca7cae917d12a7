"""A project as it is developed: its folder, and the world it is run in, which the head of one of its scenarios says.

What lives here: what is installed, how, and beside whom. What changes in the folder is watch.py's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from host_api.money import Money
from runtime.bundle import bundle_folder
from runtime.scenarios.project import Installed, programs, read_bundle, scenarios
from runtime.scenarios.scenario import Installation, Scenario, User
from runtime.toolchains.project import MODULE, build_project, toolchain_of

ALICE: Final = User(wallet=(Money(amount=100_000, currency="CNY"),), fields={"nickname": "Alice"})
"""Who is there where no scenario says: with 1,000.00 CNY."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """Made by `open_project`."""

    folder: Path
    scenario: Scenario | None
    """Whose head says what there is; None: the project has none."""
    users: dict[str, User] = field(default_factory=dict)

    @property
    def built(self) -> frozenset[str]:
        """Paths that a build writes."""
        return frozenset({MODULE} if toolchain_of(self.folder) is not None else ())

    def build(self) -> None:
        """Compiles what is to be compiled. Blocks. Raises BuildError."""
        if self.folder != bundle_folder(self.folder):
            build_project(self.folder)

    def own(self) -> Installed:
        """The program as it lies there now. Raises BundleError's family, UsageError."""
        install = Installation() if self.scenario is None else self.scenario.install
        return Installed(bundle=read_bundle(self.folder), install=install)

    def beside(self) -> list[Installed]:
        """The other programs of the scenario. Raises as `own`."""
        return [] if self.scenario is None else programs(self.folder, self.scenario)[1:]


def open_project(folder: Path, scenario: str = "") -> Project:
    """`scenario`: the name of the one whose head counts; "": the first. Raises UsageError."""
    folder = folder.resolve()
    bundle_folder(folder)
    has_some = any((folder / "scenarios").glob("*.json"))
    chosen = scenarios(folder, scenario)[0] if scenario or has_some else None
    users = dict(chosen.users) if chosen is not None else {"alice": ALICE}
    return Project(folder=folder, scenario=chosen, users=users)
