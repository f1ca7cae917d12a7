"""Where the time of one `Host.call` goes: `python -m benchmarks.steps`. For whoever makes it faster; no promise.

The steps of a call, done by hand in the call's own order on a real host's parts, and each timed: medians over many
calls, the clock's own cost taken off. It knows the insides of runtime/ and changes with them. What the whole call takes
beyond the sum is what stands between the steps: coroutines, `try`, calls of functions.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any

import trio
from rich.console import Console
from rich.table import Table

from benchmarks import guests
from benchmarks.in_process import get
from benchmarks.measure import quantile, timed
from runtime import App, Ending, Host, Receipt, Usage, wire
from runtime.calls import Words
from runtime.executor.job import Outcome
from runtime.sandbox.sandbox import Sandbox

WORDS = Words(guests.USER)
MESSAGE = wire.request(1, "storage.get", {"key": "k"})
_NOTHING = "nothing: the clock alone"


class Steps:
    """Times what it is given to do, by name."""

    def __init__(self) -> None:
        self.took: dict[str, list[int]] = defaultdict(list)

    def __call__(self, name: str, step: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        began = time.perf_counter_ns()
        done = step(*arguments, **named)
        self.took[name].append(time.perf_counter_ns() - began)
        return done

    async def awaited(self, name: str, step: Callable[[], Awaitable[Any]]) -> None:
        began = time.perf_counter_ns()
        await step()
        self.took[name].append(time.perf_counter_ns() - began)

    def medians_us(self) -> dict[str, float]:
        """Less what an empty step takes. Steps done twice in a call count twice."""
        clock = quantile(self.took[_NOTHING], 0.5)
        calls = len(self.took[_NOTHING])
        return {
            name: (quantile(values, 0.5) - clock) * round(len(values) / calls) / 1e3
            for name, values in self.took.items()
            if name != _NOTHING
        }


async def one_call(step: Steps, host: Host, app: App) -> None:
    """Calls.run, with the clock between the steps."""
    step(_NOTHING, lambda: None)
    message = step("host: encode the message", wire.request, 1, "storage.get", {"key": "k"})
    program, release = step("host: find the program", host._registry.find, app)
    memory = release.memory_bytes
    now_us = step("host: the store's time", host._store.now_us)
    step("host: admission, enter", program.admission.enter_now, now_us, memory)
    call_id = step("host: call id", host._calls._ids)
    usage = step("host: Usage", Usage, message_in_bytes=len(message))
    session = step("host: session with deadline", host._calls._session, release, program, call_id, WORDS, usage, None)
    call = step("broker: open", host._calls.broker.open, session)
    module = step("host: look the module up", host._code.loaded, release.code_sha256, release.limits)
    executor = host._executor
    fiber = step("executor: take a place", executor.pool.take_place)
    share = step("turns: the program's share", executor._turns.of, app.app_id)
    sandbox = step(
        "sandbox: make it", Sandbox, fiber, module, release.limits, call, usage, executor.ticker, share,
        executor._threads, executor._now_us, executor._loop,
    )  # fmt: skip
    step("turns: may it go on", share.goes_on)
    await _in_sandbox(step, sandbox, message)
    response = step("sandbox: read the answer", sandbox._response, fiber.result, False)
    step("sandbox: ticker, leave", executor.ticker.leave)
    step("sandbox: CPU clock read and billed", sandbox.bill)
    step("sandbox: close (memory measured)", sandbox.close)
    step("fiber: close (store deleted)", fiber.close)
    step("executor: give the place back", executor.pool.give_place, fiber)
    outcome = step("executor: Outcome", Outcome, ending=Ending.COMPLETED, response=response)
    step("broker: close", call.close)
    step("host: admission, leave", program.admission.leave, memory, usage.cpu_us)
    step(
        "host: Receipt", Receipt, call_id=call_id, app_id=app.app_id, release=app.release_name, method="storage.get",
        ending=outcome.ending, usage=usage,
    )  # fmt: skip
    step("host: decode the answer", wire.parse_response, response, release.limits.message_out_bytes, 1)


async def _in_sandbox(step: Steps, sandbox: Sandbox, message: bytes) -> None:
    """Sandbox.handle with one host call."""
    fiber, module, limits = sandbox.fiber, sandbox.module, sandbox.limits
    step("sandbox: CPU clock read and billed", sandbox.bill)
    step("sandbox: ticker, enter", sandbox._ticker.enter)
    step(
        "fiber: open (store, limits, epoch, future)", fiber.open, module.engine_at, module.pre_at, limits.memory_bytes,
        limits.table_elements,
    )  # fmt: skip
    _poll(step, "wasmtime: instantiate", sandbox)
    step("fiber: finish a future", fiber.finish)
    step("fiber: find memory", fiber.find_memory, module.memory_bytes_min)
    step("fiber: message in", fiber.write, module.inbox_at, message)
    sandbox.handling = True
    step("fiber: begin hostel_handle", fiber.begin, b"hostel_handle", module.inbox_at, len(message))
    _poll(step, "wasmtime: poll to the host call (one callback)", sandbox)
    step("sandbox: CPU clock read and billed", sandbox.bill)
    await step.awaited("hostcalls: call, with the broker's answer in it", sandbox._calls.call)
    _poll(step, "wasmtime: poll to the end", sandbox)
    step("fiber: finish a future", fiber.finish)


def _poll(step: Steps, name: str, sandbox: Sandbox) -> None:
    """To the end of the future, or to an import; a tick makes it two polls."""
    while not step(name, sandbox._slice) and not sandbox.fiber.asked:
        sandbox.bill()


def broker_steps(step: Steps, host: Host, app: App) -> None:
    """What is inside `hostcalls: call`: the broker's answer, whole and by its parts."""
    step(_NOTHING, lambda: None)
    program, release = host._registry.find(app)
    session = host._calls._session(release, program, "0" * 32, WORDS, Usage(), None)
    call = host._calls.broker.open(session)
    response = step("broker: answer, whole", call.answer, MESSAGE)
    _, method, params = step("  decode the request", wire.parse_request, MESSAGE, release.limits.request_bytes)
    route = step("  look the method up", host._calls.broker.routes.get, method)
    now_us = step("  the store's time", host._calls.broker.now_us)
    step("  capability", session.authority.require, "storage", now_us)
    values = step("  params, by their schema", route.convert, params)
    result = step("  service: storage.get", route.run, session, values)
    step("  encode the response", wire.response, 1, result)
    if response != wire.response(1, result):
        raise RuntimeError("the parts do not make up the whole")


