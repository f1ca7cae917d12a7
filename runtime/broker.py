"""The broker: checks a guest's request and has it answered. docs/protocol.md §5.

Pure dispatch: no wasmtime, no I/O of its own, no knowledge of any concrete service. The order of the checks is the
precedence of the errors, and nothing has an effect before the service runs:

    decode → msgid not outstanding → method known → capability held → params valid → service

Bytes that are no request raise MalformedMessage and end the call. Everything else is an answer the guest lives with:
what a service raises as ApiError is told to it, anything else is a fault of ours, told as `internal` with an incident
id that the log carries too, together with the traceback.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import Annotated, Any, Final, Literal, NamedTuple, TypeAlias, get_args, get_origin

import msgspec

from host_api.contract import Bound, Clock, Method, Params
from host_api.errors import ApiError, ErrorCode, limit_exceeded
from host_api.program import DELEGABLE
from runtime import wire
from runtime.deadline import Deadline
from runtime.error_response import error_response, quoted
from runtime.errors import Ending
from runtime.log import logger
from runtime.session import CallSession

_log = logger("broker")

LINE_BYTES_MAX: Final = 4096
"""A line of standard output is broken here."""
REFUSALS_MAX: Final = 10_000
"""Distinct (program, method, code) counted between two drains; beyond it programs are counted together, as ''."""
_FIELDS: Final[dict[type[Params], tuple[msgspec.structs.FieldInfo, ...]]] = {}
_TAKEN: Final[dict[type[Params], str]] = {}
"""As told in `_parameters`. Both are of a process, as declarations are: one entry a method."""
Run: TypeAlias = Callable[[Any, Any], Any]
OnRefusal: TypeAlias = Callable[[CallSession, str, ApiError], None]

_LEVELS: Final = {1: "info", 2: "warning"}
"""Standard output, standard error → level of its lines in the program's log."""


class Route(NamedTuple):
    """What answering one method takes, looked up once a request."""

    run: Run
    convert: Callable[[Mapping[str, Any]], Any]
    """To the method's Params, or msgspec.ValidationError."""
    capability: str | None
    waits: bool
    cure: str


def _route(bound: Bound) -> Route:
    method = bound.method
    convert = partial(msgspec.convert, type=method.params)
    if any(_holds_bytes(f.type) for f in _fields(method.params)):
        convert = partial(convert, builtin_types=(bytes,))  # else a text passes for bytes, read as base64
    return Route(bound.run, convert, method.capability, method.waits, _parameters(method))


def _fields(params: type[Params]) -> tuple[msgspec.structs.FieldInfo, ...]:
    """Found out once a process: each time anew it would be a third of what opening a host takes."""
    if params not in _FIELDS:
        _FIELDS[params] = msgspec.structs.fields(params)
    return _FIELDS[params]


def _holds_bytes(annotation: Any) -> bool:
    return annotation is bytes or any(_holds_bytes(part) for part in get_args(annotation))


def _parameters(method: Method[Any, Any]) -> str:
    """One line that says what the method takes, for the error of a request that does not fit it."""
    if method.params not in _TAKEN:
        _TAKEN[method.params] = ", ".join(map(_parameter, _fields(method.params))) or "no parameters"
    return f"{method.name} takes {_TAKEN[method.params]}"


def _parameter(field: msgspec.structs.FieldInfo) -> str:
    annotation = get_args(field.type)[0] if get_origin(field.type) is Annotated else field.type
    values = " or ".join(get_args(annotation)) if get_origin(annotation) is Literal else ""
    known = ": ".join(filter(None, ("" if field.required else "optional", values)))
    return f"{field.encode_name} ({known})" if known else field.encode_name


def _methods_of(names: Iterable[str]) -> dict[str, str]:
    """Service → its methods, as one text."""
    services: dict[str, list[str]] = {}
    for name in sorted(names):
        service, _, method = name.partition(".")
        services.setdefault(service, []).append(method)
    return {service: ", ".join(methods) for service, methods in services.items()}


