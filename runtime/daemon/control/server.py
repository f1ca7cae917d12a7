"""The control server: listens, lets in, bounds, and gives requests to those who answer them.

What lives here: who is connected, and one request's way from its connection to its answer and back. What a method does
is in answers.py; the rules of a connection in connection.py; its socket in peer.py.
"""

from __future__ import annotations

import secrets
from collections import Counter, deque
from collections.abc import Mapping
from typing import Any, Final

import msgspec
import trio

from runtime import wire
from runtime.control.calling import CALL, HELLO, PROTOCOL, Hello, Welcome
from runtime.control.failures import to_map
from runtime.control.frames import Request
from runtime.control.method import ControlParams, Result, Role, allows
from runtime.control.methods import BY_NAME
from runtime.daemon.control.access import Access
from runtime.daemon.control.answers import Answer
from runtime.daemon.control.connection import Stop, too_many
from runtime.daemon.control.peer import Peer, WrongToken
from runtime.daemon.control.running import Begin, Running
from runtime.daemon.control.settings import ControlSettings
from runtime.errors import AccessDenied, ControlError, HostClosed, HostelError, UsageError
from runtime.log import logger

_log = logger("control")
AT_ONCE: Final = 64
"""Connections that are looked at, and requests that are stopped, before others have their turn."""
SENT_AT_ONCE: Final = 512
"""Connections that are sent to in one turn."""


