"""Crowds of random bundles, met in a process of their own, so that one that kills it is known by its number.

What lives here: which crowds there are, the child process that meets one, and how it is started and understood. Each
bundle is made of the seed and its number alone: one of them is met again by `--first NUMBER --count 1`.
"""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import trio

from runtime import Bundle
from runtime.bundle import Keyring
from tests.fuzz import random_modules
from tests.fuzz.judged import Call, Judge, judging
from tests.fuzz.mutated_bundles import KEYRING, Mutants
from tests.fuzz.random_modules import CURE, Smith
from tests.fuzz.search import keep as keep_finding
from tests.fuzz.search import kept
from tests.hostile.guests import bundle

COMMAND: Final = Path(__file__).resolve().parent
RUN: Final[Call] = ("run", {})
Made = tuple[str, bytes, Callable[[], Bundle], tuple[Call, ...]]
"""Its kind, the bytes to be kept of it, how the host gets it, and what is called."""


def _module(kind: str, wasm: bytes) -> Made:
    return kind, wasm, partial(bundle, wasm, "org.example.random"), (RUN,)


def _bundle(kind: str, data: bytes, calls: tuple[Call, ...] = (RUN,)) -> Made:
    return kind, data, partial(Bundle.from_bytes, data), calls


@contextmanager
def _modules(executable: Path) -> Iterator[Callable[[random.Random], Made]]:
    with tempfile.TemporaryDirectory() as folder:
        smith = Smith(executable, Path(folder))
        yield lambda draw: _module(*smith.make(draw))


@contextmanager
def _bundles(executable: Path) -> Iterator[Callable[[random.Random], Made]]:
    mutants = Mutants(executable)
    yield lambda draw: _bundle(*mutants.make(draw))


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowd:
    about: str
    making: Callable[[Path], AbstractContextManager[Callable[[random.Random], Made]]]
    again: Callable[[str, bytes], Made]
    """One that is kept."""
    keyring: Keyring | None


CROWDS: Final = {
    "modules": Crowd(about="modules of wasm-tools smith", making=_modules, again=_module, keyring=None),
    "bundles": Crowd(about="the samples' bundles, changed", making=_bundles, again=_bundle, keyring=KEYRING),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Met:
    """What became of a crowd. `fault`: what the host did wrong, and how it is met again; '' where it did nothing."""

    name: str
    seen: Counter[str]
    fault: str

    @property
    def shares(self) -> str:
        """A line for each thing that became of some."""
        return "".join(f"{count:7}  {what}\n" for what, count in sorted(self.seen.items()))

    def count(self, *words: str) -> int:
        return sum(count for what, count in self.seen.items() if any(word in what for word in words))


def meet(name: str, *, seed: int, count: int, first: int = 0, keep: bool = False) -> Met:
    """In a child, which is waited for. LookupError: there is no wasm-tools here."""
    if random_modules.tool() is None:
        raise LookupError(CURE)
    with tempfile.NamedTemporaryFile() as mark:
        numbers = ("--seed", str(seed), "--first", str(first), "--count", str(count))
        command = [sys.executable, str(COMMAND), name, *numbers, "--mark", mark.name, *(["--keep"] if keep else [])]
        ended = subprocess.run(command, stdout=subprocess.PIPE, check=False)
        at = mark.read().decode()
    try:
        told = json.loads(ended.stdout)
    except ValueError:
        code = ended.returncode
        died = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        told = {"seen": {}, "fault": f"the process that met it died of {died}"}
    fault = told["fault"] and f"{name}, number {at} of seed {seed}: {told['fault']}\n{_again(name, seed, at)}"
    return Met(name=name, seen=Counter(told["seen"]), fault=fault)


def _again(name: str, seed: int, at: str) -> str:
    if not at.isdecimal():
        return f"again: python tests/fuzz {name} --count 0   (it is kept: {at})"
    return f"again: python tests/fuzz {name} --seed {seed} --first {at} --count 1 (--keep keeps it)"


# ---- in the child ----------------------------------------------------------------------------------------------------
def meet_here(name: str, *, seed: int, first: int, count: int, mark: Path, keep: bool) -> int:
    """Tells how it went on standard output, as one JSON object; the mark says which one is being met."""
    executable, fault, seen = random_modules.tool(), "", Counter[str]()
    if executable is None:
        raise SystemExit(CURE)
    crowd = CROWDS[name]

    def note(which: str) -> None:
        mark.write_text(which)

    async def meet_all(make: Callable[[random.Random], Made], cache: Path) -> None:
        async with judging(cache, crowd.keyring, seen) as judge:
            for path, data in kept(name):
                note(path)
                await _one(judge, crowd.again("kept", data))
            for number in range(first, first + count):
                made = make(random.Random(f"{name}:{seed}:{number}"))
                note(str(number))
                if keep:  # before it is met: it may be the end of this process
                    kept_at = keep_finding(name, made[1])
                await _one(judge, made)
                if keep:
                    kept_at.unlink()

    with tempfile.TemporaryDirectory() as folder, crowd.making(executable) as make:
        cache = Path(folder, "artifacts")
        cache.mkdir(mode=0o700)
        try:
            trio.run(meet_all, make, cache)
        except Exception:
            fault = traceback.format_exc()
    print(json.dumps({"seen": seen, "fault": fault}))
    return 1 if fault else 0


async def _one(judge: Judge, made: Made) -> None:
    kind, _, read, calls = made
    await judge.meet(kind, read, calls)
