"""Codes to statuses, cell by cell, and the same in the document."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from host_api.errors import ErrorCode
from runtime.daemon.http.statuses import STATUSES, status_of
from runtime.errors import CallRefused, Ending

OF_HTTP = {
    "token_missing": 401, "token_invalid": 401, "token_expired": 401, "program_not_allowed": 403, "not_ready": 503,
    "request_malformed": 400, "body_malformed": 400, "upgrade_refused": 400, "method_not_allowed": 405,
    "request_timeout": 408, "length_required": 411, "body_too_large": 413, "unsupported_media_type": 415,
    "expectation_failed": 417, "head_too_large": 431,
}  # fmt: skip
OF_CALLS = {
    "invalid_argument": 400, "program_unavailable": 503,
    "not_installed": 404, "refused": 503, "rate_limited": 429, "queue_full": 503,
    "overloaded": 503, "user_being_erased": 503, "host_closed": 503, "message_too_large": 413,
    "prompt_not_found": 404, "token_refused": 403, "answer_early": 425, "not_paid": 409, "notice_not_found": 404,
}  # fmt: skip
OF_ENDINGS = {
    "failed": 422, "exited": 502, "trapped": 502, "cpu_exceeded": 502, "fuel_exhausted": 502,
    "deadline_exceeded": 504, "protocol_violation": 502, "cancelled": 503, "revoked": 403, "worker_lost": 503,
    "internal": 500,
}  # fmt: skip
OF_GUESTS = {
    "unknown_method": 404, "capability_undeclared": 403, "capability_not_granted": 403, "grant_expired": 403,
    "grant_constraint": 403, "consent_required": 403, "consent_denied": 403, "invalid_params": 400,
    "limit_exceeded": 413, "rate_limited": 429, "key_reused": 409, "in_progress": 409, "not_found": 404,
    "version_conflict": 409, "quota_exceeded": 409, "order_mismatch": 409, "invalid_state": 409, "expired": 410,
    "declined": 403, "insufficient_funds": 402, "cashier_busy": 409, "not_interactive": 403,
    "refund_exceeds_captured": 409, "refund_window_over": 409, "merchant_funds_low": 409, "program_failed": 502,
    "reentrant_call": 409,
    "address_refused": 403, "fetch_failed": 502, "unknown_outcome": 503, "busy": 503, "internal": 500,
}  # fmt: skip


@pytest.mark.parametrize(("code", "status"), [*OF_HTTP.items(), *OF_CALLS.items(), *OF_ENDINGS.items(),
                                              *OF_GUESTS.items()])  # fmt: skip
def test_each_code_has_its_status(code: str, status: int) -> None:
    assert status_of(code) == status


def test_every_code_is_in_the_table_and_the_table_has_no_other() -> None:
    assert OF_GUESTS.keys() == {code.code for code in ErrorCode}
    assert {CallRefused.code, *(kind.code for kind in CallRefused.__subclasses__())} <= OF_CALLS.keys()
    assert OF_ENDINGS.keys() == {ending.value for ending in Ending} - {"completed"}
    assert STATUSES.keys() == OF_HTTP.keys() | OF_CALLS.keys() | OF_ENDINGS.keys() | OF_GUESTS.keys()
    assert status_of("never_heard_of") == 500


def test_the_document_lists_the_same_statuses() -> None:
    text = (Path(__file__).parents[4] / "docs/protocol.md").read_text(encoding="utf-8")
    section = text.partition("\n## 16 ")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (\d{3}) \| (.+) \|$", section, re.MULTILINE)
    told = {code: int(status) for status, codes in rows for code in re.findall(r"`(\w+)`", codes)}
    assert told == dict(STATUSES)
