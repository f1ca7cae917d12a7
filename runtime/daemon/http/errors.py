"""What an endpoint raised, as an answer: code, status, and when to come again. A fault of ours tells an incident id.

What lives here: which exceptions there are on this side of the host.
"""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from host_api.errors import ApiError
from host_api.front_end.token import TokenRefused
from host_api.prompts.prompt import PromptError
from runtime import sources
from runtime.daemon.http.endpoint import json_answer
from runtime.daemon.http.json_values import outgoing
from runtime.daemon.http.refusal import Refused, error_value
from runtime.daemon.http.statuses import status_of
from runtime.errors import CallEnded, HostelError
from runtime.log import logger

_log = logger("http")


def error_answer(error: Exception) -> Response:
    """Never raises: what nobody expected is logged, and answered `internal`."""
    answer: dict[str, Any] = {}
    if isinstance(error, Refused | HostelError):
        value = error.as_dict()
    elif isinstance(error, ApiError):
        value = error.as_wire()
    elif isinstance(error, PromptError):
        value = error_value(error.code, error.message, error.retry_after_ms)
    elif isinstance(error, TokenRefused):
        value = error_value(error.code, error.message)
    else:
        incident = sources.new_id()
        _log.error("an HTTP request ended in a fault", incident=incident, exc_info=error)
        value = error_value("internal", f"a fault of the host; incident {incident}", details={"incident": incident})
    answer["error"] = outgoing(value)
    if isinstance(error, CallEnded) and error.receipt is not None:
        answer["receipt"] = error.receipt.as_dict()
    status, headers = status_of(value["code"]), {}
    if value["retry_after_ms"] is not None:
        headers["retry-after"] = str(-(-value["retry_after_ms"] // 1_000))
    if status == 401:
        headers["www-authenticate"] = "Bearer"
    return json_answer(answer, status, headers)