async def profile(calls: int) -> tuple[dict[str, float], dict[str, float], float]:
    """Steps of a call, parts of the broker's answer, and a whole `Host.call`; µs, medians."""
    whole, inside = Steps(), Steps()
    async with guests.open_host() as host:
        app = await guests.install(host, "forward", guests.forward())
        await guests.stored(host, app)
        timings = [await timed(get(host, app), calls)]
        for _ in range(calls):
            await one_call(whole, host, app)
            broker_steps(inside, host, app)
        timings.append(await timed(get(host, app), calls))
    return whole.medians_us(), inside.medians_us(), min(timing.p50_us for timing in timings)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.steps", description=__doc__)
    parser.add_argument("--calls", type=int, default=3_000)
    steps, inside, call_us = trio.run(profile, parser.parse_args().calls)
    table = Table(title="one Host.call, storage.get of a cached key; p50 of each step")
    table.add_column("step")
    table.add_column("µs", justify="right")
    for name, took in steps.items():
        table.add_row(name, f"{took:.2f}")
    table.add_section()
    table.add_row("sum of the steps", f"{sum(steps.values()):.2f}")
    table.add_row("a whole Host.call", f"{call_us:.2f}")
    table.add_section()
    for name, took in inside.items():
        table.add_row(name, f"{took:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