class Broker:
    """The services of a host, and the count of what was refused. One for all calls; used from the trio thread only."""

    def __init__(self, services: Mapping[str, Bound], *, clock: Clock, new_incident: Callable[[], str]) -> None:
        """`services`: method name → what answers it (host_api.services.build). `new_incident` makes ids for faults."""
        self.routes = {name: _route(bound) for name, bound in services.items()}
        self.methods_of = _methods_of(services)
        self.now_us = clock.now_us
        self._new_incident = new_incident
        self._refusals: dict[tuple[str, str, str], int] = {}
        self.denials: Counter[str] = Counter()
        """Code → how often, since the host was opened."""
        self.on_refusal: OnRefusal | None = None
        """See `Host.watch`."""

    def open(self, session: CallSession) -> BrokerCall:
        """The host side of one call. Its `close` is to be called when the call is over."""
        return BrokerCall(self, session)

    async def ask(self, session: CallSession, method: str, params: Mapping[str, Any]) -> Any:
        """A request made for a session by another one, to which it was delegated (program.as_caller). The same checks
        in the same order. Raises ApiError, also the method's own."""
        route = self.routes.get(method)
        if route is None:
            raise self.unknown(method)
        if route.capability not in DELEGABLE:
            raise ApiError(
                ErrorCode.INVALID_PARAMS,
                f"{method} cannot be delegated; what can: methods of {', '.join(sorted(DELEGABLE))}",
                details={"path": "$.method", "problem": "not of a capability that can be delegated"},
            )
        result = route.run(session, self.admit(session, route, params))
        return await result if route.waits else result

    def admit(self, session: CallSession, route: Route, params: Mapping[str, Any]) -> Any:
        """The validated parameters of a request that may be carried out. Raises ApiError."""
        if route.capability is not None:
            session.authority.require(route.capability, self.now_us())
        try:
            return route.convert(params)
        except msgspec.ValidationError as error:
            raise _invalid(str(error), route.cure) from None

    def unknown(self, method: str) -> ApiError:
        service = method.partition(".")[0]
        known = self.methods_of.get(service)
        hint = f"{service} has {known}" if known else ErrorCode.UNKNOWN_METHOD.cure
        return ApiError(ErrorCode.UNKNOWN_METHOD, f"no method {quoted(method)}: {hint}")

    def drain_refusals(self) -> Mapping[tuple[str, str, str], int]:
        """(app_id, method, code) → how often since the last drain; method '' where there is no such method."""
        drained, self._refusals = self._refusals, {}
        return drained

    def count_refusal(self, app_id: str, method: str, code: ErrorCode, times: int = 1) -> None:
        key = (app_id, method if method in self.routes else "", code.code)
        if key not in self._refusals and len(self._refusals) >= REFUSALS_MAX:
            key = ("", *key[1:])
        self._refusals[key] = self._refusals.get(key, 0) + times
        self.denials[code.code] += times

    def fault(self, session: CallSession, method: str, error: Exception) -> ApiError:
        """A bug of ours: logged with its traceback, told to the guest by its incident id alone."""
        incident = self._new_incident()
        _log.error(
            "service failed", incident=incident, app_id=session.app_id, call_id=session.call_id,
            trace_id=session.trace_id, method=method, exc_info=error,
        )  # fmt: skip
        return ApiError(ErrorCode.INTERNAL, f"a fault of the host, incident {incident}", details={"incident": incident})


