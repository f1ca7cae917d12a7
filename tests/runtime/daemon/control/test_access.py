"""Who may what: user ids and tokens to roles, roles to methods, over real sockets."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
import trustme

from runtime.client import Client
from runtime.control.calling import HELLO
from runtime.control.method import ControlMethod, Role
from runtime.control.methods import METHODS
from runtime.control.tls import client_tls
from runtime.daemon import control
from runtime.daemon.control import ControlSettings, Token
from runtime.daemon.control.access import Access
from runtime.daemon.control.answers import Answer, by_name
from runtime.errors import AccessDenied, ConnectionLost, StartupError, UsageError
from tests.runtime.daemon.control.conftest import Raw, Served, raw, until

_CALLER = """
    call notify order prompts.pending prompts.find prompts.count prompts.issue prompts.answer prompts.withdraw
    consents.of_user consents.revoke notices.pending notices.take front_end.issue_token front_end.end_sessions
"""
_AUDITOR = """
    balance balances audit_head audit_key signed_head audit_records verify statistics status top program programs
    receipts receipts.tail events.tail backups releases.list releases.show releases.submitted developers.get
    developers.list developers.keys developers.installed_by_key
"""
ROLES = {Role.CALLER: _CALLER.split(), Role.AUDITOR: _AUDITOR.split()}
"""Written here a second time: what a role may do besides what every role may."""
EVERYBODY = {"hello", "ping"}


def example_answers() -> dict[str, Answer]:
    """Every method answers its own example."""

    def answering(method: ControlMethod[Any, Any]) -> Answer:
        result = msgspec.convert(method.answer, method.result)
        if not method.waits:
            return Answer(method, lambda _: result)

        async def run(*_: Any) -> Any:
            return result

        return Answer(method, run)

    return dict(by_name(*(answering(method) for method in METHODS if method is not HELLO)))


@pytest.mark.parametrize("role", Role)
async def test_every_method_for_every_role(
    served: Served, path: Path, monkeypatch: pytest.MonkeyPatch, role: Role
) -> None:
    monkeypatch.setattr(control, "user_of", lambda _: 77)
    allowed = EVERYBODY | {*({m.name for m in METHODS} if role is Role.OPERATOR else ROLES[role])}
    async with served(example_answers(), **{f"{role}s": (77,)}), raw(path) as client:
        for n, method in enumerate(METHODS):
            await client.ask(n, method.name, method.example)
            told = await client.receive()
            assert told[:2] == [1, n]
            if method.name in allowed:
                assert told[2] is None, (method.name, told[2])
            else:
                assert told[2]["code"] == "access_denied", method.name


def test_user_ids_and_their_roles() -> None:
    import os

    access = Access(ControlSettings(operators=(10,), callers=(20, 21), auditors=(30,)))
    expected = {0: "operator", os.geteuid(): "operator", 10: "operator", 20: "caller", 21: "caller", 30: "auditor"}
    assert {uid: access.of_user(uid) for uid in expected} == expected
    assert access.of_user(11) is None


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"callers": (5,), "auditors": (5,)}, "one role"),
        ({"listen": "127.0.0.1:1"}, "needs tls_certificate"),
        ({"socket_mode": 0o777}, "read and write"),
        ({"connections": 10, "reserved": 10}, "reserved"),
        ({"frame_bytes": 100}, "frame_bytes"),
        ({"idle_s": 0.0}, "idle_s"),
    ],
)
def test_settings_are_checked_when_they_are_made(settings: dict[str, Any], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        ControlSettings(**settings)


@pytest.mark.parametrize("hashed", ["", "ab", "x" * 64, "hostel_secret_token"])
def test_a_token_stands_in_the_settings_as_its_hash(hashed: str) -> None:
    with pytest.raises(UsageError, match="64 hexadecimal digits"):
        Token(name="a", role=Role.CALLER, sha256=hashed)


# ---- TCP -------------------------------------------------------------------------------------------------------------
AUTHORITY = trustme.CA()
TOKENS = tuple(
    Token(name=f"the {role}", role=role, sha256=sha256(f"token of {role}".encode()).hexdigest()) for role in Role
)


@pytest.fixture
def remote(tmp_path: Path) -> Iterator[dict[str, Any]]:
    """Settings for TCP on this machine."""
    made = AUTHORITY.issue_cert("localhost", "127.0.0.1")
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    made.cert_chain_pems[0].write_to_path(chain)
    made.private_key_pem.write_to_path(key)
    yield {
        "socket": None, "listen": "127.0.0.1:0", "tls_certificate": chain, "tls_key": key, "tokens": TOKENS,
        "token_delay_s": 0.0,
    }  # fmt: skip


def trusting() -> ssl.SSLContext:
    tls = client_tls()
    AUTHORITY.configure_trust(tls)
    return tls


def address(server: control.ControlServer) -> str:
    (where,) = server.where
    return where.removeprefix("tcp:")


@pytest.mark.parametrize("role", Role)
async def test_a_token_gives_its_role(served: Served, remote: dict[str, Any], role: Role) -> None:
    async with served(**remote) as server:
        async with Client.connect(address(server), token=f"token of {role}", tls=trusting()) as client:
            assert client.welcome.role is role
            assert await client.ping() == 7
        await until(lambda: not server.peers)


async def test_a_wrong_token_is_refused_late_and_the_connection_closed(served: Served, remote: dict[str, Any]) -> None:
    async with served(**{**remote, "token_delay_s": 0.3}) as server:
        began = trio.current_time()
        with pytest.raises(AccessDenied):
            async with Client.connect(address(server), token="token of operators", tls=trusting()):
                pass
        assert trio.current_time() - began >= 0.3
        await until(lambda: (len(server.peers), server.strangers) == (0, 0))


async def test_nothing_is_answered_without_a_token(served: Served, remote: dict[str, Any]) -> None:
    async with served(**{**remote, "hello_s": 10.0}) as server:
        stream = await trio.open_tcp_stream("127.0.0.1", int(address(server).rpartition(":")[2]))
        tls = trio.SSLStream(stream, trusting(), server_hostname="localhost")
        async with tls:
            client = Raw(tls)  # type: ignore[arg-type]
            await client.ask(1, "ping")
            assert await client.refusal() == "access_denied"
            await client.ask(2, "ping", {"$token": "token of caller"})
            assert (await client.receive())[3] == {"now_us": 7}
            await client.ask(3, "export_user", {"user": "0"})
            assert await client.refusal() == "access_denied"


async def test_strangers_are_few_and_do_not_stay(served: Served, remote: dict[str, Any]) -> None:
    async with served(**{**remote, "strangers": 2, "hello_s": 0.4}) as server:
        port = int(address(server).rpartition(":")[2])
        silent = [await trio.open_tcp_stream("127.0.0.1", port) for _ in range(2)]
        await until(lambda: server.strangers == 2)
        one_more = await trio.open_tcp_stream("127.0.0.1", port)
        with trio.fail_after(10):
            assert await silent[0].receive_some() == b""
        assert server.strangers == 2
        await until(lambda: server.strangers == 0)
        async with Client.connect(address(server), token="token of caller", tls=trusting()) as client:
            assert await client.ping() == 7
        for stream in (*silent, one_more):
            await stream.aclose()


async def test_strangers_keep_nobody_out_who_has_a_token(served: Served, remote: dict[str, Any]) -> None:
    """As many as there may be, of one address, who say nothing and come again as soon as they are closed."""
    async with served(**{**remote, "strangers": 2, "hello_s": 60.0}) as server, trio.open_nursery() as nursery:
        port = int(address(server).rpartition(":")[2])

        async def silent() -> None:
            while True:
                async with await trio.open_tcp_stream("127.0.0.1", port, local_address="127.0.0.2") as stream:
                    assert await stream.receive_some() == b""

        for _ in range(2):
            nursery.start_soon(silent)
        await until(lambda: server.strangers == 2)
        with trio.fail_after(50):
            async with Client.connect(address(server), token="token of caller", tls=trusting()) as client:
                assert await client.ping() == 7
        nursery.cancel_scope.cancel()


async def test_no_tls_no_word(served: Served, remote: dict[str, Any]) -> None:
    async with served(**remote) as server:
        stream = await trio.open_tcp_stream("127.0.0.1", int(address(server).rpartition(":")[2]))
        async with stream:
            await stream.send_all(b"GET / HTTP/1.1\r\n\r\n")
            got = b""
            with trio.fail_after(10):
                while part := await stream.receive_some():
                    got += bytes(part)
            assert b"ping" not in got and len(got) < 100
        await until(lambda: not server.peers)


async def test_a_host_that_hangs_up_before_it_has_said_who_it_is_is_not_waited_for() -> None:
    async def hangs_up(stream: trio.SocketStream) -> None:
        await stream.receive_some()

    async with trio.open_nursery() as nursery:
        (listener,) = await nursery.start(partial(trio.serve_tcp, hangs_up, 0, host="127.0.0.1"))
        port = listener.socket.getsockname()[1]
        with pytest.raises(ConnectionLost, match="closed the connection"):
            async with Client.connect(f"127.0.0.1:{port}", token="token of caller", tls=trusting()):
                pass
        nursery.cancel_scope.cancel()


async def test_a_host_that_nobody_vouches_for_is_not_spoken_to(served: Served, remote: dict[str, Any]) -> None:
    async with served(**remote) as server:
        with pytest.raises(ConnectionLost, match="certificate"):
            async with Client.connect(address(server), token="token of caller"):
                pass


async def test_a_large_message_both_ways_over_tls(served: Served, remote: dict[str, Any]) -> None:
    blob = bytes(range(256)) * 40_000
    async with (
        served(**remote) as server,
        Client.connect(address(server), token="token of operator", tls=trusting()) as client,
    ):
        reply = await client.call("org.example.a", "echo", {"blob": blob})
        assert reply.value == {"blob": blob}


async def test_a_certificate_that_cannot_be_used(served: Served, remote: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "chain.pem").write_text("no certificate")
    with pytest.raises(BaseExceptionGroup) as caught:
        async with served(**remote):
            pass
    assert caught.group_contains(StartupError, match="tls_certificate")
