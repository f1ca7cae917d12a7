"""What `/metrics` shows beside the calls: the host as it is when somebody looks.

What lives here: names and texts. Labels have values of closed lists only: codes, states, groups.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from runtime.host import Host


def figures(host: Host) -> Iterator[Metric]:
    """Of one host; for `Metrics.also`."""
    told = host.status()
    statistics, journal = told.statistics, told.journal
    for name, text, value in (
        ("hostel_up_seconds", "Since the host was opened.", told.up_us / 1e6),
        ("hostel_draining", "1 while no new calls are taken.", told.draining),
        ("hostel_calls_in_flight", "Calls under way.", statistics.calls_in_flight),
        ("hostel_calls_queued", "Calls that wait for their program's turn.", statistics.calls_queued),
        ("hostel_sandboxes", "Sandboxes alive.", statistics.sandboxes),
        ("hostel_slots", "Sandboxes there may be.", statistics.slots),
        ("hostel_prompts_open", "Prompts that wait for their users.", statistics.prompts_open),
        ("hostel_fetches", "Requests to other hosts, under way.", statistics.fetches),
        ("hostel_programs", "Programs installed.", statistics.programs),
        ("hostel_resident_bytes", "Memory of the broker.", told.resident_bytes),
    ):
        yield GaugeMetricFamily(name, text, value=float(value))
    yield CounterMetricFamily("hostel_store_commits", "Transactions that reached the disk.", value=told.commits)
    yield CounterMetricFamily("hostel_store_writes", "Jobs in them.", value=told.writes)
    if journal is not None:
        yield CounterMetricFamily("hostel_journal_dropped", "Receipts and lines that were not kept.",
                                  value=journal.dropped)  # fmt: skip
        yield GaugeMetricFamily("hostel_journal_failing", "1 while the disk refuses it.", value=journal.failing)
    yield _labelled(CounterMetricFamily("hostel_denials", "Requests of guests that were refused, by code.",
                                        labels=["code"]), host.denials())  # fmt: skip
    yield _labelled(CounterMetricFamily("hostel_modules_compiled", "Modules that went to the compiler, by result.",
                                        labels=["result"]), host.compiled())  # fmt: skip
    yield _labelled(GaugeMetricFamily("hostel_workers", "Executor workers, by state.", labels=["state"]),
                    Counter(worker.state for worker in told.workers))  # fmt: skip
    yield GaugeMetricFamily("hostel_workers_resident_bytes", "Memory of all workers.",
                            value=sum(worker.resident_bytes for worker in told.workers))  # fmt: skip
    yield CounterMetricFamily("hostel_worker_restarts", "Workers that took the place of one that died.",
                              value=sum(worker.restarts for worker in told.workers))  # fmt: skip


def _labelled(family: CounterMetricFamily | GaugeMetricFamily, values: Counter[str]) -> Metric:
    for label, value in sorted(values.items()):
        family.add_metric([label], value)
    return family
