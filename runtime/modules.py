"""From a module's bytes to a loaded module: known already, else its artifact from the cache, else compiled in a child.

Loaded modules are kept by use, up to a sum of artifact bytes; those in use by a call live until it ends. What a module
was checked under may differ from what holds now, so its facts are looked at again each time.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import Counter, OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import trio

from runtime.errors import ModuleError
from runtime.javascript import Interpreter
from runtime.limits import CompileLimits, Limits, ModuleCaps, specs
from runtime.offers import growth_bytes
from runtime.sandbox.artifacts import ArtifactCache, Compiled
from runtime.sandbox.checks import ModuleFacts, check_facts, check_size
from runtime.sandbox.compiler import Compiler
from runtime.sandbox.engine import fingerprint
from runtime.sandbox.pool import ArtifactRefused
from runtime.settings import HostSettings
from runtime.worker_settings import METERED


class _Loaded(NamedTuple):
    module: Any
    artifact_bytes: int
    """Of a script, those of its image."""
    facts: ModuleFacts


class Modules:
    """The modules of one host. Used from the trio thread; one compile at a time. Closed by its owner."""

    def __init__(
        self,
        load: Callable[[bytes, ModuleFacts], Any],
        cache: ArtifactCache,
        *,
        scripted: Callable[[Any, bytes], Any],
        caps: ModuleCaps,
        compile_limits: CompileLimits,
        loaded_bytes_max: int,
    ) -> None:
        """`load` and `scripted`: the executor's."""
        self._load, self._scripted, self._cache = load, scripted, cache
        self._caps, self._limits = caps, compile_limits
        self._loaded: OrderedDict[str, _Loaded] = OrderedDict()
        """By SHA-256, and with METERED behind it for the engine that counts fuel."""
        self._under_way: dict[str, trio.Event] = {}
        """Set when that module's compilation is over."""
        self._loaded_bytes, self._loaded_bytes_max = 0, loaded_bytes_max
        self._compiler = Compiler(compile_limits)
        self.compiled: Counter[str] = Counter()
        """`ok`, or the code of the refusal → how often, since the host was opened."""

    def loaded(self, sha256: str, limits: Limits) -> Any:
        """The module if it is in memory: a look-up, on the path of every call. Under a limit of fuel, the one that
        counts it."""
        key = sha256 + METERED if limits.fuel else sha256
        if (found := self._loaded.get(key)) is None:
            return None
        self._loaded.move_to_end(key)
        return found.module

    async def take(self, wasm: bytes, limits: Limits) -> tuple[Any, ModuleFacts]:
        """A module that comes from outside: as `get`, of its bytes."""
        check_size(wasm, self._caps)
        return await self.get(hashlib.sha256(wasm).hexdigest(), limits, lambda: wasm)

    def kept(self, sha256: str, limits: Limits) -> tuple[Any, ModuleFacts] | None:
        """As `get`, from memory or from its artifact; None where it is to be compiled, or just is. Raises
        ModuleError."""
        metered = limits.fuel > 0
        key = sha256 + METERED if metered else sha256
        if (found := self._loaded.get(key)) and found.facts.sha256 == sha256:  # not the script of that hash
            self._check(found.facts, limits)
            return found.module, found.facts
        if key in self._under_way or not (compiled := self._cache.get(sha256, metered=metered)):
            return None
        self._check(compiled.facts, limits)
        try:
            return self._keep(key, compiled), compiled.facts
        except ArtifactRefused:  # of a processor with other features: it is compiled for this one
            return None

    async def get(self, sha256: str, limits: Limits, wasm: Callable[[], bytes]) -> tuple[Any, ModuleFacts]:
        """Checks, compiles if need be, and loads the module of that hash; `wasm` gives its bytes, and is asked only
        where it is to be compiled. Raises ModuleError (a verdict, which is kept)."""
        key = sha256 + METERED if limits.fuel else sha256
        while (under_way := self._under_way.get(key)) is not None:  # one compilation for all who want it
            await under_way.wait()
        if (kept := self.kept(sha256, limits)) is not None:
            return kept
        self._under_way[key] = over = trio.Event()
        try:
            compiled = await self._compile(wasm(), sha256, limits)
            self._check(compiled.facts, limits)
            return self._keep(key, compiled), compiled.facts
        finally:
            del self._under_way[key]
            over.set()

    async def script(
        self, sha256: str, limits: Limits, engine: Interpreter, image: Callable[[], bytes]
    ) -> tuple[Any, ModuleFacts]:
        """The script image of that hash on an engine that is loaded once for all scripts: as `get`, with the engine's
        facts. `image` is asked where the script is not in memory."""
        await self.get(engine.sha256, limits, lambda: engine.wasm)
        if (kept := self.kept_script(sha256, limits, engine, image)) is None:
            raise RuntimeError("the engine was loaded, and is not")
        return kept

    def kept_script(
        self, sha256: str, limits: Limits, engine: Interpreter, image: Callable[[], bytes]
    ) -> tuple[Any, ModuleFacts] | None:
        """As `script`; None where the engine is to be compiled."""
        if (kept := self.kept(engine.sha256, limits)) is None:
            return None
        module, facts = kept
        metered = METERED if limits.fuel else ""
        if (found := self._loaded.get(sha256 + metered)) is not None:
            return found.module, facts
        source = image()
        self._loaded.move_to_end(facts.sha256 + metered)
        scripted = self._scripted(module, source)
        self._put(sha256 + metered, _Loaded(scripted, len(source), facts))
        return scripted, facts

    def _check(self, facts: ModuleFacts, limits: Limits) -> None:
        check_facts(facts, self._caps, limits.memory_bytes)
        _check_fits(facts, limits)

    async def _compile(self, wasm: bytes, sha256: str, limits: Limits) -> Compiled:
        under = self._caps, limits.memory_bytes, self._limits
        if verdict := self._cache.verdict(sha256, under):
            raise verdict
        try:
            compiled = await self._compiler.compile(
                wasm, caps=self._caps, memory_bytes=limits.memory_bytes, metered=limits.fuel > 0
            )
        except ModuleError as error:
            self.compiled[error.code] += 1
            self._cache.put_verdict(sha256, error, under)
            raise
        self.compiled["ok"] += 1
        self._cache.put(sha256, compiled)
        return compiled

    def warm_up(self) -> None:
        """Starts the compiler ahead of the first module: it takes 0.15 s, beside whatever else runs."""
        self._compiler.start()

    def close(self) -> None:
        """Ends the compiler's process; a `get` that needs it raises `HostClosed`."""
        self._compiler.close()

    def _keep(self, key: str, compiled: Compiled) -> Any:
        if found := self._loaded.get(key):
            return found.module
        module = self._load(compiled.artifact, compiled.facts)
        self._put(key, _Loaded(module, len(compiled.artifact), compiled.facts))
        return module

    def _put(self, key: str, loaded: _Loaded) -> None:
        self._loaded[key] = loaded
        self._loaded_bytes += loaded.artifact_bytes
        while self._loaded_bytes > self._loaded_bytes_max and len(self._loaded) > 1:
            self._loaded_bytes -= self._loaded.popitem(last=False)[1].artifact_bytes