class ControlServer:
    """All connections of one daemon. `answers`: method → what answers it. Used from the trio thread that made it, which
    calls `end_turn` at the end of each turn of its loop (reactor.py)."""

    def __init__(
        self, *, settings: ControlSettings, nursery: trio.Nursery, answers: Mapping[str, Answer],
        begin_call: Begin | None = None,
    ) -> None:  # fmt: skip
        self.settings = settings
        self.nursery = nursery
        self.buffered = 0
        """Bytes of unfinished frames and unfetched answers, of all connections."""
        self.access = Access(settings)
        self.peers: set[Peer] = set()
        self._strangers: dict[Peer, str] = {}
        """Of `peers`, those who have shown no token yet, in the order that they came, and whose they count as."""
        self.where: list[str] = []
        """Where it listens: a path, `host:port`."""
        self.draining = False
        self.outstanding = 0
        """Requests under way, of all connections."""
        self.one_by_one = trio.Lock()
        """Held by a client of whom more came than is begun at once, for one turn: in the order that they came."""
        self.reading = trio.CapacityLimiter(1)
        """Large messages that are read in a thread."""
        self._answers = answers
        self._begin_call = begin_call
        self._dirty: list[Peer] = []
        self._stops: deque[Stop] = deque()
        """How to stop requests whose clients are gone."""
        self._token = trio.lowlevel.current_trio_token()
        self._quiet: trio.Event | None = None

    # ---- connections -------------------------------------------------------------------------------------------------
    @property
    def strangers(self) -> int:
        return len(self._strangers)

    def full(self, role: Role | None) -> bool:
        """Whether one more of that role is one too many."""
        kept = 0 if role is Role.OPERATOR else self.settings.reserved
        return len(self.peers) >= self.settings.connections - kept

    def admit(self, peer: Peer, address: str = "") -> Peer:
        """One more is connected; until `gone`. `address`: whose a stranger counts as."""
        self.peers.add(peer)
        if peer.connection.role is None:
            if self.strangers >= self.settings.strangers:
                self._send_a_stranger_away()
            self._strangers[peer] = address
        return peer

    def _send_a_stranger_away(self) -> None:
        """Of the address that has the most, who came first: who has a token shows it within milliseconds. Without a
        word: a word would cost a handshake."""
        most = Counter(self._strangers.values()).most_common(1)[0][0]
        next(peer for peer, address in self._strangers.items() if address == most).close()

    def gone(self, peer: Peer, why: HostelError | None) -> None:
        self.peers.discard(peer)
        self._strangers.pop(peer, None)
        if why is not None:
            _log.info("control connection closed", client=peer.name, reason=why.message)

    async def sweep(self) -> None:
        """Looks for connections whose time is over, for ever."""
        settings = self.settings
        pause = min(settings.hello_s, settings.frame_s, settings.write_s, settings.idle_s, 20.0) / 4
        while True:
            await trio.sleep(pause)
            now = trio.current_time()
            for number, peer in enumerate(tuple(self.peers), 1):
                peer.check(now)
                if not number % AT_ONCE:  # all of a crowd may be closed, which takes a while
                    await trio.lowlevel.checkpoint()

    def stop(self, stops: list[Stop]) -> None:
        """What a client asked for that is gone: some each turn."""
        if stops and not self._stops:
            self.nursery.start_soon(self._stop_all, name="control stops")
        self._stops += stops

    async def _stop_all(self) -> None:
        with trio.CancelScope(shield=True):
            while self._stops:
                for _ in range(min(AT_ONCE, len(self._stops))):
                    try:
                        self._stops.popleft()()
                    except Exception as error:  # a bug of ours: of this request alone
                        _log.error("a request could not be stopped", exc_info=error)
                await trio.lowlevel.checkpoint()

    # ---- sending -----------------------------------------------------------------------------------------------------
    def wake(self, peer: Peer) -> None:
        """Have sent what the peer is owed, once for all that is added in this turn."""
        if not peer.dirty:
            peer.dirty = True
            self._dirty.append(peer)

    def end_turn(self) -> None:
        """Sends the answers that came while their connection's own task did not run. The loop is about to sleep: where
        that woke somebody it is told to look again."""
        if self._dirty:
            dirty, self._dirty = self._dirty[:SENT_AT_ONCE], self._dirty[SENT_AT_ONCE:]
            if sum(map(self._settle, dirty)) or self._dirty:
                self._token.run_sync_soon(_look_again)

    def _settle(self, peer: Peer) -> bool:
        try:
            return peer.settle()
        except Exception as error:  # a bug of ours: of this connection alone
            _log.error("a connection could not be sent to", client=peer.name, exc_info=error)
            peer.close()
            return True

    # ---- requests ----------------------------------------------------------------------------------------------------
    def dispatch(self, peer: Peer, request: Request) -> None:
        """Answers a request, or begins to."""
        try:
            self._dispatch(peer, request)
        except WrongToken:
            raise
        except Exception as error:
            self._fail(peer, request.msgid, request.method, error)

    def _dispatch(self, peer: Peer, request: Request) -> None:
        connection, role = peer.connection, peer.connection.role
        declared = BY_NAME.get(request.method)
        if role is None:
            role = self._identify(peer, request)
        if declared is None or (request.method not in self._answers and declared is not HELLO):
            raise unknown_method(request.method)
        if not allows(role, declared.role):
            raise AccessDenied(f"{request.method} is for {declared.role}s, and this connection is of a {role}")
        params = _params(declared.params, request.params)
        if params.key is not None and not declared.keyed:
            raise UsageError(f"{request.method} takes no $key", code="invalid_params", details={"path": "$.$key"})
        if declared is HELLO:
            connection.answer(request.msgid, self._welcome(peer, params))
            return
        answer = self._answers[request.method]
        if not declared.waits:
            connection.answer(request.msgid, answer.run(params))
            return
        self._begin(peer, request, answer, params)

    def _identify(self, peer: Peer, request: Request) -> Role:
        """By its token, which the first request of a connection over TCP shows."""
        token = request.params.get("$token")
        if type(token) is not str:
            raise AccessDenied("show a token first: hello with $token")
        found = self.access.of_token(token)
        if found is None:
            _log.warning("a wrong token was shown", client=peer.name)
            denied = AccessDenied("no such token")
            raise WrongToken(lambda: self._fail(peer, request.msgid, request.method, denied))
        role, name = found
        if len(self.peers) >= self.settings.connections - (0 if role is Role.OPERATOR else self.settings.reserved):
            raise ControlError("too many connections", code="overloaded")
        peer.connection.admit(role)
        peer.name, peer.who = f"{peer.name} {name}", f"token {name}"
        self._strangers.pop(peer, None)
        return role

    def _welcome(self, peer: Peer, params: Hello) -> Welcome:
        if params.client:
            _log.debug("hello", client=peer.name, program=params.client)
        connection = peer.connection
        return Welcome(
            protocol=PROTOCOL, role=connection.role or Role.CALLER, frame_bytes=connection.frame_bytes,
            outstanding=self.settings.outstanding,
        )  # fmt: skip

    def _begin(self, peer: Peer, request: Request, answer: Answer, params: ControlParams) -> None:
        """A request that waits: its answer comes later, or its refusal."""
        if self.draining:
            raise HostClosed("the host is closing: no new requests")
        if self.outstanding >= self.settings.outstanding_all:
            raise too_many("outstanding_all", self.settings.outstanding_all)
        if answer.stream and peer.streams >= self.settings.streams:
            raise too_many("streams", self.settings.streams)
        msgid, method = request.msgid, request.method
        self.outstanding += 1
        peer.streams += answer.stream

        def done(outcome: Result | Exception) -> None:
            self.outstanding -= 1
            peer.streams -= answer.stream
            if self._quiet is not None and not self.outstanding:
                self._quiet.set()
            if not peer.connection.closed:
                self._finish(peer, msgid, method, outcome)

        if method == CALL.name and self._begin_call is not None:
            try:
                stop = self._begin_call(params, done)
            except Exception as error:
                done(error)
                return
            if stop is not None:
                peer.connection.stoppable(msgid, stop)
                return
        running = Running(answer, params, peer, msgid, done)
        peer.connection.stoppable(msgid, running.stop)
        self.nursery.start_soon(running.run, name=f"control {method}")

    def _finish(self, peer: Peer, msgid: int, method: str, outcome: Result | Exception) -> None:
        if isinstance(outcome, Exception):
            self._fail(peer, msgid, method, outcome)
        else:
            try:
                peer.connection.answer(msgid, outcome)
            except wire.Unencodable as error:
                self._fail(peer, msgid, method, error)
        peer.wake()

    def _fail(self, peer: Peer, msgid: int, method: str, error: Exception) -> None:
        told = None if isinstance(error, wire.Unencodable) else to_map(error)
        if told is not None:
            try:
                peer.connection.fail_as(msgid, told)
                return
            except wire.Unencodable as unencodable:  # what it is to be told of has no form there
                error = unencodable
        incident = secrets.token_hex(8)
        _log.error("control request failed", incident=incident, method=method, client=peer.name, exc_info=error)
        fault = HostelError(f"a fault of the host, incident {incident}", details={"incident": incident})
        peer.connection.fail(msgid, fault)

    # ---- the end -----------------------------------------------------------------------------------------------------
    async def drain(self, seconds: float) -> None:
        """No new requests that wait; ends those that follow something for ever, and waits for the others under way,
        `seconds` at most. Connections stay open: what is left is answered by whatever ends it."""
        self.draining = True
        for running in [running for peer in self.peers for running in peer.endless]:
            running.end()
        with trio.move_on_after(seconds):
            while self.outstanding:
                self._quiet = trio.Event()
                await self._quiet.wait()


def _look_again() -> None:
    """A turn of the loop more."""


def unknown_method(name: str) -> UsageError:
    return UsageError(f"no method {ascii(name)[:80]} here: see docs/control.md", code="unknown_method")


def _params(kind: type[ControlParams], given: Mapping[str, Any]) -> Any:
    """Raises UsageError `invalid_params` that says where and what."""
    try:
        return msgspec.convert(given, kind)
    except msgspec.ValidationError as error:
        what, at, path = str(error).rpartition(" - at ")
        problem, place = (what, path.strip("`")) if at else (str(error), "$")
        raise UsageError(
            f"{ascii(problem)[1:-1][:200]} at {ascii(place)[1:-1][:100]}", code="invalid_params",
            details={"path": place[:100], "problem": problem[:200]},
        ) from None  # fmt: skip
