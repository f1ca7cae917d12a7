"""Where the hosts of the hostile and conformance suites run their guests: in process, or, with HOSTEL_WORKERS=1, in a
jailed worker. Same messages, same limits, same verdicts, same receipts."""

from __future__ import annotations

import os

from runtime.worker_settings import WorkerSettings

WORKERS = os.environ.get("HOSTEL_WORKERS", "") not in ("", "0")


def in_workers(slots: int) -> WorkerSettings | None:
    """The settings to open a host with. One worker; patient, as the machine may be full."""
    return WorkerSettings(count=1, slots=slots, heartbeat_s=5.0, start_s=60.0) if WORKERS else None
