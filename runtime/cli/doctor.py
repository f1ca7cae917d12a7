"""`hostel doctor`: what this machine can do for hostel, and what is missing for more."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Literal

from runtime.cli import report
from runtime.errors import StartupError

Verdict = Literal["well", "less", "missing"]
KERNEL_LEAST: Final = (5, 13)
MAPPINGS_DEFAULT: Final = 65_530
NODE: Final = "vm.max_map_count"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One thing that was looked at."""

    what: str
    verdict: Verdict
    """`missing`: hostel does not run here without it. `less`: something is had less well, or not at all."""
    found: str
    cure: str = ""


def doctor(*, as_json: report.AsJson = False) -> None:
    """Look at this machine: the jail that programs get, the tick that stops them, kernel, caches, toolchains, versions;
    of what is missing, how it is had. Starts two short-lived children; changes nothing.

    Ends with 0 unless something is missing without which hostel does not run.
    """
    lines = list(_examined())
    missing = [line.what for line in lines if line.verdict == "missing"]
    if not as_json:
        rows = [(line.what, line.verdict, line.found, line.cure) for line in lines]
        report.show_table(("what", "", "found", "what to do"), rows)
    found = [asdict(line) for line in lines]
    if missing:
        raise StartupError(f"missing here: {', '.join(missing)}", details={"found": found})
    if as_json:
        report.show_json({"found": found})


def _examined() -> Iterator[Line]:
    yield from _versions()
    yield from _system()
    yield _jail()
    yield _ticker()
    yield from _places()
    yield from _toolchains()


def _versions() -> Iterator[Line]:
    from importlib.metadata import PackageNotFoundError, version

    names = ("hostel", "wasmtime", "trio", "msgspec", "apsw")
    for name in names:
        try:
            yield Line(what=name, verdict="well", found=version(name))
        except PackageNotFoundError:
            verdict: Verdict = "well" if name == "hostel" else "missing"
            found = "from a source tree" if name == "hostel" else "not installed"
            yield Line(what=name, verdict=verdict, found=found, cure="" if verdict == "well" else f"pip install {name}")
    yield Line(what="python", verdict="well", found=f"{platform.python_implementation()} {platform.python_version()}")


def _system() -> Iterator[Line]:
    release, system = platform.release(), platform.system()
    if system != "Linux":
        verdict: Verdict = "less" if system == "Darwin" else "missing"
        yield Line(what="system", verdict=verdict, found=system, cure="production is Linux on x86-64 or arm64")
        return
    numbers = tuple(int(part) for part in release.split("-")[0].split(".")[:2] if part.isdigit())
    old = numbers < KERNEL_LEAST
    cure = f"{KERNEL_LEAST[0]}.{KERNEL_LEAST[1]} or newer has all of the jail" if old else ""
    yield Line(
        what="kernel", verdict="less" if old else "well", found=f"Linux {release} {platform.machine()}", cure=cure
    )
    yield _mappings()


def _mappings() -> Line:
    from runtime.worker_settings import slots_that_fit

    try:
        count = int(Path("/proc/sys/vm/max_map_count").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return Line(what=NODE, verdict="less", found="cannot be read", cure="the default is assumed")
    low = count < MAPPINGS_DEFAULT
    return Line(
        what=NODE, verdict="less" if low else "well", found=f"{count}: {slots_that_fit()} sandboxes in one worker",
        cure=f"sysctl {NODE}={MAPPINGS_DEFAULT}" if low else "",
    )  # fmt: skip


def _jail() -> Line:
    from runtime import jail

    level = jail.probe()
    missing = "; ".join(level.missing)
    if str(level) == "full":
        return Line(what="sandbox level", verdict="well", found="full", cure="; ".join(level.notes))
    return Line(
        what="sandbox level", verdict="less", found=f"{level}: {missing}",
        cure="hostel serve needs full, or require of [workers] in hostel.toml; hostel run and dev take what there is",
    )  # fmt: skip


def _ticker() -> Line:
    """As a host proves it at start-up: a spinning guest is stopped."""
    from runtime.sandbox.pool import Pool
    from runtime.sandbox.proof import prove
    from runtime.sandbox.ticker import open_ticker

    pool = Pool(slots=1)
    ticker = open_ticker(pool.engine)
    try:
        prove(pool, ticker)
    except StartupError as error:
        return Line(what="ticker", verdict="missing", found=error.message, cure="another machine, or a less busy one")
    finally:
        ticker.close()
        pool.close()
    if ticker.kind == "signal":
        return Line(what="ticker", verdict="well", found="signal: stops a guest within about a millisecond")
    return Line(
        what="ticker", verdict="less", found=f"{ticker.kind}: late beside busy threads", cure="x86-64 or arm64 Linux"
    )


def _places() -> Iterator[Line]:
    from runtime.cli.run import cache_dir

    place = cache_dir()
    if place is None:
        yield Line(what="cache", verdict="less", found="no home folder", cure="set XDG_CACHE_HOME")
        return
    above = next(each for each in (place, *place.parents) if each.exists())
    if not os.access(above, os.W_OK):
        yield Line(what="cache", verdict="less", found=f"{place} cannot be written", cure="set XDG_CACHE_HOME")
        return
    free = shutil.disk_usage(above).free >> 20
    yield Line(what="cache", verdict="well", found=f"{place}, {free:,} MiB free")


def _toolchains() -> Iterator[Line]:
    from runtime.toolchains import TOOLCHAINS, Missing

    for toolchain in TOOLCHAINS.values():
        found, what = toolchain.find(), f"programs in {toolchain.language}"
        if isinstance(found, Missing):
            yield Line(what=what, verdict="less", found=f"no {found.name}", cure=found.cure)
        else:
            note = "" if found.exact else "builds; not the version of the samples, so other bytes"
            yield Line(what=what, verdict="well", found=found.name, cure=note)
