"""One command line, from its words to its exit code.

What lives here: the one way in and out. Every refusal leaves as one line and a documented exit code, never as a
traceback. Nothing here or in commands.py imports the sandbox, so that help is there at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TextIO, cast

from cyclopts import CycloptsError, MissingArgumentError, UnusedCliTokensError

from runtime.cli import report
from runtime.cli.commands import APP, tell_all_of
from runtime.cli.exit_codes import BROKEN_PIPE, INTERRUPTED, OUTPUT_FAILED
from runtime.errors import HostelError, UsageError

__all__ = ["main", "run"]


def main() -> None:
    """The console script."""
    sys.stdout, sys.stderr = cast(TextIO, report.Output(sys.stdout)), cast(TextIO, report.Output(sys.stderr))
    sys.exit(run(sys.argv[1:]))


def run(words: Sequence[str]) -> int:
    """One command line, its name left out. Gives the exit code (exit_codes.py); raises nothing."""
    report.prepare()
    try:
        return _run(words)
    except BrokenPipeError:  # whoever read the output has seen enough
        _drop(sys.stdout)
        return BROKEN_PIPE
    except report.OutputFailed as error:
        _drop(sys.stdout)
        return _unwritten(error)


def _drop(stream: TextIO) -> None:
    """What is left in it goes nowhere; else it would fail once more at the very end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _unwritten(error: report.OutputFailed) -> int:
    try:
        report.say(f"output not written: {error}; what the command did besides is done (output_failed)")
    except (report.OutputFailed, BrokenPipeError):
        _drop(sys.stderr)
    return OUTPUT_FAILED


def _run(words: Sequence[str]) -> int:
    as_json = "--json" in words
    try:
        try:
            if {"--help", "-h"} & {*words}:
                tell_all_of(words)
            APP(words, exit_on_error=False, print_error=False)
            sys.stdout.flush()
        except BaseExceptionGroup as group:
            raise _alone(group) from group
    except CycloptsError as error:
        return report.refusal(_misused(error), as_json)
    except HostelError as error:
        return report.refusal(error, as_json)
    except PermissionError as error:  # wherever a path was looked at: the cure is the same
        named = report.printable(str(error.filename or "a file"))
        wrong = f"no permission for {named}: check its owner and mode, and those of its folders"
        return report.refusal(UsageError(wrong), as_json)
    except KeyboardInterrupt:
        report.say("interrupted")
        return INTERRUPTED
    except SystemExit:  # how the help page leaves when its reader goes away
        return BROKEN_PIPE
    except (BrokenPipeError, report.OutputFailed):
        raise
    except Exception as error:
        return report.fault(error, as_json)
    return 0


def _misused(error: CycloptsError) -> UsageError:
    wrong = " ".join(str(error).split())
    if isinstance(error, UnusedCliTokensError):
        words = error.root_input_tokens or ()
        more = [word for word in error.unused_tokens or () if word]
        before = words[words.index(more[0]) - 1] if more and more[0] in words[1:] else ""
        wrong = f"Unknown option: {before}." if before.startswith("--") else f"More than it takes: {' '.join(more)}."
    argument = error.argument if isinstance(error, MissingArgumentError) else None
    if argument is not None and argument.name.startswith("--"):
        value = "NAME" if argument.name in ("--developer", "--user", "--program") else argument.name[2:].upper()
        wrong += f" Add {argument.name} {value}."
    return UsageError(f"{wrong} See {' '.join(('hostel', *(error.command_chain or ()), '--help'))}.")


def _alone(error: BaseException) -> BaseException:
    """Out of the groups that nurseries wrap it in, where it is alone in them."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