def _check_fits(facts: ModuleFacts, limits: Limits) -> None:
    """One sandbox of it can be made and begin at all. Raises ModuleError."""
    for name, found in (("table_elements", facts.table_elements), ("live_memory_bytes", memory_bytes(facts, limits))):
        if found > (value := getattr(limits, name)):
            unit = specs(Limits)[name].unit
            raise ModuleError(
                f"one sandbox of the module takes {found} {unit}; the limit {name} is {value}: raise it, or build the"
                " module with less",
                details={"limit": name, "value": value, "found": found, "unit": unit},
            )


def memory_bytes(facts: ModuleFacts, limits: Limits) -> int:
    """What a sandbox of this module may grow to: the lesser of its limit and its declared maximum."""
    return growth_bytes(facts.memory_max_pages, limits)


def artifact_cache(state: Path | None, settings: HostSettings) -> ArtifactCache:
    """Nothing is written before the first module has passed and is compiled."""
    root = settings.cache_dir or state
    return ArtifactCache(
        root / "artifacts" if root else None, root / "keys" / "artifacts" if root else secrets.token_bytes(32),
        fingerprint=fingerprint(), bytes_max=settings.cache_bytes_max,
        artifact_bytes_max=settings.compile_limits.artifact_bytes,
    )  # fmt: skip
