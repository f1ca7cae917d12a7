"""`hostel serve` as an operator has it: a process of its own, workers in the jail, HTTP on a free port; from the
install to the exit, with the commands and requests that people use."""

from __future__ import annotations

import http.client
import json
import select
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runtime import Money, pack
from runtime.blocking import BlockingClient
from tests.console import HANG_S, ROOT, command, environment, hostel

SHOP = "org.example.grocery"
CONFIG = "[http]\nport = 0\n[workers]\ncount = 1\nstart_s = 60\nheartbeat_s = 5\n"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


class Served:
    """One daemon, and the commands and requests that reach it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        (home / "hostel.toml").write_text(CONFIG)
        self.process = subprocess.Popen(
            [*command(), "serve", "--state", "state"], cwd=home, env=environment(home), stderr=subprocess.PIPE
        )
        self.ready = self._first_line()
        self.port = int(self.ready["listening"][1].rpartition(":")[2])

    def _first_line(self) -> dict[str, Any]:
        assert self.process.stderr is not None
        assert select.select([self.process.stderr], [], [], HANG_S)[0], "nothing was said"
        told: dict[str, Any] = json.loads(self.process.stderr.readline())
        return told

    def asked(self, *words: str | Path) -> Any:
        """The JSON that a command prints."""
        done = hostel(self.home, *words, "--state", "state", "--json")
        assert done.code == 0, (words, done.out, done.err)
        return json.loads(done.out)

    def http(self, token: str, method: str, path: str, body: Any = None) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=HANG_S)
        headers = {"authorization": f"Bearer {token}", "content-type": "application/json",
                   "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}  # fmt: skip
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        told = json.loads(answer.read())
        connection.close()
        assert answer.status == 200, told
        return told

    def call(self, token: str, method: str, params: Any) -> Any:
        return self.http(token, "POST", f"/v1/programs/{SHOP}/call/{method}", params)

    def stop(self) -> str:
        """What it had said until its end."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.communicate(timeout=HANG_S)[1].decode()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    made = Served(tmp_path)
    yield made
    if made.process.poll() is None:
        made.process.kill()
        made.process.communicate()


def pay(served: Served, token: str) -> tuple[str, int]:
    """A checkout whose prompt the user answers over HTTP; gives what the shop says in the end, and what was paid."""
    bought: list[Any] = []
    slot = served.call(token, "slots.list", {})["result"]["slots"][0]["slot"]
    buying = threading.Thread(target=lambda: bought.append(served.call(token, "checkout", {"slot": slot})))
    buying.start()
    until = time.monotonic() + HANG_S
    while not (waiting := served.http(token, "GET", "/v1/prompts")["prompts"]):
        assert time.monotonic() < until and buying.is_alive(), bought
    path = f"/v1/prompts/{waiting[0]['id']}"
    opened = served.http(token, "POST", f"{path}/open", {})
    time.sleep(max(0.0, opened["prompt"]["answerable_us"] / 1e6 - time.time()))
    answer = {"token": opened["token"], "digest": opened["digest"], "approved": True}
    assert served.http(token, "POST", f"{path}/answer", answer) == {"answer": "approved"}
    buying.join(HANG_S)
    return bought[0]["result"]["payment"], waiting[0]["shown"]["amount"]["amount"]


def test_from_the_install_to_the_exit(served: Served) -> None:
    bundle = served.home / "grocery.ma"
    bundle.write_bytes(pack(ROOT / "sample_programs" / "grocery_delivery" / "bundle"))
    status = served.asked("status", "--wait", "30")
    assert status["ready"] and status["statistics"]["sandbox_level"] == served.ready["sandbox_level"] == "full"
    assert status["placement"] == "worker" and [worker["state"] for worker in status["workers"]] == ["ready"]

    installed = served.asked(
        "install", bundle, "--grant", "payment", "--grant", "storage", "--allow-unsigned", "--payee", "Fresh"
    )
    assert installed["app_id"] == SHOP
    assert served.asked("call", SHOP, "cart.add", '{"items": {"apple": 2}}', "--user", "alice")["result"]["goods"]
    with BlockingClient.connect(served.home / "state" / "hostel.sock") as client:
        client.deposit("alice", Money(amount=100_000, currency="CNY"), reference="top-up")

    token = hostel(served.home, "user", "token", "alice", "--programs", SHOP, "--state", "state").out.strip()
    assert served.call(token, "cart.show", {})["receipt"]["ending"] == "completed"
    outcome, paid = pay(served, token)
    assert outcome == "succeeded"
    wallet = served.http(token, "GET", "/v1/wallet/CNY")
    assert wallet == {"currency": "CNY", "available": 100_000 - paid, "held": 0}

    logs = hostel(served.home, "logs", SHOP, "--state", "state")
    assert logs.code == 0, logs.err
    receipts = hostel(served.home, "receipts", SHOP, "--trace", TRACE, "--state", "state")
    assert receipts.code == 0 and [word in receipts.out for word in ("cart.show", "checkout", "cart.add")] == [
        True, True, False
    ]  # fmt: skip
    top = hostel(served.home, "top", "--once", "--state", "state")
    assert top.code == 0 and SHOP in top.out and "jail full" in top.out
    made = served.asked("backup", "copy")
    said = served.stop()
    assert served.process.returncode == 0, said
    assert [json.loads(line)["event"] for line in said.splitlines()][-1] == "stopped"
    assert not [line for line in said.splitlines() if json.loads(line)["level"] in ("error", "warning")], said

    restored = hostel(served.home, "restore", "copy", "--state", "new", "--json")
    assert restored.code == 0 and json.loads(restored.out)["head"] == made["head"]
    assert hostel(served.home, "ledger", "balance", "--owner", "alice", "--state", "new").out
