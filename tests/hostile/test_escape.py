"""The escape drill: code inside the jail of a worker that tries everything to get out.

All of it is refused, and works where there is no jail, so that a refusal means something. -s prints the table.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import wasmtime

from runtime import jail
from runtime.sandbox.compile_child import compile_bytes
from runtime.sandbox.engine import compile_engine
from tests.hostile.escape_child import ANSWER
from tests.hostile.escapes import ALWAYS_END, ATTEMPTS, FOR_ROOT, NOT_EVERYWHERE, Target

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 60
GUEST = """(module
  (import "hostel_v1" "call" (func $call (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 40) "an honest module has some data")
  (func (export "hostel_alloc") (param i32) (result i32) (loop $l (br $l)) (i32.const 0))
  (func (export "hostel_handle") (param i32 i32) (result i64)
    (i64.extend_i32_u (call $call (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))))"""
ANSWERED = {
    "open a file", "read /etc/passwd", "write a file", "stat a file", "read /proc/PARENT/mem", "make a memory file",
    "clone3", "ioctl",
}  # fmt: skip
"""Refused with an error even where a miss ends the process: ordinary code asks for these in passing."""


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """Listeners, a sibling, a secret of this process, and a folder."""
    secret = ctypes.create_string_buffer(b"a secret")
    sibling = subprocess.Popen(["sleep", "600"])
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        folder = tmp_path_factory.mktemp("outside")
        (folder / "bait").write_text("x")
        yield Target(parent=os.getpid(), at=ctypes.addressof(secret), sibling=sibling.pid, tcp=tcp.getsockname()[1],
                     udp=udp.getsockname()[1], folder=str(folder))  # fmt: skip
    sibling.kill()
    sibling.wait()


class Child:
    """A process made like a worker."""

    def __init__(self, mode: str, target: Target) -> None:
        self.link, theirs = socket.socketpair()
        self.link.settimeout(PATIENCE_S)
        with theirs:
            self.process = subprocess.Popen(
                command("worker", mode, "run", theirs.fileno(), target), cwd=ROOT, pass_fds=[theirs.fileno()]
            )
        wasm = bytes(wasmtime.wat2wasm(GUEST))
        self.send(wasm)
        self.send(compile_bytes(wasm, compile_engine()))
        self.level, self.guest, self.stopped = self.receive()

    def send(self, data: bytes) -> None:
        self.link.sendall(struct.pack("<I", len(data)) + data)

    def receive(self) -> Any:
        """None when the process is gone."""
        with self.link.makefile("rb") as file:
            head = file.read(4)
            return json.loads(file.read(struct.unpack("<I", head)[0])) if head else None

    def attempt(self, name: str) -> str:
        self.send(name.encode())
        found = self.receive()
        return str(found) if found else signal.Signals(-self.process.wait(PATIENCE_S)).name

    def close(self) -> int:
        self.link.close()
        return self.process.wait(PATIENCE_S)


def command(*arguments: object) -> list[str]:
    words = [json.dumps(asdict(word)) if isinstance(word, Target) else str(word) for word in arguments]
    return [sys.executable, "-m", "tests.hostile.escape_child", *words]


def table(mode: str, work: str, target: Target) -> dict[str, str]:
    done = subprocess.run(
        command("table", mode, work, -1, target), cwd=ROOT, capture_output=True, check=True, timeout=PATIENCE_S
    )
    found: dict[str, str] = json.loads(done.stdout)
    return found


def test_a_jailed_worker_runs_guests_and_nothing_else(target: Target) -> None:
    assert jail.probe() >= jail.Level.named("full"), jail.probe().missing
    child = Child("errno", target)
    assert (child.level, child.guest, child.stopped) == ("full", ANSWER, True)
    found = {name: child.attempt(name) for name in ATTEMPTS if name not in ALWAYS_END}
    assert {name: told for name, told in found.items() if not told.startswith("refused (E")} == {}
    assert child.close() == 0


def test_the_first_miss_ends_a_worker(target: Target) -> None:
    child = Child("kill", target)
    assert (child.level, child.guest, child.stopped) == ("full", ANSWER, True)
    assert child.attempt("open a file") == "refused (EACCES)"
    assert child.attempt("new socket AF_UNIX") == "SIGSYS"
    assert child.close() == -signal.SIGSYS


def test_each_attempt_works_without_a_jail(target: Target) -> None:
    """Else a refusal would prove nothing."""
    excused = NOT_EVERYWHERE | (FOR_ROOT if os.geteuid() else set())
    found = table("free", "run", target)
    print(*(f"{name:50} {told}" for name, told in found.items()), sep="\n")
    assert {name: told for name, told in found.items() if told != "WORKED" and name not in excused} == {}


@pytest.mark.parametrize("work", ["run", "compile"])
def test_each_attempt_ends_its_process(work: str, target: Target) -> None:
    found = table("kill", work, target)
    print(*(f"{name:50} {told}" for name, told in found.items()), sep="\n")
    ended = {name for name, told in found.items() if told == "SIGSYS"}
    assert ended == set(ATTEMPTS) - ANSWERED
    assert {told for name, told in found.items() if name in ANSWERED} <= {
        "refused (EACCES)", "refused (ENOSYS)", "refused (ENOTTY)",
    }  # fmt: skip
