"""`hostel serve` whose workers try to get out: `python -m tests.chaos.drilled TARGET serve …`.

The daemon is the shipped one but for the words that start its workers, and a worker is the shipped one but for two
functions: before its jail it opens what the attempts of tests/hostile/escapes.py act on, and when the guest of a call
`attempt` is over, one of them is made in its place, as if it had taken its worker over. It answers what became of it.
"""

from __future__ import annotations

import json
import os
import sys
from ctypes import addressof, create_string_buffer
from dataclasses import asdict, replace
from typing import Any, Final

from tests.hostile.escapes import Held, Target

METHOD: Final = "attempt"
_SECRET: Final = create_string_buffer(b"a secret")


def serve() -> None:
    """The daemon. It is what its workers attack; where, they are told."""
    from runtime.cli import main
    from runtime.executor import worker_child

    target = replace(Target(**json.loads(sys.argv.pop(1))), parent=os.getpid(), at=addressof(_SECRET))
    start = worker_child._START.replace("runtime.executor.worker_process", "tests.chaos.drilled")
    worker_child._START = start.replace("main()", f"main({json.dumps(asdict(target))!r})")  # type: ignore[misc]
    main()


def main(told: str) -> None:
    """A worker."""
    from runtime import wire
    from runtime.executor import worker_process
    from runtime.sandbox.sandbox import Sandbox
    from tests.hostile.escape_child import outcome_of

    jailed, handle = worker_process._jailed, Sandbox.handle
    held: list[Held] = []

    def holding() -> Any:
        held.append(Held(target=Target(**json.loads(told))))
        return jailed()

    async def attempting(sandbox: Sandbox, message: bytes, **more: Any) -> bytes:
        answer = await handle(sandbox, message, **more)
        _, msgid, method, params = wire.decode(message, len(message))
        return wire.response(msgid, outcome_of(params["name"], held[0])) if method == METHOD else answer

    worker_process._jailed = holding
    Sandbox.handle = attempting  # type: ignore[method-assign,assignment]
    worker_process.main()


if __name__ == "__main__":
    serve()
