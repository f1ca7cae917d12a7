"""Every step of an operator's is in the audit with who took it: over the socket, by token, and where no daemon runs."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import trio
import trustme

from host_api.money import Money
from host_api.prompts import prompt
from runtime import Host, wire
from runtime.cli.offline import opened
from runtime.client import Client
from runtime.control.tls import client_tls
from runtime.daemon import control
from runtime.daemon.doors import control_door
from tests.hostile.guests import Script, bundle, scripted
from tests.runtime.daemon.test_serve import served, tell

APP = "org.example.guest"
ME = f"uid {os.geteuid()}"
PAY = {"key": "k", "out_trade_no": "1", "amount": {"amount": 100, "currency": "CNY"}, "subject": "tea"}


def effects_and_names(records: Sequence[tuple[int, str]], after: int = 0) -> list[tuple[str, str | None]]:
    told: list[Mapping[str, Any]] = [json.loads(text) for n, text in records if n > after]
    return [(one["effect"], one.get("by")) for one in told]


async def operate(client: Client) -> set[str]:
    """One of each kind of step; gives the effects that the audit must have of them."""
    await client.install(bundle(scripted(), APP), grant=["payment"], allow_unsigned=True)
    await client.set_grants(APP, {})
    await client.set_limits(APP, {"cpu_us": 40_000})
    await client.releases.kill(APP, "a test")
    await client.releases.revive(APP)
    await client.releases.offline(APP)
    developer = await client.developers.sign_up("Ann")
    await client.developers.set_trust(developer.id, "platform")
    await client.developers.set_limits(developer.id, {"uploads_per_day": 3})
    await client.deposit("alice", Money(amount=1, currency="CNY"), reference="r")
    await client.users.put("alice", {"nickname": "Al"})
    await client.erase_user("alice", forfeit_balance=True)
    await client.uninstall(APP, erase=True)
    return {
        "program.installed", "program.granted", "grant.revoked", "program.limits", "program.killed", "program.revived",
        "program.offline", "developer.signed_up", "developer.trusted", "developer.limits", "ledger.deposited",
        "user.fields_put", "user.erased", "program.uninstalled",
    }  # fmt: skip


async def test_over_the_socket_the_kernels_word_for_the_user(tmp_path: Path) -> None:
    async with served(tmp_path, control_door) as host:
        before = host.audit_head().n
        async with Client.connect(tmp_path / "state" / "hostel.sock") as client:
            expected = await operate(client)
        told = effects_and_names(host.audit_records(limit=1_000), before)
        assert expected <= {effect for effect, _ in told}
        assert {by for _, by in told} == {ME}, told
        tell(signal.SIGTERM)


async def answer_a_prompt(client: Client, number: int) -> None:
    """What a front end does for alice, whose program asks her to pay."""
    order = {**PAY, "key": f"k{number}", "out_trade_no": str(number)}
    script = Script().ask(wire.request(1, "payment.create", order))
    made = script.responses((await client.call(APP, "run", script.params(), user="alice")).value)
    asks = {"order_id": made[0][3]["order_id"], "wait_ms": 0}
    script = Script().ask(wire.request(1, "payment.request", asks))
    await client.call(APP, "run", script.params(), user="alice")
    (waiting,) = await client.prompts.pending("alice")
    shown = await client.prompts.issue(waiting.id)
    await client.prompts.answer(shown.id, shown.token, shown.digest, True)
    await client.front_end.end_sessions("alice")


@pytest.mark.parametrize(("uid", "named"), [(76, "uid 76"), (77, None)], ids=["an operator", "a front end"])
async def test_an_operator_who_does_what_front_ends_do_is_named_and_a_front_end_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uid: int, named: str | None
) -> None:
    """An operator can answer in a user's place; whoever looks into the audit has to see that it was not the user."""
    monkeypatch.setattr(control, "user_of", lambda _: uid)
    monkeypatch.setattr(prompt, "ANSWERABLE_AFTER_US", 0)
    async with served(tmp_path, control_door, text="[control]\noperators = [76]\ncallers = [77]\n") as host:
        await host.install(bundle(scripted(), APP), grant=["payment"], allow_unsigned=True)
        await host.deposit("alice", Money(amount=100, currency="CNY"), reference="r")
        async with Client.connect(tmp_path / "state" / "hostel.sock") as client:
            await answer_a_prompt(client, 1)
        told = dict(effects_and_names(host.audit_records(limit=1_000)))
        assert told["order.pending"] is None and told["order.confirming"] is None
        assert told["order.succeeded"] == told["sessions.ended"] == named
        tell(signal.SIGTERM)


async def test_by_token_the_tokens_name(tmp_path: Path) -> None:
    authority = trustme.CA()
    made = authority.issue_cert("localhost", "127.0.0.1")
    made.private_key_pem.write_to_path(str(tmp_path / "key"))
    made.cert_chain_pems[0].write_to_path(str(tmp_path / "certificate"))
    authority.cert_pem.write_to_path(str(tmp_path / "ca"))
    text = (
        f'[control]\nlisten = "127.0.0.1:0"\ntls_certificate = "{tmp_path}/certificate"\ntls_key = "{tmp_path}/key"\n'
        f'[[control.tokens]]\nname = "night shift"\nrole = "operator"\nsha256 = "{sha256(b"t").hexdigest()}"\n'
    )
    opened: list[Any] = []

    async def door(*given: Any, task_status: Any) -> None:
        async with trio.open_nursery() as nursery:
            opened.append(await nursery.start(control_door, *given))
            task_status.started(opened[0])

    async with served(tmp_path, door, text=text) as host:
        port = int(opened[0].where[1].rpartition(":")[2])
        tls = client_tls(tmp_path / "ca")
        async with Client.connect(f"127.0.0.1:{port}", token="t", tls=tls) as client:
            await client.developers.sign_up("Ann")
        assert effects_and_names(host.audit_records(limit=10))[-1] == ("developer.signed_up", "token night shift")
        tell(signal.SIGTERM)


async def test_what_a_program_does_is_nobodys_request(tmp_path: Path) -> None:
    async with served(tmp_path, control_door) as host:
        async with Client.connect(tmp_path / "state" / "hostel.sock") as client:
            await client.install(bundle(scripted(), APP), grant=["payment"])
            script = Script().ask(wire.request(1, "payment.create", PAY))
            await client.call(APP, "run", script.params(), user="alice")
        told = effects_and_names(host.audit_records(limit=1_000))
        assert ("program.installed", ME) in told
        assert [by for effect, by in told if effect.startswith("order.")] == [None]
        tell(signal.SIGTERM)


async def test_where_no_daemon_runs_who_opened_the_directory(tmp_path: Path) -> None:
    async with Host.open(tmp_path):
        pass
    async with opened(tmp_path) as client:
        await client.developers.sign_up("Ann")
        records, _ = await client.audit_records()
    assert effects_and_names([(n, text) for n, text in records])[-1] == ("developer.signed_up", f"{ME} offline")
