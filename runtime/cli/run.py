"""`hostel run`: one message to a program, in a host of its own.

The order is the promise: read, judge the signature, check the module, and only then open a host; with a state directory
a first host in memory installs the program before the directory is touched. So a bundle that is refused, even by
the compiler, leaves nothing on the disk.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from host_api.money import Money
from runtime.bundle import Bundle, Keyring, check_policy
from runtime.bundle.refusal import shown
from runtime.cli import report
from runtime.cli.receipt import show_receipt
from runtime.cli.recording import recorded, recorder_for
from runtime.cli.words import read_grants, read_limits, read_money, read_object
from runtime.cli.world import carried, movable_clock
from runtime.errors import CallEnded, StartupError, UsageError
from runtime.limits import FUEL_MOST, CompileLimits, Limits, ModuleCaps

SLOTS = 8
"""The program's own, and those of programs that it calls."""

if TYPE_CHECKING:
    from host_api.prompts.cashier import Cashier
    from runtime.host import Host
    from runtime.receipt import Receipt
    from runtime.recording.tape import Recorder
    from runtime.registry import App
    from runtime.session import CallSession
    from runtime.settings import HostSettings


def _option(text: str, name: str | None = None) -> Parameter:
    return Parameter(name=name, help=text)


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of `hostel run`, as they were written."""

    user: Annotated[str, _option("Whom the call acts for: any id of yours; without it, nobody.")] = ""
    grant: Annotated[
        tuple[str, ...],
        _option("A capability the program gets: payment, payment:amount_max=5000, or JSON. Again for more."),
    ] = ()
    approve: Annotated[bool, _option("Payments and consent: say yes for the user.")] = False
    decline: Annotated[bool, _option("Payments and consent: say no for the user.")] = False
    ask: Annotated[
        bool, _option("Payments and consent: ask on the terminal (the default; where there is none it is a no).")
    ] = False
    later: Annotated[
        bool, _option("Payments and consent: leave them open in --state, for hostel payments and hostel consent.")
    ] = False
    fund: Annotated[str | None, _option("Put money into the user's wallet first: 100.00CNY.")] = None
    state: Annotated[Path | None, _option("Keep storage, orders and ledger in this folder; without it, in memory.")] = (
        None
    )
    limit: Annotated[
        tuple[str, ...], _option("NAME=VALUE: a limit of the program; see hostel limits. Again for more.")
    ] = ()
    compile_limit: Annotated[tuple[str, ...], _option("NAME=VALUE: a limit of compiling. Again for more.")] = ()
    config: Annotated[str | None, _option("What session.info gives the program: a JSON object, @FILE, or -.")] = None
    notify: Annotated[bool, _option("Send a notification: the program answers nothing.")] = False
    receipt: Annotated[bool, _option("Show what the call cost, on standard error.")] = False
    keyring: Annotated[Path | None, _option("The keys you trust: a file, or a folder of them.")] = None
    require_signed: Annotated[bool, _option("Refuse a bundle that no key of the keyring vouches for.")] = False
    new_owner: Annotated[
        bool, _option("The program has changed hands: take a release of another developer than --state knows.")
    ] = False
    record: Annotated[
        Path | None,
        _option("Record the call in this file, for hostel replay; its fuel is counted."),
    ] = None
    payee: Annotated[str | None, _option("Who receives its payments, as users read it.")] = None
    world: Annotated[
        Path | None,
        _option("Play the call in the world of a scenario: clock, seed, network, answers, faults; written back."),
    ] = None
    no_cache: Annotated[bool, _option("Keep no compiled module in the user's cache folder.")] = False


@dataclass(frozen=True, kw_only=True)
class _Order:
    """The options, read: everything that can be refused without a host has been."""

    bundle: Bundle
    keyring: Keyring
    method: str
    params: dict[str, Any]
    grants: dict[str, dict[str, Any]]
    limits: dict[str, int]
    config: dict[str, Any]
    money: Money | None
    cashier: Cashier | None
    settings: HostSettings
    recorder: Recorder | None
    options: Options


def run(
    file: Path,
    method: str,
    params: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None,
    /,
    *,
    options: Annotated[Options, Parameter(name="*")] = Options(),
    as_json: report.AsJson = False,
) -> None:
    """Send one message to a bundle's program and print its answer as JSON; its log lines go to standard error.

    Unsigned bundles run, with a warning. Compiled modules are kept in $XDG_CACHE_HOME/hostel.

    Parameters
    ----------
    file
        The bundle.
    method
        What to call.
    params
        A JSON object, @FILE, or - for standard input; {} where it is left out.
    """
    if params is not None and params.startswith("--"):
        raise UsageError(f"unknown option {shown(params)}; see hostel run --help")
    bundle = Bundle.read(file)
    keyring = Keyring.load(options.keyring) if options.keyring else Keyring()
    trusted = check_policy(bundle, keyring, allow_unsigned=not options.require_signed, now_us=time.time_ns() // 1_000)
    order = _read(bundle, keyring, method, params, options)
    if trusted is None:
        report.say("warning: no key that --keyring names vouches for this bundle; --require-signed would refuse it")
    import trio

    try:
        with recorded(order.recorder, bundle, options.record):
            value, receipt = trio.run(_carry_out, order, clock=None if options.world is None else movable_clock())
    except StartupError as error:
        if error.code != "state_in_use":
            raise
        instead = f"hostel call {bundle.manifest.app_id} {method} --state {options.state}"
        raise StartupError(f"{error}; the host that runs there is asked by {instead}", code=error.code) from error
    except CallEnded as ended:
        if ended.receipt and options.receipt and not as_json:
            show_receipt(ended.receipt)
        raise
    if as_json:
        report.show_json({"result": value, "receipt": receipt.as_dict()})
        return
    if not options.notify:
        report.show_json(value)
    if options.receipt:
        sys.stdout.flush()
        show_receipt(receipt)


def _read(bundle: Bundle, keyring: Keyring, method: str, params: str | None, options: Options) -> _Order:
    """Every option, read, and the module, checked. Raises UsageError and ModuleError."""
    from runtime.cli.cashier import cashier_of
    from runtime.offers import effective_limits, granted
    from runtime.sandbox.checks import check_module

    if "-" == params == options.config:
        raise UsageError("standard input can be read once: params and --config cannot both be -")
    limits = read_limits(options.limit)
    if options.record is not None:
        limits["fuel"] = limits.get("fuel") or FUEL_MOST
    if options.later:
        if options.state is None:
            raise UsageError("--later needs --state: what is left open is kept there")
        limits.setdefault("prompt_wait_ms", 0)  # nobody answers while this command runs
    order = _Order(
        bundle=bundle, keyring=keyring, method=method, params=read_object(params, "params"),
        grants=read_grants(options.grant), limits=limits, config=read_object(options.config, "--config"),
        money=_money(options), settings=_settings(options), options=options, recorder=recorder_for(options.record),
        cashier=cashier_of(
            approve=options.approve, decline=options.decline, ask=options.ask, later=options.later
        ),
    )  # fmt: skip
    granted(order.grants)
    if bundle.script_image is not None:
        return order
    check_module(
        bundle.module,
        order.settings.caps,
        effective_limits(bundle.manifest.program.limits, Limits(), limits).memory_bytes,
    )
    return order


def _money(options: Options) -> Money | None:
    if options.fund is None:
        return None
    if not options.user:
        raise UsageError("--fund needs --user: whose wallet is it?")
    return read_money(options.fund)


def _settings(options: Options) -> HostSettings:
    from runtime.settings import HostSettings

    return HostSettings(
        slots=SLOTS,
        caps=ModuleCaps(),
        compile_limits=CompileLimits().changed(read_limits(options.compile_limit)),
        allow_unsigned=not options.require_signed,
        cache_dir=None if options.no_cache else cache_dir(),
    )


def cache_dir() -> Path | None:
    """Where a user's caches lie by the XDG base directory specification; None where there is no home."""
    named = os.environ.get("XDG_CACHE_HOME", "")
    if Path(named).is_absolute():
        return Path(named) / "hostel"
    try:
        return Path.home() / ".cache" / "hostel"
    except RuntimeError:
        return None


