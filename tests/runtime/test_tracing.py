"""Traces: the text of a traceparent, and spans through the API of OpenTelemetry, on a provider of our own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from runtime import traceparent, tracing
from runtime.errors import Ending
from runtime.receipt import Receipt, Usage
from runtime.testing import make_session
from runtime.tracing import Tracing

TEXT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.mark.parametrize(
    "text",
    [
        "", TEXT[:-1], TEXT + "0", TEXT.upper(), TEXT.replace("00-", "01-", 1), TEXT.replace("00-", "ff-", 1),
        TEXT.replace("-01", "-0g"), f"00-{'0' * 32}-b7ad6b7169203331-01",
        f"00-0af7651916cd43dd8448eb211c80319c-{'0' * 16}-01", TEXT.replace("-", "_"), "\n" + TEXT[1:], TEXT[:-1] + "\n",
        TEXT.replace("0", "٠", 1),
    ],
)  # fmt: skip
def test_what_is_not_valid_is_no_trace(text: str) -> None:
    assert traceparent.parse(text) is None


@given(st.binary(min_size=16, max_size=16), st.binary(min_size=8, max_size=8), st.integers(0, 255))
def test_what_is_valid_comes_back(trace_id: bytes, span_id: bytes, flags: int) -> None:
    text = f"00-{trace_id.hex()}-{span_id.hex()}-{flags:02x}"
    parsed = traceparent.parse(text)
    assert (parsed is None) == (not any(trace_id) or not any(span_id))
    assert parsed is None or (str(parsed) == text and parsed == (trace_id.hex(), span_id.hex(), flags))


@given(st.text(max_size=60))
def test_any_text_is_answered(text: str) -> None:
    parsed = traceparent.parse(text)
    assert parsed is None or str(parsed) == text


class Kept(NonRecordingSpan):
    """A span that remembers."""

    def __init__(self, context: SpanContext, name: str, parent: SpanContext, attributes: Any) -> None:
        super().__init__(context)
        self.name, self.parent, self.attributes = name, parent, dict(attributes)
        self.failed, self.over = "", 0

    def set_attribute(self, key: str, value: Any) -> None:
        self.attributes[key] = value

    def set_status(self, status: Any, description: str | None = None) -> None:
        self.failed = status.description

    def end(self, end_time: int | None = None) -> None:
        self.over += 1


class Provider(trace.TracerProvider, trace.Tracer):
    def __init__(self) -> None:
        self.spans: list[Kept] = []

    def get_tracer(self, *names: Any, **options: Any) -> trace.Tracer:
        return self

    def start_span(self, name: str, context: Any = None, *_: Any, **options: Any) -> trace.Span:
        parent = trace.get_current_span(context).get_span_context()
        own = SpanContext(
            trace_id=parent.trace_id or 7, span_id=len(self.spans) + 1, is_remote=False, trace_flags=TraceFlags(1)
        )
        self.spans.append(Kept(own, name, parent, options["attributes"]))
        return self.spans[-1]

    def start_as_current_span(self, *_: Any, **options: Any) -> Any:
        raise AssertionError("no span is ever the current one: tasks would inherit it")


@pytest.fixture
def provider() -> Iterator[Provider]:
    yield Provider()


def receipt(ending: Ending = Ending.COMPLETED) -> Receipt:
    return Receipt(call_id="c", app_id="a", release="1", method="m", ending=ending, usage=Usage(cpu_us=5, host_calls=2))


def test_a_call_is_one_span_under_the_callers(provider: Provider) -> None:
    session, spans = make_session(traceparent=TEXT, trace_id=TEXT[3:35]), Tracing(provider)
    spans.begin(session, "cart.show")
    (span,) = provider.spans
    assert f"{span.parent.trace_id:032x}" == TEXT[3:35] and f"{span.parent.span_id:016x}" == TEXT[36:52]
    assert (span.name, span.attributes["rpc.method"]) == ("org.example.shop", "cart.show")
    assert session.traceparent == f"00-{TEXT[3:35]}-{1:016x}-01" and session.trace_id == TEXT[3:35]
    spans.ended(receipt(), session)
    spans.ended(receipt(), session)
    assert (span.over, span.failed, span.attributes["hostel.ending"]) == (1, "", "completed")
    assert not any("alice" in str(value) for value in span.attributes.values())


def test_a_call_inside_a_call_is_a_child(provider: Provider) -> None:
    spans, outer = Tracing(provider), make_session()
    spans.begin(outer, "a")
    inner = make_session(traceparent=outer.traceparent)
    spans.begin(inner, "b")
    assert provider.spans[1].parent.span_id == provider.spans[0].get_span_context().span_id


def test_where_nobody_named_a_trace_the_spans_is_it(provider: Provider) -> None:
    session = make_session(trace_id="call-1", call_id="call-1")
    Tracing(provider).begin(session, "a")
    assert session.trace_id == f"{7:032x}"
    named = make_session(trace_id="of-the-platform")
    Tracing(provider).begin(named, "a")
    assert named.trace_id == "of-the-platform"


@pytest.mark.parametrize("ending", [Ending.TRAPPED, Ending.FAILED, Ending.WORKER_LOST])
def test_a_call_that_did_not_complete_is_an_error_by_its_ending(provider: Provider, ending: Ending) -> None:
    session, spans = make_session(), Tracing(provider)
    spans.begin(session, "a")
    spans.ended(receipt(ending), session)
    assert provider.spans[0].failed == ending.value


def test_without_an_sdk_there_is_nothing() -> None:
    assert tracing.of_this_process() is None


def test_with_one_there_is(monkeypatch: pytest.MonkeyPatch, provider: Provider) -> None:
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    assert isinstance(tracing.of_this_process(), Tracing)
