"""hostel in two minutes: a shop that is paid, a user who says no, and guests that mean harm while the shop goes on.

Run it with `make demo`. It uses the public library only (`from runtime import …`), so it is also an example of how to
put a host into a service: open, install, call, read the receipt.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import trio
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from runtime import (
    AccountKind,
    AccountName,
    App,
    Bundle,
    CallEnded,
    Host,
    ModuleError,
    Money,
    Prompt,
    Receipt,
    ScriptedCashier,
    pack,
)

SAMPLES = Path(__file__).resolve().parent
USER = "alice"
CURRENCY = "CNY"


class Demo:
    """One host, one shop, one user, and what is printed about them."""

    def __init__(self, host: Host, cashier: ScriptedCashier, console: Console) -> None:
        self.host, self.cashier, self.console = host, cashier, console
        self.receipts: list[Receipt] = []

    async def run(self) -> None:
        """All of it, in the order a reader would ask for."""
        shop = await self.install("grocery_delivery", grant=["payment", "storage"])
        await self.host.deposit(USER, Money(amount=20_000, currency=CURRENCY))
        self.say(f"The host runs [b]{shop.app_id}[/b]. {USER} has put 200.00 CNY into her wallet.")
        await self.buy(shop)
        await self.say_no(shop)
        self.heading("4. Guests that mean harm")
        await self.endless_loop(shop)
        await self.memory(shop)
        await self.forged_order(shop)
        self.heading("5. What every call cost")
        self.show_receipts()

    # ---- the shop ----------------------------------------------------------------------------------------------------
    async def buy(self, shop: App) -> None:
        self.heading("1. Two things into the cart, in one call")
        cart = await self.call(shop, "cart.add", {"items": {"apple": 3, "milk": 1}})
        self.show_cart(cart)

        self.heading("2. Checkout, in another call: a fresh sandbox, the cart comes from storage")
        before = self.balances(shop)
        slots = await self.call(shop, "slots.list", {})
        done = await self.call(shop, "checkout", {"slot": slots["slots"][0]["slot"]})
        self.show_prompt(self.cashier.shown[-1], "approved")
        order = done["order"]
        self.say(f"Order [b]{order['order_id']}[/b]: {order['status']}, {money(order['total'])}, slot {order['slot']}")
        self.show_balances(before, self.balances(shop))

    async def say_no(self, shop: App) -> None:
        self.heading("3. The user says no")
        before = self.balances(shop)
        await self.call(shop, "cart.add", {"items": {"tofu": 2}})
        slots = await self.call(shop, "slots.list", {})
        ended = await self.call_that_ends(shop, "checkout", {"slot": slots["slots"][0]["slot"]})
        self.show_prompt(self.cashier.shown[-1], "declined")
        self.say(f"The program answers [b]{ended.details['error']['code']}[/b]: {ended.details['error']['message']}")
        self.show_balances(before, self.balances(shop))
        cart = await self.call(shop, "cart.show", {})
        self.say(f"Her cart is as it was: {money(cart['total'])}.")

    # ---- harm --------------------------------------------------------------------------------------------------------
    async def endless_loop(self, shop: App) -> None:
        spin = await self.install("hostile/spin")
        ended = await self.call_that_ends(spin, "go", {})
        self.say(f"An endless loop: {outcome(ended)}")
        await self.still_serving(shop)

    async def memory(self, shop: App) -> None:
        try:
            await self.install("hostile/memory_declared")
        except ModuleError as refused:
            self.say(f"4,095 MiB declared: not installed, [b]{refused.code}[/b]: {refused.message.split(';')[0]}")
        hog = await self.install("hostile/memory_hog")
        ended = await self.call_that_ends(hog, "go", {})
        usage = self.receipts[-1].usage
        self.say(f"All memory taken: {outcome(ended)}")
        self.say(f"  its receipt: {usage.memory_bytes_peak:,} bytes, memory_at_limit {usage.memory_at_limit}")
        await self.still_serving(shop)

    async def forged_order(self, shop: App) -> None:
        orders = await self.call(shop, "orders.list", {})
        thief = await self.install("hostile/forged_order", grant=["payment"])
        answer = await self.call(thief, "steal", {"order_id": orders["orders"][0]["order_id"]}, user="mallory")
        said = answer["host_said"]["code"]
        self.say(
            f"Somebody else's order number: stolen {answer['stolen']}, the host said [b]{said}[/b]; the program lives."
        )
        await self.still_serving(shop)

    async def still_serving(self, shop: App) -> None:
        """A good call after each bad one: the neighbour is unharmed."""
        await self.call(shop, "catalogue.list", {})
        receipt = self.receipts[-1]
        self.say(f"  the shop meanwhile: {receipt.ending}, {receipt.usage.wall_us / 1_000:.1f} ms")

    # ---- the library in use ------------------------------------------------------------------------------------------
    async def install(self, name: str, grant: list[str] | None = None) -> App:
        return await self.host.install(Bundle.from_bytes(pack(SAMPLES / name / "bundle")), grant=grant or [])

    async def call(self, app: App, method: str, params: Mapping[str, Any], *, user: str = USER) -> Any:
        reply = await self.host.call(app, method, params, user=user)
        self.receipts.append(reply.receipt)
        return reply.value

    async def call_that_ends(self, app: App, method: str, params: Mapping[str, Any]) -> CallEnded:
        """A call that is meant not to succeed. RuntimeError if it does: then this demonstration is wrong."""
        try:
            await self.call(app, method, params)
        except CallEnded as ended:
            if ended.receipt is not None:
                self.receipts.append(ended.receipt)
            return ended
        raise RuntimeError(f"{app.app_id} {method} was meant to end badly")

    def balances(self, shop: App) -> tuple[int, int]:
        """The user's wallet and the shop's account, in minor units."""
        wallet = AccountName(kind=AccountKind.WALLET, owner=USER, currency=CURRENCY)
        merchant = AccountName(kind=AccountKind.MERCHANT, owner=shop.app_id, currency=CURRENCY)
        return self.host.balance(wallet).posted, self.host.balance(merchant).posted

    # ---- printing ----------------------------------------------------------------------------------------------------
    def heading(self, text: str) -> None:
        self.console.print(f"\n[bold cyan]{escape(text)}[/]")

    def say(self, text: str) -> None:
        self.console.print(text, highlight=False)

    def show_cart(self, cart: Mapping[str, Any]) -> None:
        table = _table("item", ">quantity", ">price", ">sum")
        for line in cart["lines"]:
            name = f"{line['name']['zh']} {line['name']['en']}"
            table.add_row(escape(name), str(line["quantity"]), money(line["price"]), money(line["sum"]))
        table.add_row("delivery", "", "", money(cart["delivery_fee"]))
        table.add_row("[b]total[/b]", "", "", f"[b]{money(cart['total'])}[/b]")
        self.console.print(table)

    def show_prompt(self, prompt: Prompt, answer: str) -> None:
        """The cashier's words, all from the host's own records but for the subject."""
        self.say("The cashier shows the user:")
        for name, part in (("payee", "payee"), ("amount", "amount_text"), ("for", "subject")):
            self.say(f"    {name:<8}{escape(prompt.shown[part])}")
        self.say(f"    {USER}: [b]{answer}[/b]")

    def show_balances(self, before: tuple[int, int], after: tuple[int, int]) -> None:
        table = _table("account", ">before", ">after")
        for name, then, now in zip((f"{USER}'s wallet", "the shop"), before, after, strict=True):
            table.add_row(name, f"{then / 100:.2f} {CURRENCY}", f"{now / 100:.2f} {CURRENCY}")
        self.console.print(table)

    def show_receipts(self) -> None:
        table = _table(
            "program", "method", "ending", ">cpu ms", ">wall ms", ">memory KiB", ">host calls", ">bytes in, out"
        )
        for receipt in self.receipts:
            usage = receipt.usage
            table.add_row(
                receipt.app_id.rpartition(".")[2], receipt.method, receipt.ending.value,
                f"{usage.cpu_us / 1_000:.2f}", f"{usage.wall_us / 1_000:.1f}", f"{usage.memory_bytes_peak >> 10:,}",
                str(usage.host_calls), f"{usage.message_in_bytes}, {usage.message_out_bytes}",
            )  # fmt: skip
        self.console.print(table)


def money(amount: Mapping[str, Any]) -> str:
    """Money as it comes from a program: minor units and a currency."""
    return f"{amount['amount'] // 100}.{amount['amount'] % 100:02} {amount['currency']}"


def outcome(ended: CallEnded) -> str:
    return f"the call ends as [b]{ended.ending}[/b]: {escape(ended.message)}"


def _table(*columns: str) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column.removeprefix(">"), justify="right" if column.startswith(">") else "left")
    return table


async def main(console: Console) -> None:
    """The demonstration, on `console`. Needs no input: the cashier's answers are yes, then no."""
    cashier = ScriptedCashier([True, False])
    async with Host.open(cashier=cashier, allow_unsigned=True) as host:
        await Demo(host, cashier, console).run()


if __name__ == "__main__":
    trio.run(main, Console(width=110))