class BrokerCall:
    """What one guest call asks of the host (runtime.sandbox.sandbox.HostSide). Dead after `close`."""

    __slots__ = ("_broker", "_outstanding", "_partial", "_request_max", "_response_max", "_routes", "cut_as", "cut_why",
                 "deadline", "session")  # fmt: skip

    def __init__(self, broker: Broker, session: CallSession) -> None:
        self.session = session
        self.deadline: Deadline = session.deadline
        self._broker = broker
        self._routes = broker.routes
        self._request_max = session.limits.request_bytes
        self._response_max = session.limits.response_bytes
        self._outstanding: set[int] = set()
        self._partial: dict[int, bytes] = {}
        self.cut_as: Ending | None = None
        """How it ends, instead of by its deadline, once `cut`."""
        self.cut_why = ""

    def cut(self, ending: Ending, why: str) -> None:
        """The call is over now, and ends so: the host closes, its program or its user is gone."""
        self.cut_as, self.cut_why = ending, why
        self.session.deadline.cut()

    # ---- requests ----------------------------------------------------------------------------------------------------
    def answer(self, request: bytes) -> bytes | Awaitable[bytes | None] | None:
        """The response; None for a notification, whatever became of it.

        Bytes at once from a method that does not wait, and for every refusal before the service. Otherwise a coroutine
        to be awaited (or closed): it has begun nothing until then; cancelling it lets trio.Cancelled through.
        Raises MalformedMessage for bytes that are no request, or use an outstanding msgid again: the call is over.
        """
        msgid, method, params = wire.parse_request(request, self._request_max)
        if msgid in self._outstanding:
            raise _used_again()
        try:
            route = self._routes.get(method)
            if route is None:
                raise self._broker.unknown(method)
            values = self._broker.admit(self.session, route, params)
            if route.waits:
                return self._wait(msgid, method, route.run, values)
            result = route.run(self.session, values)
        except ApiError as error:
            return self._refused(msgid, method, error)
        except Exception as error:
            return self._refused(msgid, method, self._broker.fault(self.session, method, error))
        return None if msgid is None else self._answered(msgid, method, result)

    def _wait(self, msgid: int | None, method: str, run: Run, values: Any) -> Awaitable[bytes | None]:
        if msgid is not None:
            self._outstanding.add(msgid)
        return self._awaited(msgid, method, run, values)

    async def _awaited(self, msgid: int | None, method: str, run: Run, values: Any) -> bytes | None:
        try:
            result = await run(self.session, values)
        except ApiError as error:
            return self._refused(msgid, method, error)
        except Exception as error:
            return self._refused(msgid, method, self._broker.fault(self.session, method, error))
        finally:
            if msgid is not None:
                self._outstanding.discard(msgid)
        return None if msgid is None else self._answered(msgid, method, result)

    def _answered(self, msgid: int, method: str, result: Any) -> bytes | None:
        try:
            response = wire.response(msgid, result)
        except wire.Unencodable as error:
            return self._refused(msgid, method, self._broker.fault(self.session, method, error))
        if len(response) > self._response_max:
            too_long = limit_exceeded("response_bytes", self._response_max, len(response), "bytes", "the response")
            return self._refused(msgid, method, too_long)
        return response

    def _refused(self, msgid: int | None, method: str, error: ApiError) -> bytes | None:
        self.session.usage.denials += 1
        self._broker.count_refusal(self.session.app_id, method, error.code)
        if self._broker.on_refusal is not None:
            self._broker.on_refusal(self.session, method, error)
        return None if msgid is None else error_response(msgid, error, self._response_max)

    def refuse(self, request: bytes, error: ApiError) -> bytes | None:
        """The response that says no, for a request over a limit of the call, which is not read: its first
        wire.HEAD_BYTES are enough. None for a notification. The executor counts it; raises MalformedMessage."""
        msgid = wire.msgid_of(request)
        if msgid in self._outstanding:
            raise _used_again()
        self._broker.count_refusal(self.session.app_id, "", error.code)
        return None if msgid is None else error_response(msgid, error, self._response_max)

    def refused_elsewhere(self, count: int) -> None:
        """So many requests over a limit of the call were answered by the executor itself."""
        self._broker.count_refusal(self.session.app_id, "", ErrorCode.LIMIT_EXCEEDED, count)

    # ---- standard output ---------------------------------------------------------------------------------------------
    def log(self, stream: int, data: bytes) -> None:
        """Standard output (1) or error (2) to lines of the program's log. What is not UTF-8 is replaced; a line without
        its end is kept, LINE_BYTES_MAX at most, until more comes or `close`."""
        if self.session.usage.log_cut:
            return
        *lines, rest = (self._partial.get(stream, b"") + data).split(b"\n")
        self._lines(stream, lines)
        while len(rest) >= LINE_BYTES_MAX:
            self._lines(stream, (rest[:LINE_BYTES_MAX],))
            rest = rest[LINE_BYTES_MAX:]
        self._partial[stream] = rest

    def _lines(self, stream: int, lines: Iterable[bytes]) -> None:
        level = _LEVELS.get(stream, "info")
        for line in lines:
            if self.session.usage.log_cut:
                return
            for at in range(0, len(line) or 1, LINE_BYTES_MAX):
                self.session.log(level, line[at : at + LINE_BYTES_MAX].decode(errors="replace"))

    # ---- memory held for the guest -----------------------------------------------------------------------------------
    def hold(self, size: int) -> bool:
        """Room for a response kept for the guest, on its program's account; False where there is none."""
        return self.session.holdings.hold(size, self.session.limits.held_bytes)

    def release(self, size: int) -> None:
        self.session.holdings.release(size)

    def close(self) -> None:
        """The call is over: lines without an end are written. May be called again."""
        if not self._partial:
            return
        try:
            for stream, rest in self._partial.items():
                if rest:
                    self._lines(stream, (rest,))
        except Exception as error:  # the platform's sink: the call has ended, and its place is to be given back
            self._broker.fault(self.session, "", error)
        self._partial.clear()


def _used_again() -> wire.MalformedMessage:
    return wire.MalformedMessage("the msgid of an outstanding request was used again")


def _invalid(problem: str, cure: str) -> ApiError:
    """From msgspec's words, `Expected `str`, got `int` - at `$.key``, which may quote names of the guest's choosing."""
    what, at, path = problem.rpartition(" - at ")
    what, path = (quoted(what), quoted(path.strip("`"))) if at else (quoted(problem), "$")
    return ApiError(ErrorCode.INVALID_PARAMS, f"{what} at {path}; {cure}", details={"path": path, "problem": what})
