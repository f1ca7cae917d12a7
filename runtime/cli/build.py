"""`hostel build`: a project's sources to the module of its bundle. The compilers are runtime/toolchains."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from runtime.bundle import bundle_folder
from runtime.cli import report
from runtime.errors import UsageError


def build(folder: Path = Path(), /, *, as_json: report.AsJson = False) -> None:
    """Compile a project into bundle/program.wasm, against its own sdk folder, else against the SDK that comes with
    hostel. A script is not compiled: it is loaded once, so that what is wrong with it is said here.

    Nothing of the project is run, but an asc that lies in its node_modules: look at that in a project of others.

    Parameters
    ----------
    folder
        The project; the current folder where it is left out.
    """
    from runtime.toolchains import TOOLCHAINS
    from runtime.toolchains.project import MODULE, build_project

    bundle_folder(folder)
    built = build_project(folder)
    if built is not None:
        told: dict[str, Any] = {"module": MODULE, "bytes": len(built.module), "compiler": built.compiler}
    elif (size := _loaded(folder)) is not None:
        told = {"module": None, "bytes": size, "compiler": "loads"}
    else:
        mains = ", ".join(toolchain.main for toolchain in TOOLCHAINS.values())
        raise UsageError(f"there is nothing to build: a project has one of {mains}, or a script in its manifest")
    if as_json:
        report.show_json(told)
    else:
        report.show_line(f"{told['module'] or 'the script'}: {told['bytes']} bytes, {told['compiler']}")


def _loaded(folder: Path) -> int | None:
    """The size of a script's image, after it was loaded once as an installation does; None: the program is none.
    Raises BundleError's family, with place and line of what is wrong."""
    from runtime.cli.script import load_script
    from runtime.scenarios.project import read_bundle

    bundle = read_bundle(folder)
    if bundle.script_image is None:
        return None
    load_script(bundle)
    return len(bundle.script_image)
