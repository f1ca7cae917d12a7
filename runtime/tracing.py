"""One OpenTelemetry span for each call, where the process has an SDK; nothing at all where it has none.

What lives here: the span's name and attributes, and whose child it is. Only the API is needed; which SDK and where it
sends is the operator's: `opentelemetry-instrument hostel serve`, or a provider that a service sets before it opens a
host. No user and no parameter of a call is told. To other hosts (http.fetch) nothing of a trace is sent.
"""

from __future__ import annotations

from typing import Any, Final

from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, ProxyTracerProvider, SpanContext, SpanKind, Status, StatusCode

from runtime import traceparent
from runtime.errors import Ending
from runtime.receipt import Receipt
from runtime.session import CallSession

NAME: Final = "hostel"


class Tracing:
    """Spans of one host's calls. Used from its trio thread."""

    def __init__(self, provider: trace.TracerProvider) -> None:
        self._tracer = provider.get_tracer(NAME)

    def begin(self, session: CallSession, method: str) -> None:
        """A span for the call, child of what `session.traceparent` names; from then on that names the span, so that
        calls inside of this one are its children."""
        parent = traceparent.parse(session.traceparent)
        span = self._tracer.start_span(
            session.app_id, context=None if parent is None else _context(parent), kind=SpanKind.SERVER,
            attributes={
                "rpc.system": NAME, "rpc.service": session.app_id, "rpc.method": method,
                "hostel.call_id": session.call_id, "hostel.release": session.release_name,
            },
        )  # fmt: skip
        session.span = span
        here = span.get_span_context()
        if here.is_valid:
            session.traceparent = f"00-{here.trace_id:032x}-{here.span_id:016x}-{here.trace_flags:02x}"
            if session.trace_id == session.call_id:  # nobody named a trace
                session.trace_id = f"{here.trace_id:032x}"

    def ended(self, receipt: Receipt, session: CallSession) -> None:
        """An observer of `Calls`."""
        span: Any = session.span
        if span is None:
            return
        session.span = None
        span.set_attribute("hostel.ending", receipt.ending.value)
        span.set_attribute("hostel.cpu_us", receipt.usage.cpu_us)
        span.set_attribute("hostel.host_calls", receipt.usage.host_calls)
        if receipt.ending is not Ending.COMPLETED:
            span.set_status(Status(StatusCode.ERROR, receipt.ending.value))
        span.end()


def of_this_process() -> Tracing | None:
    """None where no SDK is set up: a span that nobody sees would cost each call some microseconds."""
    provider = trace.get_tracer_provider()
    return None if isinstance(provider, ProxyTracerProvider | trace.NoOpTracerProvider) else Tracing(provider)


def _context(parent: traceparent.Traceparent) -> Any:
    remote = SpanContext(
        trace_id=int(parent.trace_id, 16), span_id=int(parent.span_id, 16), is_remote=True,
        trace_flags=trace.TraceFlags(parent.flags),
    )  # fmt: skip
    return trace.set_span_in_context(NonRecordingSpan(remote))
