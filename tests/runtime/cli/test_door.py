"""Commands through a host that runs and on the directory alone: the same words, the same exit codes."""

from __future__ import annotations

import re
import shutil
import threading
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from host_api.front_end.token import TokenRefused
from host_api.money import Money
from runtime.blocking import BlockingHost
from runtime.cli.commands import _COMMANDS
from runtime.daemon import control
from runtime.daemon.control import ControlSettings
from runtime.host import Host
from runtime.settings import HostSettings
from tests.runtime.cli.conftest import Cli, Said
from tests.runtime.cli.test_user import fill

Running = Callable[[Path], Any]


@contextmanager
def daemon(state: Path) -> Iterator[BlockingHost]:
    """A host on that directory, in a thread of its own, with its control socket."""
    began = threading.Event()

    async def serve(host: Host) -> None:
        async with trio.open_nursery() as nursery:
            await nursery.start(control.serve, host, ControlSettings())
            began.set()

    with BlockingHost.open(state, settings=HostSettings(slots=4, allow_unsigned=True)) as host:
        serving = host.submit(serve)
        assert began.wait(20)
        yield host
        serving.cancel()


@pytest.fixture
def state(home: Path) -> Path:
    """Of alice: 12.50 CNY, a value that is bytes, and a message that waits. Any host's keys are made."""
    path = home / "state"
    with BlockingHost.open(path, settings=HostSettings(slots=4)) as host:
        host.submit(lambda host: host._store.write(fill)).result()
        host.submit(lambda host: host.signed_head()).result()
        host.deposit("bob", Money(amount=7, currency="JPY"), reference="b")
    return path


SAME: list[list[str]] = [
    ["payments", "list"], ["payments", "show", "x"], ["payments", "confirm", "x", "--yes"],
    ["payments", "decline", "x"], ["consent", "list", "--user", "alice"], ["consent", "pending"],
    ["consent", "allow", "x", "--yes"], ["consent", "refuse", "x"],
    ["consent", "revoke", "--user", "alice", "--program", "org.shop"], ["user", "set", "alice", "nickname=Lin"],
    ["user", "set", "alice", "colour=red"], ["user", "show", "alice"], ["user", "show", "carol"],
    ["user", "export", "alice"], ["user", "erase", "alice", "--yes"], ["user", "erase", "", "--yes"],
    ["user", "erase", "alice", "--yes", "--forfeit-balance"],
    ["user", "end-sessions", "alice"], ["user", "end-sessions", ""], ["notices", "list"], ["notices", "take", "none"],
    ["audit", "verify"], ["audit", "head"], ["audit", "list"], ["audit", "list", "--effect", "ledger."],
    ["ledger", "verify"], ["ledger", "balance"], ["ledger", "balance", "--owner", "alice"], ["developer", "add", "Lin"],
    ["developer", "list"], ["developer", "show", "nobody"], ["programs"], ["program", "show", "org.shop"],
    ["release", "list"], ["release", "rollback", "org.shop"], ["grant", "org.shop", "payment"],
]  # fmt: skip
_MEASURED = re.compile(r"\b[0-9a-f]{32,}\b|\d{10,}|\d{4}-\d\d-\d\d[T ][\d:]+|[\w-]{43,}=*")
"""Ids, hashes, keys and times."""


def seen(said: Said) -> tuple[int, str, str]:
    return said.code, _MEASURED.sub("…", said.out), _MEASURED.sub("…", said.err)


@pytest.mark.parametrize("words", SAME, ids=" ".join)
def test_the_same_is_said_with_a_host_and_without(cli: Cli, state: Path, home: Path, words: list[str]) -> None:
    shutil.copytree(state, home / "other")
    alone = cli(*words, "--state", home / "other")
    with daemon(state):
        asked = cli(*words, "--state", state)
    if words[:2] in (["audit", "verify"], ["audit", "list"], ["ledger", "verify"]):  # a host's opening is audited
        assert (asked.code, len(asked.err)) == (alone.code, len(alone.err))
        return
    assert seen(asked) == seen(alone)


def test_a_socket_is_named_by_option_or_environment(
    cli: Cli, state: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli("ledger", "balance").code == 2
    with daemon(state):
        assert cli("ledger", "balance", "--socket", state / "hostel.sock", "--json").json
        monkeypatch.setenv("HOSTEL_SOCKET", str(state / "hostel.sock"))
        assert cli("ledger", "balance", "--json").json
    said = cli("ledger", "balance", "--json")
    assert (said.code, said.json["error"]["code"]) == (23, "unreachable")


def test_what_a_killed_daemon_left_behind_is_no_host(cli: Cli, state: Path) -> None:
    import socket

    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(state / "hostel.sock"))
    assert cli("ledger", "balance", "--state", state, "--json").json


