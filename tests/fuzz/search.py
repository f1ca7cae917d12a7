"""The search: bytes of the corpus are changed and given to a target; what reaches new lines is changed again.

What lives here: what a target is, where its corpus lies, and the loop. The same target, corpus, seed and number of
examples give the same run. No target is known here.
"""

from __future__ import annotations

import hashlib
import random
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Final

from tests.fuzz.line_coverage import LineCoverage
from tests.fuzz.mutated_bytes import changed

CORPUS: Final = Path(__file__).resolve().parent / "corpus"
EXAMPLE_BYTES: Final = 64 << 10
"""Longer ones are not kept to be changed again."""
SHOWN_BYTES: Final = 2_000
Run = Callable[[bytes], None]
Change = Callable[[bytes, random.Random], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What is given any bytes. What `opened` gives returns where they gave a value or the one documented error, and
    raises for anything else."""

    name: str
    about: str
    opened: Callable[[], AbstractContextManager[Run]]
    seeds: Callable[[], Iterable[bytes]]
    """Made, and so as new as the code; what was found lies in the corpus."""
    changes: tuple[Change, ...] = ()
    """By structure; one in two examples, where there are any."""
    ci_examples: int = 4_000
    """In the suite; all targets together take a minute."""


@dataclass(slots=True)
class Searched:
    """What a search did."""

    examples: int = 0
    lines: int = 0
    pool: list[bytes] = field(default_factory=list)
    finding: bytes | None = None
    error: BaseException | None = None


def kept(name: str) -> list[tuple[str, bytes]]:
    """File name → bytes: what was found once, and the seeds that are kept."""
    folder = CORPUS / name
    return [(path.name, path.read_bytes()) for path in sorted(folder.iterdir())] if folder.is_dir() else []


def keep(name: str, data: bytes) -> Path:
    """Into the corpus, for every run from now on."""
    folder = CORPUS / name
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"found-{hashlib.sha256(data).hexdigest()[:12]}"
    path.write_bytes(data)
    return path


def told(name: str, done: Searched) -> str:
    """What was found, in a file, and the command that meets it again."""
    data = done.finding or b""
    path = Path(tempfile.gettempdir(), f"hostel-fuzz-{name}-{hashlib.sha256(data).hexdigest()[:12]}")
    path.write_bytes(data)
    shown = data.hex() if len(data) <= SHOWN_BYTES else data[:SHOWN_BYTES].hex() + "…"
    return f"{len(data)} bytes: {shown}\nagain: python tests/fuzz {name} --file {path} (--keep keeps it)"


def search(target: Target, *, seed: int, examples: int | None = None, seconds: float | None = None) -> Searched:
    """Until the examples or the seconds are used up, or something is found. The corpus comes first, unchanged."""
    draw, coverage, done = random.Random(f"{target.name}:{seed}"), LineCoverage(), Searched()
    ends = None if seconds is None else time.monotonic() + seconds
    first = [data for _, data in kept(target.name)] + list(target.seeds())
    with target.opened() as run:
        for number in count():
            more = number - len(first)
            if more >= 0 and (more == examples or (ends is not None and time.monotonic() > ends)):
                break
            data = first[number] if more < 0 else _next(target, draw, done.pool)
            lines = coverage.lines
            try:
                with coverage.watching():
                    run(data)
            except Exception as error:
                done.finding, done.error = data, error
                break
            if more < 0 or (coverage.lines > lines and len(data) <= EXAMPLE_BYTES):
                done.pool.append(data)
            done.examples += 1
    done.lines = coverage.lines
    return done


def simply(run: Run) -> Callable[[], AbstractContextManager[Run]]:
    """Of a target that needs nothing around it."""
    return lambda: nullcontext(run)


def _next(target: Target, draw: random.Random, pool: list[bytes]) -> bytes:
    source = draw.choice(pool)
    if draw.random() < 0.02:
        return draw.randbytes(draw.randint(0, 200))
    if target.changes and draw.random() < 0.5:
        source = draw.choice(target.changes)(source, draw)
        if draw.random() < 0.5:
            return source
    return changed(source, draw, others=pool)
