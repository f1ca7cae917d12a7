"""`hostel payments`: payments that wait for their users' yes, listed, shown, confirmed and declined."""

from __future__ import annotations

from typing import Any

from host_api.payment.orders import Status
from host_api.payment.standing import KIND
from host_api.prompts.cashier import described
from host_api.prompts.prompt import Prompt
from runtime.cli import front_end, report
from runtime.cli.cashier import sentence
from runtime.cli.door import UNNAMED, Door, Yes
from runtime.cli.front_end import FrontEnd, Whose
from runtime.control.money import OrderTold
from runtime.errors import AnswerRefused


def list_(*, door: Door = UNNAMED, user: Whose = None, as_json: report.AsJson = False) -> None:
    """List the payments that wait for an answer, the oldest first.

    Of a host that runs, or of a state directory as hostel run --later leaves it. Each waits two minutes for its user.
    """

    async def look(desk: FrontEnd) -> list[dict[str, Any]]:
        return [front_end.told(prompt, desk.now_us) for prompt in await desk.waiting(KIND, user)]

    rows = front_end.at_desk(door, look)
    if as_json:
        report.show_json(rows)
        return
    report.show_table(
        ("prompt", "user", "program", "payee", ">amount", "for", ">expires in"),
        [
            (row["prompt"], row["user"], row["program"], row["shown"]["payee"], row["shown"]["amount_text"],
             row["shown"]["subject"], f"{row['expires_in_s']} s") for row in rows
        ],
    )  # fmt: skip


def show(prompt: str, /, *, door: Door = UNNAMED, as_json: report.AsJson = False) -> None:
    """Show one payment that waits, with all that its user is to see.

    Parameters
    ----------
    prompt
        The prompt's id, or its order's.
    """

    async def look(desk: FrontEnd) -> tuple[Prompt, dict[str, Any]]:
        found = await desk.find(KIND, prompt)
        return found, front_end.told(found, desk.now_us)

    found, row = front_end.at_desk(door, look)
    if as_json:
        report.show_json(row)
        return
    rows = [*described(found), ("user", found.user), ("program", found.app_id), ("order", found.about),
            ("prompt", found.id), ("expires in", f"{row['expires_in_s']} s")]  # fmt: skip
    report.show_table(("payment", ""), rows)


def confirm(prompt: str, /, *, door: Door = UNNAMED, yes: Yes = False, as_json: report.AsJson = False) -> None:
    """Say yes for the user: shows payee, amount and subject, asks, and has the payment made.

    Limits and grant are looked at once more: as they were when the program asked. A yes that cannot be carried out (too
    little money, a limit) closes the order; then the exit code is 19.

    Parameters
    ----------
    prompt
        The prompt's id, or its order's.
    """
    found, order = _answered(door, prompt, approved=True, yes=yes)
    told = _outcome(found, order)
    if order.status not in (Status.SUCCEEDED, Status.AUTHORIZED):
        raise AnswerRefused(
            f"the yes came, but the payment was not made: the order is {_state(order)}", code="not_paid", details=told
        )
    _tell(found, told, order.status, as_json)


def decline(prompt: str, /, *, door: Door = UNNAMED, as_json: report.AsJson = False) -> None:
    """Say no for the user. The program may ask again after a pause, half a minute at first; the third no closes the
    order.

    Parameters
    ----------
    prompt
        The prompt's id, or its order's.
    """
    found, order = _answered(door, prompt, approved=False)
    _tell(found, _outcome(found, order), f"declined, the order is {_state(order)}", as_json)


def _answered(door: Door, prompt: str, *, approved: bool, yes: bool = True) -> tuple[Prompt, OrderTold]:
    """The prompt, and what became of its order. `yes`: it is not asked for on the terminal."""

    async def answer(desk: FrontEnd) -> tuple[Prompt, OrderTold]:
        found = await desk.find(KIND, prompt)
        await front_end.ask(found, yes=yes)
        await desk.answer(found, approved=approved)
        return found, await desk.client.order(found.app_id, found.about)

    return front_end.at_desk(door, answer)


def _state(order: OrderTold) -> str:
    return order.status + (f" ({order.close_reason})" if order.close_reason else "")


def _outcome(prompt: Prompt, order: OrderTold) -> dict[str, Any]:
    return {
        "prompt": prompt.id,
        "order": prompt.about,
        "program": prompt.app_id,
        "user": prompt.user,
        "status": order.status,
        "close_reason": order.close_reason,
    }


def _tell(prompt: Prompt, told: dict[str, Any], what: str, as_json: bool) -> None:
    if as_json:
        report.show_json(told)
    else:
        report.show_line(f"{sentence(prompt)}: {what}")
