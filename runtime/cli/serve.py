"""`hostel serve`: the daemon, and `--check`: what it would run with, or all that is wrong with its configuration."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

from cyclopts import Parameter

from runtime.cli import report
from runtime.errors import StartupError, UsageError

if TYPE_CHECKING:
    from runtime.daemon.config import Config

FILE: Final = Path("hostel.toml")


def serve(
    *,
    config: Annotated[
        Path | None, Parameter(help="The configuration; left out: hostel.toml here, and without one the defaults.")
    ] = None,
    state: Annotated[
        Path | None, Parameter(help="The state directory, made if missing; instead of the configuration's.")
    ] = None,
    check: Annotated[
        bool, Parameter(help="Do not start: say what is wrong with the configuration, or what is in effect.")
    ] = False,
    as_json: report.AsJson = False,
) -> None:
    """Run the host as a daemon, until SIGTERM or SIGINT; a second one does not wait for the calls in flight. SIGHUP
    reads the configuration again.

    Logs are JSON lines on standard error, or coloured ones on a terminal. docs/operations.md has the rest.
    """
    if sys.platform == "win32":
        raise StartupError("hostel serve does not run on Windows: it needs Linux, a virtual machine with it will do")
    if check:
        _check(lambda: _read(config, state), as_json)
        return
    file = FILE if config is None and FILE.exists() else config  # read again it has to be there: its limits hold
    _run(_read(file, state), lambda: _read(file, state))


def _read(config: Path | None, state: Path | None) -> Config:
    from runtime.daemon.config import load, parse

    read = parse("") if config is None and not FILE.exists() else load(config or FILE)
    return read if state is None else replace(read, service=replace(read.service, state=state))


def _check(read: Callable[[], Config], as_json: bool) -> None:
    """What is in effect, or everything that is wrong."""
    from runtime.daemon.config import ConfigRefused, settings
    from runtime.daemon.named_files import unusable

    try:
        config = read()
        _needs_state(config)
        if problems := unusable(config):
            raise ConfigRefused("what the configuration names", problems)
    except ConfigRefused as error:
        problems = error.details["problems"]
        if as_json or len(problems) == 1:
            raise
        for problem in problems:
            report.say(problem)
        raise UsageError(f"{len(problems)} things are wrong with the configuration", code=error.code) from error
    found = list(settings(config))
    if as_json:
        report.show_json([
            {"setting": one.name, "value": _plain(one.value), "default": _plain(one.default), "live": one.is_live}
            for one in found
        ])  # fmt: skip
        return
    report.show_table(("setting", "value", "instead of", "changes with"), [
        (one.name, _worded(one.key, one.value), "" if one.value == one.default else _worded(one.key, one.default),
         "SIGHUP" if one.is_live else "a new start")
        for one in found
    ])  # fmt: skip


def _plain(value: Any) -> Any:
    """As JSON has it."""
    import msgspec

    return msgspec.to_builtins(value, enc_hook=str)


def _worded(key: str, value: Any) -> object:
    from runtime.daemon.config_text import FILE_MODES

    return oct(value) if key in FILE_MODES else _plain(value)


def _needs_state(config: Config) -> None:
    if config.service.state is None:
        raise UsageError('no state directory: write state = "DIR" under [host] in hostel.toml, or say --state DIR')


def _run(config: Config, read_again: Callable[[], Config]) -> None:
    import trio

    from runtime.daemon.doors import control_door, http_door
    from runtime.daemon.serve import run
    from runtime.log import write_to

    _needs_state(config)
    on_terminal = sys.stderr.isatty()
    as_json = config.log.format == "json" or (config.log.format == "auto" and not on_terminal)
    os.umask(0o077)
    write_to(sys.stderr, level=config.log.level, as_json=as_json)
    doors = (control_door, http_door) if config.service.http else (control_door,)
    trio.run(lambda: run(config, doors, read_again=read_again))
    gc.freeze()  # or Python's end would look through all that thousands of calls left, as long as it took to end them
