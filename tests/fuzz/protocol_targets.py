"""Targets between processes: the control protocol on both sides, frames of workers, the answer of a compile child."""

from __future__ import annotations

import json
import random
import socket
import struct
from collections.abc import Iterator
from functools import partial
from typing import Any, Final

import msgspec

from runtime import wire
from runtime.client.link import Link, _converted, _Waiting
from runtime.control import frames
from runtime.control.failures import KINDS, from_map, to_map
from runtime.control.frames import FrameReader, Violation
from runtime.control.method import Role
from runtime.control.methods import BY_NAME, METHODS
from runtime.control.tls import PlainChannel
from runtime.daemon.control.connection import BUNDLE_BYTES, STRANGER_BYTES, Connection, Unread
from runtime.daemon.control.server import _params
from runtime.daemon.control.settings import ControlSettings
from runtime.errors import Ending, HostelError, ModuleError, UsageError
from runtime.executor import frames as worker_frames
from runtime.limits import MIB, CompileLimits, ModuleCaps
from runtime.sandbox.checks import check_module
from runtime.sandbox.compile_child import HEAD, MAGIC
from runtime.sandbox.compiler import judge
from tests.fuzz import mutated_json
from tests.fuzz.mutated_bytes import changed
from tests.fuzz.search import Target, simply
from tests.hostile.guests import module

SETTINGS: Final = ControlSettings(outstanding=4)
ROLES: Final = (None, Role.CALLER, Role.AUDITOR, Role.OPERATOR)
REASON_MOST: Final = 400
_HEAD: Final = struct.Struct(">I")


def _pieces(data: bytes, size: int) -> Iterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]


# ---- the host's side -------------------------------------------------------------------------------------------------
def run_server(data: bytes) -> None:
    """The first byte says who asks, the second in which pieces the rest comes. Each request is answered once."""
    if len(data) < 2:
        return
    connection, owed = Connection(SETTINGS, ROLES[data[0] % 4]), list[int]()
    try:
        for piece in _pieces(data[2:], 1 + data[1] * 16):
            for received in connection.receive(piece):
                request = connection.taken(received.read()) if isinstance(received, Unread) else received
                if request is None:
                    continue
                owed.append(request.msgid)
                _taken(connection, request)
                if len(owed) % 3 == 0:
                    connection.fail(owed.pop(0), UsageError("no"))
            _is_awaited(connection)
            assert connection.outstanding == len(owed) <= SETTINGS.outstanding
    except Violation as violation:
        assert violation.reason.isprintable() and len(violation.reason) < REASON_MOST
    for message in FrameReader(BUNDLE_BYTES).feed(connection.take()):
        frames.parse_answer(message)
    connection.close()


def _is_awaited(connection: Connection) -> None:
    """What is held is the beginning of a frame that may come, and not all of it."""
    reader = connection._reader
    if reader._missing:  # of a large message, whose head is not among what is held
        assert frames.LARGE_BYTES < reader._needs - frames.HEAD_BYTES <= connection.frame_bytes
        assert frames.HEAD_BYTES <= reader.held < reader._needs
        return
    held = bytes(reader._held or b"")
    if len(held) >= frames.HEAD_BYTES:
        length = int.from_bytes(held[: frames.HEAD_BYTES], "big")
        assert 1 <= length <= connection.frame_bytes, f"a frame of {length} bytes is waited for"
        assert len(held) < frames.HEAD_BYTES + length


def _taken(connection: Connection, request: frames.Request) -> None:
    """The parameters of the method, or an error that can be told to whoever asked."""
    declared = BY_NAME.get(request.method)
    if declared is None:
        return
    try:
        _params(declared.params, request.params)
    except UsageError as error:
        assert error.message.isprintable() and len(error.message) < REASON_MOST
        wire.encode(to_map(error))


def server_seeds() -> Iterator[bytes]:
    for number, method in enumerate(METHODS):
        given = {
            field.encode_name: _example(field.type)
            for field in msgspec.structs.fields(method.params)
            if not field.encode_name.startswith("$")
        }
        asked = frames.frame(wire.request(number % 5, method.name, given))
        yield bytes((number % 4, 255)) + asked + frames.cancel(number % 5)
    for role, most in ((0, STRANGER_BYTES), (1, SETTINGS.frame_bytes), (3, BUNDLE_BYTES)):
        for length in (0, most, most + 1):
            yield bytes((role, 255)) + length.to_bytes(4, "big") + b"x"
    yield b"\x03\x01" + BUNDLE_BYTES.to_bytes(4, "big") + bytes(64)
    yield b"\x01\x00" + b"".join(frames.frame(wire.request(n, "ping", {})) for n in range(9))


def _example(kind: Any) -> Any:
    """Of the plainest kinds; others are for the search to find."""
    info = msgspec.inspect.type_info(kind)
    match info:
        case msgspec.inspect.StrType():
            return "x"
        case msgspec.inspect.IntType():
            return 1
        case msgspec.inspect.BoolType():
            return True
        case msgspec.inspect.BytesType():
            return b"x"
        case msgspec.inspect.DictType():
            return {"k": 1}
        case msgspec.inspect.ListType() | msgspec.inspect.VarTupleType():
            return ["x"]
        case msgspec.inspect.UnionType():
            return None
    return {}


