"""A target: a host under test, as a command that reads a case as one line of JSON and writes its result as one line.

What lives here: starting it, one case at a time, a bound on its time and on its words, and starting it anew after it
ended, which it may after every case. It is never told what is expected.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import shlex
import signal
import subprocess
import tempfile
import time
from types import TracebackType
from typing import Any, Final

RESULT_BYTES_MAX: Final = 64 << 20
STDERR_BYTES_SHOWN: Final = 2_000
CASE_SECONDS: Final = 60.0


class TargetError(Exception):
    """The target did not do what docs/conformance.md asks of one: the case is broken, not failed."""


class CannotStart(Exception):
    """No process of the target ever gets as far as a case: the command is wrong, not the host."""


class Target:
    """One process at a time, started when it is needed. Close it, or use it in a `with` block."""

    def __init__(self, command: str, *, seconds: float = CASE_SECONDS) -> None:
        self._words, self._seconds = shlex.split(command), seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 closed by close
        self._rest = b""
        self._has_answered = False

    def __enter__(self) -> Target:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    def play(self, message: dict[str, Any]) -> Any:
        """Its result. Raises TargetError, after which the next case gets a new process; CannotStart."""
        line = json.dumps(message, separators=(",", ":")).encode() + b"\n"
        try:
            for fresh in (False, True):
                process = self._started()
                if (answer := self._exchange(process, line)) is not None:
                    self._has_answered = True
                    return json.loads(answer)
                self._drop()
                if fresh:
                    self._check_starts()
                    raise TargetError(
                        f"it ended without a result (exit status {process.returncode}){self._last_words()}"
                    )
        except ValueError as error:
            self._drop()
            raise TargetError(f"what it wrote is no JSON: {error}") from None
        except TargetError:
            self._drop()
            raise
        raise AssertionError("not reached")

    def close(self) -> None:
        """Ends the process: first by the end of its input, then by force."""
        process = self._process
        if process is not None and process.poll() is None and process.stdin is not None:
            process.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=10)
        self._drop()
        self._errors.close()

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self._drop()
            try:
                self._process = subprocess.Popen(
                    self._words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors,
                    start_new_session=True,
                )  # fmt: skip
            except OSError as error:
                raise CannotStart(f"the target cannot be started: {error}") from None
            self._rest = b""
        return self._process

    def _check_starts(self) -> None:
        """Where it has not answered at all: it ends well without any case, or it would end as badly for every one."""
        if self._has_answered:
            return
        try:
            done = subprocess.run(
                self._words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self._errors, check=False,
                timeout=self._seconds, start_new_session=True,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return
        if done.returncode:
            raise CannotStart(
                f"the target ends with exit status {done.returncode} before it reads a case{self._last_words()}"
            )

    def _exchange(self, process: subprocess.Popen[bytes], line: bytes) -> bytes | None:
        """One line each way; None if it ended before it said anything."""
        assert process.stdin is not None and process.stdout is not None
        until = time.monotonic() + self._seconds
        try:
            process.stdin.write(line)
            process.stdin.flush()
        except BrokenPipeError:
            return None
        with selectors.DefaultSelector() as ready:
            ready.register(process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._rest:
                if not ready.select(max(0.0, until - time.monotonic())):
                    raise TargetError(f"no result after {self._seconds:g} s{self._last_words()}")
                piece = os.read(process.stdout.fileno(), 1 << 16)
                if not piece:
                    process.wait()
                    answer, self._rest = self._rest, b""
                    return answer or None
                self._rest += piece
                if len(self._rest) > RESULT_BYTES_MAX:
                    raise TargetError(f"a result of more than {RESULT_BYTES_MAX} bytes")
        answer, _, self._rest = self._rest.partition(b"\n")
        return answer

    def _drop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None and not stream.closed:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()

    def _last_words(self) -> str:
        size = self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(0, size - STDERR_BYTES_SHOWN))
        said = self._errors.read().decode(errors="replace").strip()
        return f"; its last words: {said}" if said else ""
