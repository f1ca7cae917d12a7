"""The public names, frozen: one more is a decision, one less breaks somebody."""

from __future__ import annotations

import ast

import pytest

import runtime
from tests.style.source import sources

_NAMES = """
    AccessDenied AccountKind AccountName Answer AnswerRefused ApiError App BalanceLeft Bundle BundleError
    CallCancelled CallEnded CallRefused CallRevoked Cashier Client CompileLimitExceeded CompileLimits ConnectionLost
    ControlError Decision Directory Ending Erased FeeTerms GuestExited GuestFailed GuestProtocolError GuestTrapped
    Host HostBusy HostClosed HostSettings HostStatistics HostelError HttpAccess InternalError Keyring Limits
    ManifestError MessageTooLarge ModuleCaps ModuleError Money NotInstalled Outside Prompt PromptError QuotaExceeded
    Receipt Reply ScriptedCashier SignatureError SigningKey StartupError TerminalCashier Usage UsageError WorkerLost
    pack sign
"""
NAMES = _NAMES.split()


def test_the_public_names_are_these() -> None:
    assert sorted(runtime.__all__) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_each_is_there_and_documented(name: str) -> None:
    found = getattr(runtime, name)
    own_error = isinstance(found, type) and issubclass(found, runtime.HostelError)
    assert found.__doc__ or own_error


def test_type_checkers_see_the_same_names() -> None:
    (source,) = (each for each in sources("runtime") if each.path == "runtime/__init__.py")
    (block,) = (node for node in source.tree.body if isinstance(node, ast.If))
    seen = {name.asname or name.name for node in block.body if isinstance(node, ast.ImportFrom) for name in node.names}
    errors = {name for name in NAMES if getattr(runtime, name).__module__ == "runtime.errors"}
    assert (seen - {"*"}) | errors == set(NAMES)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Hostel'"):
        _ = runtime.Hostel
