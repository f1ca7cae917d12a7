"""Errors on their way: the same class with the same fields on the other side."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from host_api.erasure.user import BalanceLeft
from host_api.errors import ApiError, ErrorCode
from host_api.ledger import DepositMismatch, InsufficientFunds, LedgerError, NotPending
from host_api.money import Money
from host_api.prompts.prompt import PromptError
from runtime import errors, wire
from runtime.control.failures import KINDS, from_map, to_map
from runtime.errors import CALL_ERRORS, CallEnded, Ending, HostelError, UsageError
from runtime.receipt import Receipt, Usage

RECEIPT = Receipt(
    call_id="1", app_id="org.example.a", release="1.0", method="m", ending=Ending.TRAPPED, usage=Usage(cpu_us=7)
)


def there_and_back(error: Exception) -> Exception:
    told = to_map(error)
    assert told is not None and told["kind"] in KINDS
    assert {"code", "message", "retryable", "retry_after_ms", "details"} <= told.keys()
    return from_map(wire.decode(wire.encode(told), 1 << 20))


def fields(error: Exception) -> dict[str, Any]:
    return {**vars(error), "text": str(error), "class": type(error)}


HOSTEL = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, HostelError) and not issubclass(kind, CallEnded)
]


@pytest.mark.parametrize("kind", HOSTEL, ids=lambda kind: kind.__name__)
def test_every_error_of_the_library(kind: type[HostelError]) -> None:
    error = kind("what — happened", code="its_code", details={"limit": 1, "list": [1, "a"]}, retry_after_ms=50)
    back = there_and_back(error)
    assert fields(back) == fields(error)
    assert isinstance(back, HostelError) and (back.retryable, back.exit_code) == (error.retryable, error.exit_code)


@pytest.mark.parametrize("ending", [ending for ending in Ending if ending in CALL_ERRORS])
@pytest.mark.parametrize("receipt", [RECEIPT, None])
def test_every_ending(ending: Ending, receipt: Receipt | None) -> None:
    error = CALL_ERRORS[ending]("over", ending=ending, receipt=receipt, details={"error": {"code": "x", "n": [1]}})
    assert fields(there_and_back(error)) == fields(error)


@pytest.mark.parametrize("code", ErrorCode, ids=lambda code: code.code)
def test_every_error_of_the_store_and_services(code: ErrorCode) -> None:
    error = ApiError(code, "no", details={"n": 1}, retry_after_ms=7)
    assert fields(there_and_back(error)) == fields(error)


@pytest.mark.parametrize(
    "error",
    [
        PromptError("answer_early", "too soon", retry_after_ms=300),
        LedgerError("a"), InsufficientFunds("b"), NotPending("c"), DepositMismatch("d"), ValueError("phone must be"),
        BalanceLeft((Money(amount=5, currency="CNY"), Money(amount=7, currency="JPY"))),
    ],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
def test_the_others(error: Exception) -> None:
    assert fields(there_and_back(error)) == fields(error)


def test_a_kind_of_ones_own_travels_as_the_nearest_known() -> None:
    class Mine(UsageError):
        code = "mine"

    back = there_and_back(Mine("x"))
    assert (type(back), back.code) == (UsageError, "mine")  # type: ignore[attr-defined]


@pytest.mark.parametrize("error", [KeyError("x"), RuntimeError("x"), TypeError("x"), OSError(2, "x")])
def test_what_is_a_bug_of_ours_is_not_told(error: Exception) -> None:
    assert to_map(error) is None


@pytest.mark.parametrize(
    "told",
    [
        {"code": "brand_new", "message": "from a newer host", "kind": "Unheard"},
        {"code": "brand_new", "message": "no kind"},
        {"code": "brand_new", "message": "an api code of later", "kind": "ApiError"},
        {"code": "brand_new", "message": "ended, nobody knows how", "kind": "GuestTrapped"},
    ],
)
def test_what_a_newer_host_tells_is_an_error_still(told: dict[str, Any]) -> None:
    error = from_map(told)
    assert type(error) is HostelError and error.code == "brand_new"


@pytest.mark.parametrize("told", [None, 1, [], {}, {"code": 1, "message": "x"}, {"code": "x"}])
def test_what_is_no_error(told: Any) -> None:
    with pytest.raises(msgspec.ValidationError):
        from_map(told)
