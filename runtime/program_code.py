"""What programs run: a module of their own, or a script on the host's JavaScript engine (docs/decisions/0026).

What lives here: which of the two a bundle or a release is, which engine a script runs on (always this host's own, with
which the script may never have been tried), and the verdicts on scripts. Modules are modules.py's, trying a script
executor/trial.py's.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any, Final, Protocol, TypeAlias

from host_api.releases import contents
from host_api.releases.transitions import RegistryRefused
from host_api.store.protocol import Store, Transaction
from runtime.bundle import Bundle
from runtime.errors import HostelError, NotInstalled, ScriptError
from runtime.javascript import Interpreter, shipped_engine
from runtime.limits import Limits
from runtime.modules import Modules
from runtime.offers import CheckedCode

_VERDICTS_MOST: Final = 4_096
TryScript: TypeAlias = Callable[[Any, Limits], Awaitable[None]]
"""Given what `Modules.script` gave; raises ScriptError for a script that does not load."""


class Code(Protocol):
    """What a release says of its code."""

    @property
    def module_sha256(self) -> str: ...
    @property
    def script_sha256(self) -> str: ...


class ProgramCode:
    """The code of one host's programs. Used from the trio thread."""

    def __init__(
        self, modules: Modules, try_script: TryScript, store: Store, engine: Interpreter | None = None
    ) -> None:
        """`engine`: in the place of the one that is shipped."""
        self.loaded: Final = modules.loaded
        """The code of that hash (a script's, else a module's) if it is in memory: a look-up, for every call."""
        self._modules, self._try_script, self._store, self._engine = modules, try_script, store, engine
        self._verdicts: OrderedDict[tuple[str, Limits], ScriptError | None] = OrderedDict()

    @property
    def engine(self) -> Interpreter:
        """What scripts run on."""
        return self._engine or shipped_engine()

    async def take(self, bundle: Bundle, limits: Limits) -> CheckedCode:
        """Code that comes from outside: checked, compiled, and a script tried. Raises ModuleError, HostBusy."""
        image = bundle.script_image
        if image is None:
            _, facts = await self._modules.take(bundle.module, limits)
            return CheckedCode(facts, bundle.module)
        sha256, plain = hashlib.sha256(image).hexdigest(), limits.changed({"fuel": 0})
        module, facts = await self._modules.script(sha256, plain, self.engine, lambda: image)
        await self._check_loads(sha256, module, plain)
        if limits.fuel:  # compiled now, and not on the first call's time
            await self._modules.script(sha256, limits, self.engine, lambda: image)
        return CheckedCode(facts, self.engine.wasm, sha256)

    async def get(self, code: Code, limits: Limits) -> Any:
        """The code of a release: loaded, compiled anew where its artifact is gone. Raises ModuleError, NotInstalled."""
        if sha256 := code.script_sha256:
            image = partial(self._stored, contents.script, sha256)
            return (await self._modules.script(sha256, limits, self.engine, image))[0]
        wasm = partial(self._stored, contents.module, code.module_sha256)
        return (await self._modules.get(code.module_sha256, limits, wasm))[0]

    def kept(self, code: Code, limits: Limits) -> Any:
        """As `get`, where nothing is to be waited for: the code is in memory, or its artifact on the disk. Else None.
        Raises ModuleError, NotInstalled."""
        if sha256 := code.script_sha256:
            image = partial(self._stored, contents.script, sha256)
            found = self._modules.kept_script(sha256, limits, self.engine, image)
        else:
            found = self._modules.kept(code.module_sha256, limits)
        return None if found is None else found[0]

    def _stored(self, read: Callable[[Transaction, str], bytes], sha256: str) -> bytes:
        """Raises NotInstalled: no release has it any more."""
        try:
            return self._store.read(lambda tx: read(tx, sha256))
        except RegistryRefused as error:
            raise NotInstalled(error.message) from None

    async def warm_up(self) -> None:
        """Compiles the engine ahead of the first script, in some seconds of another process, unless its artifact is
        kept. Where that fails, whoever needs it is told."""
        engine = self.engine
        with suppress(HostelError):
            await self._modules.get(engine.sha256, Limits(), lambda: engine.wasm)

    async def _check_loads(self, sha256: str, module: Any, limits: Limits) -> None:
        """Raises ScriptError, for the same script under the same limits always the same."""
        key = sha256, limits
        if key not in self._verdicts:
            try:
                await self._try_script(module, limits)
            except ScriptError as error:
                if "ending" in error.details:  # how much time it takes is not the script's alone
                    raise
                self._verdicts[key] = error.with_traceback(None)
            else:
                self._verdicts[key] = None
            if len(self._verdicts) > _VERDICTS_MOST:
                self._verdicts.popitem(last=False)
        if (verdict := self._verdicts[key]) is not None:
            raise ScriptError(verdict.message, details=verdict.details)
