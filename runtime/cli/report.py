"""How the command line speaks: results on standard output, everything else on standard error.

What lives here: JSON and tables as a terminal may see them, the line of a refusal, the line of a fault. Texts of
bundles and guests are hostile: what is not printable is escaped, and nothing in them is taken for markup.
"""

from __future__ import annotations

import base64
import io
import json
import secrets
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, Final, TextIO, TypeVar

from cyclopts import Parameter

from runtime.cli.exit_codes import FAULT
from runtime.errors import (
    AnswerRefused,
    BundleError,
    CallEnded,
    CallRefused,
    HostelError,
    NotInstalled,
    StartupError,
    UsageError,
)

T = TypeVar("T")


class _Fault(HostelError):
    """A bug of ours, as the command line tells of it."""

    exit_code = FAULT


AsJson = Annotated[bool, Parameter(name="--json", help="One JSON document on standard output, refusals included.")]

_PIPE_COLUMNS: Final = 160
"""Width of a table that no terminal shows."""
_RULE: Final = "\u2500"
"""What rich draws a line of."""
_REFUSED: Final[tuple[tuple[type[HostelError], str], ...]] = (
    (BundleError, "bundle refused"),
    (NotInstalled, "not done"),
    (CallRefused, "call refused"),
    (CallEnded, "call ended"),
    (StartupError, "host not started"),
    (AnswerRefused, "answer refused"),
    (UsageError, "not done"),
    (HostelError, "failed"),
)
_NEXT: Final[Mapping[str, str]] = {
    "cpu_exceeded": "do less in one call, or allow more with --limit cpu_us=NUMBER",
    "fuel_exhausted": "do less in one call, or allow more with --limit fuel=NUMBER",
    "deadline_exceeded": "do less in one call, or allow more with --limit wall_ms=NUMBER",
    "trapped": "see the program's log lines and --receipt; memory_at_limit there tells of too little memory",
    "capability_not_granted": "grant it with --grant NAME",
    "message_too_large": "send less, or allow more with --limit message_in_bytes=NUMBER",
    "key_unknown": "name the keyring that holds it with --keyring",
    "not_installed": "hostel programs lists them",
    "backup_damaged": "use another backup: hostel backups lists them",
}
"""Code of a refusal, or of the error a program answered with → what to do on this command line."""


class OutputFailed(Exception):
    """Standard output or error could not be written; the text is the system's reason."""


class Output:
    """A standard stream whose failures can be told from those of everything else a command does."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        return self._told(lambda: self._stream.write(text))

    def flush(self) -> None:
        self._told(self._stream.flush)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @staticmethod
    def _told(act: Callable[[], T]) -> T:
        try:
            return act()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OutputFailed(error.strerror or type(error).__name__) from error


def prepare() -> None:
    """Characters that the terminal's encoding does not have are escaped, not a reason to fail."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


# ---- standard output -------------------------------------------------------------------------------------------------
def show_json(value: Any) -> None:
    """One JSON document. Bytes are shown as {"$base64": text}."""
    text = json.dumps(value, indent=2, ensure_ascii=False, default=_plain)
    sys.stdout.write(printable(text) + "\n")


def show_table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str = "", error: bool = False
) -> None:
    """A table on standard output, or standard error. Columns whose name begins with `>` hold numbers."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    stream = sys.stderr if error else sys.stdout
    table = Table(title=Text(title) if title else None, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(Text(column.removeprefix(">")), justify="right" if column.startswith(">") else "left",
                         overflow="fold")  # fmt: skip  # a hash is to be copied whole
    for row in rows:
        table.add_row(*(Text(printable(str(cell))) for cell in row))
    drawn = io.StringIO()  # rich would not let a broken pipe pass as what it is
    seen = stream.isatty()
    Console(file=drawn, force_terminal=seen, width=Console(file=stream).width if seen else _PIPE_COLUMNS).print(table)
    text = drawn.getvalue() if _writes(stream, _RULE) else drawn.getvalue().replace(_RULE, "-")
    lines = (line.rstrip() for line in text.splitlines())
    stream.write("\n".join(line for line in lines if line) + "\n")


def _writes(stream: TextIO, character: str) -> bool:
    try:
        character.encode(stream.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True


def show_line(text: str) -> None:
    """One line of the result."""
    sys.stdout.write(printable(text) + "\n")


def printable(text: str) -> str:
    """What is not printable, line ends apart, as JSON's escape: inside of JSON its meaning stays the same."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)


def _plain(value: object) -> Any:
    if isinstance(value, bytes):
        return {"$base64": base64.b64encode(value).decode()}
    raise TypeError(f"{type(value).__name__} has no JSON form")


# ---- standard error --------------------------------------------------------------------------------------------------
def say(text: str) -> None:
    """One line to whoever watches."""
    sys.stderr.write(f"hostel: {printable(' '.join(text.split()))}\n")
    sys.stderr.flush()


def refusal(error: HostelError, as_json: bool) -> int:
    """Tells of a refusal, as one line or as JSON. Gives the exit code."""
    if as_json:
        show_json({"error": _as_dict(error)})
    else:
        what = next(words for kind, words in _REFUSED if isinstance(error, kind))
        say(f"{what}: {error.message}{_next_step(error)} ({error.code})")
    sys.stdout.flush()
    return error.exit_code


def fault(error: Exception, as_json: bool) -> int:
    """Tells of a fault of ours: a line with an incident id; the traceback goes to the log with the same id."""
    from runtime.log import logger

    incident = secrets.token_hex(8)
    message = f"a fault of hostel itself ({type(error).__name__}); please report it with the log of incident {incident}"
    logger("cli").error("command failed", incident=incident, exc_info=error)
    return refusal(_Fault(message, details={"incident": incident}), as_json)


def _as_dict(error: HostelError) -> dict[str, Any]:
    told = {**error.as_dict(), "exit_code": error.exit_code}
    if isinstance(error, CallEnded):
        told["ending"] = error.ending.value
        told["receipt"] = error.receipt.as_dict() if error.receipt else None
    return told


def _next_step(error: HostelError) -> str:
    if error.code == "key_unknown" and (name := error.details.get("developer")):
        return f"; register the key: hostel developer key add, or sign with a key of {name}'s"
    answered = error.details.get("error")
    step = _NEXT.get(answered["code"] if isinstance(answered, dict) else error.code)
    return f"; {step}" if step else ""