async def _carry_out(order: _Order) -> tuple[Any, Receipt]:
    """Result and receipt of the call."""
    from runtime.host import Host

    options = order.options
    own: dict[str, Any] = {
        "keyring": order.keyring, "settings": order.settings, "cashier": order.cashier, "log_sink": _log,
        "recorder": order.recorder,
    }  # fmt: skip
    is_kept = options.state is not None or options.world is not None
    async with Host.open(**{**own, "recorder": None if is_kept else order.recorder}) as host:
        app = await _install(host, order)
        if not is_kept:
            return await _call(host, app, order)
    if options.world is None:
        async with Host.open(options.state, **own) as host:
            return await _call(host, await _install(host, order), order)
    async with carried(options.world) as (world, session), Host.open(
        options.state, **{**own, **world.host_arguments()}
    ) as host:  # fmt: skip
        world.users.desk = host.prompts
        try:
            return await _call(host, await _install(host, order), order, **session)
        finally:
            await world.users.call_ends()
            await host.settle()


async def _install(host: Host, order: _Order) -> App:
    return await host.install(
        order.bundle, grant=order.grants, limits=order.limits, config=order.config, new_owner=order.options.new_owner,
        payee=order.options.payee,
    )  # fmt: skip


async def _call(host: Host, app: App, order: _Order, **session: Any) -> tuple[Any, Receipt]:
    user = order.options.user
    if order.recorder is not None:
        order.recorder.arm(app.app_id)
    if order.money is not None:
        await host.deposit(user, order.money)
    if order.options.notify:
        return None, await host.notify(app, order.method, order.params, user=user)
    try:
        reply = await host.call(app, order.method, order.params, user=user, **session)
    finally:
        if order.options.later:
            _tell_open(host, order.options)
    return reply.value, reply.receipt


def _tell_open(host: Host, options: Options) -> None:
    """What waits for the user now, and how it is answered."""
    commands = {"payment": "payments confirm", "consent": "consent allow"}
    for prompt in host.prompts.pending(options.user):
        report.say(f"{prompt.kind} waits: hostel {commands[prompt.kind]} {prompt.id} --state {options.state}")


def _log(session: CallSession, level: str, line: str) -> None:
    sys.stderr.write(f"{session.app_id} {level}: {line}\n")
