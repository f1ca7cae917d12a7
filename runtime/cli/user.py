"""`hostel user …`: what the host keeps of a user, for the operator who has to answer for it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Final

from cyclopts import Parameter

from host_api.front_end.token import LIFE_S
from runtime.bundle.refusal import shown
from runtime.cli import report
from runtime.cli.arguments import UserId
from runtime.cli.door import UNNAMED, Door, Yes, be_sure
from runtime.cli.ledger import decimal
from runtime.cli.words import read_money
from runtime.errors import UsageError

if TYPE_CHECKING:
    from runtime.client import Client

_AMOUNTS: Final = ("posted", "held")
_NOT_ROWS: Final = ("user", "exported_us", "fields", "balances")


def put(user: UserId, /, *fields: str, door: Door = UNNAMED, as_json: report.AsJson = False) -> None:
    """Set what is known of a user: nickname=Lin phone=+8613800000123. NAME= forgets a field; others stay.

    Parameters
    ----------
    fields
        NAME=VALUE: nickname, avatar, locale, age_band, phone, or address (a JSON object).
    """
    given = dict(_field(word) for word in fields)
    if not given:
        raise UsageError("no field given; write NAME=VALUE, such as nickname=Lin")

    async def work(client: Client) -> None:
        try:
            await client.users.put(user, given)
        except ValueError as error:
            raise UsageError(str(error), code="field_invalid") from None

    door.ask(work)
    if as_json:
        report.show_json({"user": user, "fields": sorted(given)})
    else:
        report.say(f"set {', '.join(sorted(given))}")


def deposit(
    user: UserId,
    amount: str,
    /,
    *,
    door: Door = UNNAMED,
    reference: Annotated[
        str | None, Parameter(help="What the platform knows it by: money with the same one is put there once.")
    ] = None,
    as_json: report.AsJson = False,
) -> None:
    """Put money from outside into a user's wallet. Without --reference, each time anew.

    Parameters
    ----------
    amount
        With its currency: 50.00CNY.
    """
    money = read_money(amount)

    async def work(client: Client) -> bool:
        try:
            return await client.deposit(user, money, reference=reference)
        except ValueError as error:
            raise UsageError(str(error)) from None

    booked = door.ask(work)
    if as_json:
        report.show_json({"user": user, "amount": money.amount, "currency": money.currency, "booked": booked})
    elif booked:
        report.say(f"{amount} is in the wallet of {shown(user)}")
    else:
        report.say(f"nothing was booked: {shown(reference or '')} is there already")


def show(user: UserId, /, *, door: Door = UNNAMED, as_json: report.AsJson = False) -> None:
    """Show what is known of a user, what their wallet holds, and how much else is kept; it is audited, as an export is.

    With --json, amounts are in minor units.
    """
    found = door.ask(partial(_export, user=user))
    kept = {name: _count(name, rows) for name, rows in found.items() if name not in _NOT_ROWS}
    if as_json:
        report.show_json({"user": user, "fields": found["fields"], "balances": found["balances"], "kept": kept})
        return
    if not (found["fields"] or found["balances"] or any(kept.values())):
        report.say(f"nothing is kept of {shown(user)}")
        return
    report.show_table(("field", "value"), found["fields"].items(), title=user)
    rows = [(one["currency"], *(decimal(one[name], one["currency"]) for name in _AMOUNTS)) for one in found["balances"]]
    report.show_table(("currency", *(f">{name}" for name in _AMOUNTS)), rows)
    report.show_table(("kept", ">rows"), kept.items())


def export(user: UserId, /, *, door: Door = UNNAMED, as_json: report.AsJson = False) -> None:
    """Give out everything the host keeps of a user: one JSON document on standard output, with --json or without."""
    report.show_json(door.ask(partial(_export, user=user)))


def erase(
    user: UserId,
    /,
    *,
    door: Door = UNNAMED,
    forfeit_balance: Annotated[
        bool, Parameter(help="Move what the wallet still holds to the suspense account; else it is a refusal.")
    ] = False,
    yes: Yes = False,
    as_json: report.AsJson = False,
) -> None:
    """Forget a user, on the disk too. Open orders are closed; of payments only amounts stay, naming nobody.

    Upgrade backups in the state directory are removed: they hold what was there before.
    """
    from host_api.erasure.user import BalanceLeft
    from host_api.money import amount_text

    be_sure(f"erase all that is kept of {shown(user)}", yes)

    async def work(client: Client) -> Any:
        try:
            return await client.erase_user(user, forfeit_balance=forfeit_balance)
        except BalanceLeft as error:
            raise UsageError(f"{error} (--forfeit-balance)", code=error.code) from None
        except ValueError as error:
            raise UsageError(str(error)) from None

    erased = door.ask(work)
    forfeited = [amount_text(money) for money in erased.forfeited]
    if as_json:
        report.show_json({"rows": erased.rows, "orders_closed": erased.orders_closed, "forfeited": forfeited})
    elif not erased.rows:
        report.say(f"nothing was kept of {shown(user)}")
    else:
        to_suspense = f", {' and '.join(forfeited)} moved to the suspense account" if forfeited else ""
        report.say(f"erased: {erased.rows} rows, {erased.orders_closed} open orders closed{to_suspense}")


def token(
    user: UserId,
    /,
    *,
    door: Door = UNNAMED,
    life_s: Annotated[int, Parameter(name="--life-s", help="How long it counts, in seconds: 3,600 at most.")] = LIFE_S,
    programs: Annotated[
        tuple[str, ...], Parameter(name="--programs", help="A program that it may speak of; again for more. Else: all.")
    ] = (),
    not_interactive: Annotated[
        bool, Parameter(name="--not-interactive", help="The user is not looking: no prompt opens or is answered.")
    ] = False,
    locale: Annotated[str, Parameter(help="The user's language, BCP 47.")] = "en",
    time_zone: Annotated[str, Parameter(help="The user's time zone, IANA.")] = "UTC",
    currency: Annotated[str, Parameter(help="The user's currency, ISO 4217.")] = "CNY",
    as_json: report.AsJson = False,
) -> None:
    """Print a token with which a front end speaks for a user over HTTP, and nothing else. Whoever has it is that user
    to the host, until its time is over or their sessions are ended.
    """

    async def work(client: Client) -> str:
        try:
            return await client.front_end.issue_token(
                user, interactive=not not_interactive, locale=locale, time_zone=time_zone, currency=currency,
                programs=programs or None, life_s=life_s,
            )  # fmt: skip
        except ValueError as error:
            raise UsageError(str(error)) from None

    issued = door.ask_host(work)
    if as_json:
        report.show_json({"token": issued, "user": user, "life_s": life_s})
    else:
        report.show_line(issued)


def end_sessions(user: UserId, /, *, door: Door = UNNAMED, as_json: report.AsJson = False) -> None:
    """End what front ends may do for a user: tokens issued up to now count no more. What was begun with them goes
    on."""
    door.ask(lambda client: client.front_end.end_sessions(user))
    if as_json:
        report.show_json({"user": user, "ended": True})
    else:
        report.say(f"tokens of {shown(user)} issued up to now count no more")


async def _export(client: Client, *, user: str) -> dict[str, Any]:
    try:
        return await client.export_user(user)
    except ValueError as error:
        raise UsageError(str(error)) from None


def _field(word: str) -> tuple[str, str | None]:
    name, equals, value = word.partition("=")
    if not equals:
        raise UsageError(f"{shown(word)}: write NAME=VALUE, such as nickname=Lin; NAME= forgets it")
    return name, value or None


def _count(name: str, rows: list[Mapping[str, Any]]) -> int:
    return sum(len(one["values"]) for one in rows) if name == "storage" else len(rows)
