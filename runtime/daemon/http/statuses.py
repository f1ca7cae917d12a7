"""Error codes to HTTP statuses: one table, for the codes that answers have (docs/protocol.md §5.3–5.5, §16.3).

What lives here: the table and nothing else. The code is what a client goes by; the status is for what stands between:
proxies, browsers, dashboards. A code that is missing here is answered as a fault of the server, 500.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_BY_STATUS: Final[Mapping[int, str]] = {
    400: "invalid_argument invalid_params request_malformed body_malformed upgrade_refused",
    401: "token_missing token_invalid token_expired",
    402: "insufficient_funds",
    403: (
        "capability_undeclared capability_not_granted grant_expired grant_constraint consent_required consent_denied"
        " declined not_interactive address_refused program_not_allowed token_refused revoked"
    ),
    404: "unknown_method not_found not_installed prompt_not_found notice_not_found",
    405: "method_not_allowed",
    408: "request_timeout",
    409: (
        "key_reused in_progress reentrant_call version_conflict order_mismatch invalid_state cashier_busy"
        " refund_exceeds_captured refund_window_over merchant_funds_low quota_exceeded not_paid"
    ),
    410: "expired",
    411: "length_required",
    413: "message_too_large body_too_large limit_exceeded",
    415: "unsupported_media_type",
    417: "expectation_failed",
    422: "failed",
    425: "answer_early",
    429: "rate_limited",
    431: "head_too_large",
    500: "internal",
    502: "exited trapped cpu_exceeded fuel_exhausted protocol_violation program_failed fetch_failed",
    503: (
        "refused program_unavailable queue_full overloaded user_being_erased host_closed busy unknown_outcome cancelled"
        " worker_lost not_ready"
    ),
    504: "deadline_exceeded",
}
STATUSES: Final[Mapping[str, int]] = {code: status for status, codes in _BY_STATUS.items() for code in codes.split()}


def status_of(code: str) -> int:
    return STATUSES.get(code, 500)
