"""Writing a result to a file, whole or not at all."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

from runtime.bundle.refusal import shown
from runtime.errors import UsageError


def write_file(path: Path, data: bytes) -> None:
    """Puts `data` in the place of what may be at `path`: written beside it first, then renamed.

    Raises:
        UsageError: it cannot be written; what was there stays.
    """
    aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666), "wb") as file:
            file.write(data)
        aside.replace(path)
    except OSError as error:
        with suppress(OSError):  # one that could not be made: nor can it be removed
            aside.unlink()
        raise UsageError(f"cannot write {shown(str(path))}: {error.strerror}; name another file with -o") from error
