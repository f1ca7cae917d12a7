"""The Rust SDK, through the program in codec/rust, against the host's own codec and the contract."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import wasmtime
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtime import wire
from runtime.limits import ModuleCaps
from runtime.sandbox.checks import check_module
from runtime.toolchains import BuildError, Missing
from runtime.toolchains.rust import Rust

ROOT = Path(__file__).resolve().parents[2]
MODULE = Path(__file__).parent / "codec/rust/bundle/program.wasm"
HELLO = """\
use hostel::{map, Fail, Request, Value};

fn handle(_: &Request) -> Result<Value, Fail> {
    Ok(map! { "text" => "hello" })
}

hostel::main!(handle);
"""


@pytest.fixture(scope="module")
def compiled() -> list[Any]:
    return []


@pytest.fixture
def program(compiled: list[Any], guest_of: type[Any]) -> Any:
    """With a new host; messages come by `hostel_alloc`."""
    if not compiled:
        compiled.append(guest_of(MODULE.read_bytes()))
    made = compiled[0]
    made.host, made.inbox, made.said, made.taken = type(made.host)(), False, b"", 0
    return made


@pytest.fixture
def code(program: Any, refused: Any) -> Callable[..., str]:
    def get(method: str, /, **params: Any) -> str:
        with pytest.raises(refused) as caught:
            program.call(method, params)
        return str(caught.value.wire["code"])

    return get


def test_the_hosts_checks_find_only_known_imports() -> None:
    facts = check_module(MODULE.read_bytes(), ModuleCaps(), 1 << 20)
    assert {module for module, _ in facts.imports} == {"hostel_v1", "wasi_snapshot_preview1"}


def test_a_hosts_error_is_passed_on_with_all_it_says(program: Any, refused: Any) -> None:
    with pytest.raises(refused) as caught:
        program.call("order", {"id": "made up"})
    assert caught.value.wire == {
        "code": "not_found", "message": "no such order, or not yours", "retryable": False, "retry_after_ms": None,
        "details": {"order_id": "made up"},
    }  # fmt: skip


def test_a_typed_answer_ignores_what_it_does_not_know_and_does_without_what_is_optional(
    program: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer: dict[str, Any] = {
        "order_id": "x", "out_trade_no": "7", "status": "pending", "close_reason": None, "subject": "tea",
        "amount": {"amount": 5, "currency": "CNY", "more": 1}, "expires_at_ms": 1, "replayed": False, "new": [{}],
    }  # fmt: skip
    monkeypatch.setattr(program, "_answer", lambda _req, _len: wire.response(1, answer))
    assert program.call("order", {"id": "x"}) == {"status": "pending", "amount": 5, "captured": None}


def test_a_typed_answer_that_is_something_else_is_an_error(
    program: Any, code: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = {"order_id": 5, "status": "pending"}
    monkeypatch.setattr(program, "_answer", lambda _req, _len: wire.response(1, answer))
    assert code("order", id="x") == "bad_response"


@pytest.mark.parametrize(
    "answer",
    [
        b"", b"\xc0", b"\xc1", b"\x94\x01\x01\xc0", b"\x94\x02\x01\xc0\xc0", b"\x95\x01\x01\xc0\xc0\xc0",
        b"\x94\x01\xc0\xc0\xc0",
    ],
)  # fmt: skip
def test_an_answer_that_is_no_response_is_an_error(
    program: Any, code: Callable[..., str], answer: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "_answer", lambda _req, _len: answer)
    assert code("call", method="session.info") == "bad_response"


@pytest.mark.parametrize("size", [0, 16_000, 16_384, 100_000])
def test_a_response_that_does_not_fit_is_taken(program: Any, size: int) -> None:
    program.host.stored["k"] = ("x" * size, 3)
    assert program.call("read", {"key": "k"}) == "x" * size
    assert program.taken == (1 if size >= 16_384 else 0)


def test_posted_requests_are_told_apart_by_their_tickets(program: Any) -> None:
    program.host.stored.update(a=(1, 1), b=("two", 1), c=([3], 1))
    came = program.call("post", {"keys": ["a", "b", "c"]})
    assert came == [{"which": 2, "value": [3]}, {"which": 1, "value": "two"}, {"which": 0, "value": 1}]
    assert program.call("post", {"keys": []}) == []


def test_notifications_and_log_lines_reach_the_host(program: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    answer, kinds = program._answer, []

    def seen(req: int, req_len: int) -> bytes:
        message = wire.decode(program._read(req, req_len), 1_000)
        kinds.append((message[0], message[-1]))
        return b"" if message[0] == wire.NOTIFICATION else answer(req, req_len)

    monkeypatch.setattr(program, "_answer", seen)
    assert program.call("tell") is None
    assert kinds == [
        (2, {"level": "info", "message": "told"}), (0, {"level": "warning", "message": "4 bytes"}),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("method", "number", "line"),
    [
        ("panic", 7, r"panicked at source/main.rs:24: no 7 left"),
        ("bounds", 5, r"panicked at source/main.rs:25: index out of bounds: the len is 3 but the index is 5"),
    ],
)
def test_a_panic_leaves_a_line_and_traps(program: Any, method: str, number: int, line: str) -> None:
    with pytest.raises(wasmtime.Trap):
        program.call(method, {"number": number})
    assert program.said.decode() == f"{line}\n"


def test_what_the_wire_cannot_hold_is_an_error_and_no_violation(program: Any, code: Callable[..., str]) -> None:
    assert program.call("deep", {"levels": 14}) is not None  # the message is one more
    assert code("deep", levels=16) == "bad_reply"
    assert code("nan") == "bad_reply"


def test_params_are_checked_and_the_error_says_what_was_wanted(program: Any, refused: Any) -> None:
    with pytest.raises(refused) as caught:
        program.call("bounds", {"number": "5"})
    assert caught.value.wire["code"] == "invalid_params" and caught.value.wire["details"] == {"param": "number"}
    assert caught.value.wire["message"] == "number: a whole number from 0 to 9"


def test_a_notification_is_not_answered_and_its_error_is_in_the_log(program: Any) -> None:
    assert program.raw(wire.notification("notified", {})) == b""
    assert program.said == b"notified was not handled: not_now\n"


def test_memory_that_is_not_there_traps_and_a_message_without_room_gets_none(program: Any) -> None:
    with pytest.raises(wasmtime.Trap):
        program.raw(wire.request(1, "grow", {"bytes": 1 << 30}))
    assert len(program.call("grow", {"bytes": 200_000})) == 200_000


@pytest.mark.parametrize("message", [b"", b"\xc1", b"\x94", b"\x94\x00\x01\xa4call\x90", b"\x93\x00\x01\xa4call\x80"])
def test_what_is_no_request_gets_no_answer(program: Any, message: bytes) -> None:
    assert program.raw(message) == b""


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=200))
def test_random_bytes_never_trap(program: Any, data: bytes) -> None:
    assert program.raw(data) == b""
    head = b"\x94\x00\x01\xaacodec.echo\x81\xa5bytes"
    assert program.raw(head + wire.encode(data)) != b""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with its SDK, as `hostel new` makes them; the SDK is compiled once."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "source").mkdir()
    shutil.copytree(ROOT / "host_api/guest/rust", folder / "sdk", ignore=shutil.ignore_patterns("template"))
    return folder


def _toolchain() -> Rust:
    found = Rust().find()
    if isinstance(found, Missing):
        pytest.skip(f"{found.name} is not here: {found.cure}")
    return Rust()


def test_a_program_with_one_method_is_small(project: Path, guest_of: type[Any]) -> None:
    rust = _toolchain()
    (project / "source/main.rs").write_text(HELLO)
    built = rust.build(project, project / "sdk", project)
    assert len(built.module) <= 20_480
    hello = guest_of(built.module)
    hello.inbox = False
    assert hello.call("any") == {"text": "hello"}


def test_what_does_not_compile_is_an_error_with_the_compilers_words(project: Path) -> None:
    rust = _toolchain()
    (project / "source/main.rs").write_text("fn handle( {}\n")
    with pytest.raises(BuildError, match=r"source/main\.rs does not compile"):
        rust.build(project, project / "sdk", project)


def test_without_a_compiler_it_says_how_one_is_had(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RUSTC", str(tmp_path / "none"))
    found = Rust().find()
    assert isinstance(found, Missing) and "rustup target add wasm32-unknown-unknown" in found.cure
    with pytest.raises(BuildError, match="apt-get install"):
        Rust().build(tmp_path, tmp_path, tmp_path)