@pytest.mark.parametrize(
    "words",
    [
        ["call", "org.example.echo", "echo"],
        ["notify", "org.example.echo", "echo"],
        ["install"],
        ["status"],
        ["user", "token", "alice"],
        ["events", "tail"],
        ["receipts", "--follow"],
        ["logs", "--follow"],
        ["stop"],
    ],
)
def test_what_needs_a_host_says_how_to_start_one(
    cli: Cli, state: Path, sample: Callable[[str], Path], words: list[str]
) -> None:
    more = [str(sample("echo"))] if words == ["install"] else []
    said = cli(*words, *more, "--state", state)
    assert said.code == 23
    assert "hostel serve starts one" in said.err


def test_install_call_and_take_away(cli: Cli, state: Path, sample: Callable[[str], Path]) -> None:
    with daemon(state):
        at = ("--state", state)
        said = cli("install", sample("echo"), "--limit", "cpu_us=90000", "--allow-unsigned", *at)
        assert said.code == 0 and "org.example.echo" in said.out
        assert cli("call", "org.example.echo", "echo", '{"value": 3}', "--user", "alice", *at).json == 3
        said = cli("call", "org.example.echo", "echo", '{"value": 3}', "--json", *at)
        assert said.json["receipt"]["ending"] == "completed"
        assert "receipt" in cli("call", "org.example.echo", "echo", '{"value": 1}', "--receipt", *at).err
        assert cli("notify", "org.example.echo", "echo", '{"value": 1}', "--json", *at).json["receipt"]["ending"]
        assert cli("call", "org.example.nobody", "echo", *at).code == 7
        assert cli("program", "show", "org.example.echo", "--json", *at).json["limits"] == {"cpu_us": 90_000}
        assert cli("limit", "org.example.echo", "--json", *at).json["limits"] == {}
        assert cli("grant", "org.example.echo", "storage", "--json", *at).json["grants"] == {"storage": {}}
        assert cli("revoke", "org.example.echo", "storage", *at).code == 0
        assert cli("revoke", "org.example.echo", "everything", *at).code == 2
        assert cli("uninstall", "org.example.echo", "--json", *at).json == {"orders_closed": 0, "rows_erased": 0}
        assert cli("call", "org.example.echo", "echo", *at).code == 7


def test_a_users_token_is_all_that_is_printed_and_says_what_was_asked(cli: Cli, state: Path) -> None:
    words = ["--life-s", "60", "--programs", "org.a", "--programs", "org.b", "--not-interactive", "--locale", "de-AT"]
    with daemon(state) as host:

        def session(token: str) -> Any:
            return host.submit(_session_of(token)).result()

        said = cli("user", "token", "alice", *words, "--state", state)
        assert (said.code, said.err, said.out.count("\n")) == (0, "", 1)
        told = session(said.out.strip())
        assert (told.user, told.programs) == ("alice", ("org.a", "org.b"))
        assert (told.interactive, told.locale) == (False, "de-AT")
        assert told.expires_us - told.issued_us == 60_000_000
        plain = cli("user", "token", "alice", "--state", state, "--json").json["token"]
        assert session(plain).interactive and session(plain).programs is None
        assert cli("user", "end-sessions", "alice", "--state", state).code == 0
        with pytest.raises(TokenRefused):
            session(plain)
        for wrong in (["", "--life-s", "60"], ["alice", "--life-s", "7200"], ["alice", "--currency", "XXX"]):
            assert cli("user", "token", *wrong, "--state", state).code == 2


def _session_of(token: str) -> Callable[[Host], Any]:
    async def read(host: Host) -> Any:
        return host.front_end.session_of(token)

    return read


def test_an_erasure_without_a_host_ends_sessions_too(cli: Cli, state: Path) -> None:
    with daemon(state):
        token = cli("user", "token", "alice", "--state", state).out.strip()
    assert cli("user", "erase", "alice", "--yes", "--forfeit-balance", "--state", state).code == 0
    with BlockingHost.open(state, settings=HostSettings(slots=4)) as host, pytest.raises(TokenRefused):
        host.submit(_session_of(token)).result()


def test_a_token_is_shown_once_and_kept_as_its_hash(cli: Cli) -> None:
    from hashlib import sha256

    told = cli("token", "--name", "gateway", "--json").json
    assert told["sha256"] == sha256(told["token"].encode()).hexdigest() and told["role"] == "caller"
    said = cli("token", "--name", "gateway", "--role", "auditor")
    assert said.out.startswith("hostel_") and said.out.strip() not in said.err
    entry = tomllib.loads(said.err[said.err.index("[[control.tokens]]") :])["control"]["tokens"]
    assert entry == [{"name": "gateway", "role": "auditor", "sha256": sha256(said.out.strip().encode()).hexdigest()}]


def test_commands_of_this_file_exist() -> None:
    known = {name for commands in _COMMANDS.values() for name, _, _ in commands}
    assert {" ".join(words[:2]) for words in SAME if len(words) > 1} <= known | {"grant org.shop"}