def _message_of(data: bytes, draw: random.Random, *, skip: int) -> bytes:
    """A change inside of one message, whose length fits again. `skip`: bytes before the first."""
    messages, at = [], skip
    while at + _HEAD.size <= len(data):
        (length,) = _HEAD.unpack_from(data, at)
        messages.append(data[at + 4 : at + 4 + length])
        at += 4 + length
    if messages:
        which = draw.randrange(len(messages))
        messages[which] = changed(messages[which], draw, most=2)
        if draw.random() < 0.3:
            messages.insert(draw.randint(0, len(messages)), draw.choice(messages))
    return data[:skip] + b"".join(map(frames.frame, messages))


# ---- the client's side -----------------------------------------------------------------------------------------------
def run_client(data: bytes) -> None:
    """As `Link.read_for_ever` reads: each method is awaited under its number, and every answer is a result, an error of
    the public API, or the end of the connection."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        link = Link(ours, PlainChannel())
        link._waiting = {n: _Waiting(method, lambda item: None) for n, method in enumerate(METHODS)}
        waiting = dict(link._waiting)
        try:
            for message in link._reader.feed(data[1:]):
                told = frames.parse_answer(message)
                if isinstance(told, frames.Closing):
                    from_map(told.error)
                    break
                link._take(message)
        except (Violation, msgspec.ValidationError):
            return
        for number, one in waiting.items():
            if number not in link._waiting and one.error is None:
                _result(one)


def _result(one: _Waiting) -> None:
    try:
        _converted(one.method, one.result)
    except HostelError as error:
        assert error.code == "answer_unknown"


def client_seeds() -> Iterator[bytes]:
    for kind in KINDS:
        error = {"kind": kind, "code": "limit_exceeded", "message": "m", "retryable": True, "retry_after_ms": 5,
                 "details": {"balances": [{"amount": 1, "currency": "CNY"}]}, "ending": "trapped"}  # fmt: skip
        yield b"\0" + frames.frame(wire.error_response(1, error)) + frames.closing(error)
    for number, method in enumerate(METHODS):
        told = {field.encode_name: _example(field.type) for field in msgspec.structs.fields(method.result)}
        yield b"\0" + frames.item(number, told) + frames.frame(wire.response(number, told))


# ---- workers and compile children ------------------------------------------------------------------------------------
def run_worker(data: bytes) -> None:
    """What a worker sends, however it is cut, is the same frames, or a violation."""
    outcomes = []
    for size in (1 + (data[0] if data else 0), len(data) + 1):
        splitter, found = worker_frames.Splitter(lambda kind, number: MIB), []
        try:
            for piece in _pieces(data[1:], size):
                found += splitter.feed(piece)
            outcomes.append((found, splitter.kept_bytes))
        except worker_frames.Violation:
            outcomes.append("violation")
    assert outcomes[0] == outcomes[1]
    for _, _, body in outcomes[0][0] if outcomes[0] != "violation" else ():
        try:
            assert isinstance(worker_frames.done(body).ending, Ending)
        except worker_frames.Violation as violation:
            assert str(violation).isprintable()


def worker_seeds() -> Iterator[bytes]:
    done = worker_frames.DONE_HEAD.pack(*[0] * 10) + b"rest"
    yield b"\x03" + worker_frames.frame(1, 1, done) + worker_frames.frame(2, 7, b"x" * 300)


def run_compiled(data: bytes) -> None:
    """What a compile child answers, which may be the guest's word by then."""
    if not data:
        return
    try:
        judge(data[0] - 20, data[1:], data[1:], LIMITS)
    except ModuleError as error:
        assert isinstance(error.details, dict)
    except HostelError as error:
        assert error.code == "internal"


LIMITS: Final = CompileLimits()


def _answer(verdict: int, told: bytes, artifact: bytes = b"") -> bytes:
    return bytes((20,)) + HEAD.pack(MAGIC, verdict, len(told), len(artifact)) + told + artifact


def compiled_seeds() -> Iterator[bytes]:
    facts = msgspec.json.encode(check_module(module(), ModuleCaps(), MIB))
    yield _answer(0, facts, b"artifact")
    for verdict in (1, 2):
        yield _answer(verdict, json.dumps({"message": "m", "details": {"check": "abi", "n": [1]}}).encode())
    yield _answer(0, b'{"unknown":' + b"[" * 20_000 + b"]" * 20_000 + b"}", b"artifact")  # deeper than is read
    yield bytes((11,)) + b"signal"


def _told(data: bytes, draw: random.Random) -> bytes:
    """A change of its JSON, whose length fits again."""
    if len(data) <= HEAD.size:
        return data
    _, verdict, told_bytes, _ = HEAD.unpack_from(data, 1)
    begin = 1 + HEAD.size
    told, artifact = data[begin : begin + told_bytes], data[begin + told_bytes :]
    try:
        told = mutated_json.changed(told, draw)
    except (ValueError, RecursionError):
        told = changed(told, draw)
    if draw.random() < 0.02:
        told = told.replace(b"1", b"[" * 20_000 + b"]" * 20_000, 1)
    return _answer(verdict, told, artifact)


PROTOCOLS: Final = (
    Target(name="control-server", about="what clients send to the daemon", opened=simply(run_server),
           seeds=server_seeds, changes=(partial(_message_of, skip=2),)),
    Target(name="control-client", about="what a daemon sends to a client", opened=simply(run_client),
           seeds=client_seeds, changes=(partial(_message_of, skip=1),)),
    Target(name="worker", about="frames of a worker", opened=simply(run_worker), seeds=worker_seeds),
    Target(name="compiled", about="the answer of a compile child", opened=simply(run_compiled), seeds=compiled_seeds,
           changes=(_told,)),
)  # fmt: skip
