"""hostel: a host for mini-programs. `from runtime import Host, Bundle`.

The names below are the public API; they are imported when first used, so that the compile child and the command line
start fast. Everything else may change with any release.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from host_api.erasure.user import BalanceLeft as BalanceLeft
    from host_api.erasure.user import Erased as Erased
    from host_api.errors import ApiError as ApiError
    from host_api.http.access import HttpAccess as HttpAccess
    from host_api.ledger import AccountKind as AccountKind
    from host_api.ledger import AccountName as AccountName
    from host_api.money import Money as Money
    from host_api.payment.fees import FeeTerms as FeeTerms
    from host_api.prompts.cashier import Cashier as Cashier
    from host_api.prompts.cashier import Decision as Decision
    from host_api.prompts.cashier import ScriptedCashier as ScriptedCashier
    from host_api.prompts.cashier import TerminalCashier as TerminalCashier
    from host_api.prompts.prompt import Answer as Answer
    from host_api.prompts.prompt import Prompt as Prompt
    from host_api.prompts.prompt import PromptError as PromptError
    from host_api.services import Outside as Outside
    from host_api.user.directory import Directory as Directory
    from runtime.bundle import Bundle as Bundle
    from runtime.bundle import Keyring as Keyring
    from runtime.bundle import SigningKey as SigningKey
    from runtime.bundle import pack as pack
    from runtime.bundle import sign as sign
    from runtime.client import Client as Client
    from runtime.errors import *  # noqa: F403
    from runtime.host import Host as Host
    from runtime.host import Reply as Reply
    from runtime.limits import CompileLimits as CompileLimits
    from runtime.limits import Limits as Limits
    from runtime.limits import ModuleCaps as ModuleCaps
    from runtime.operations import HostStatistics as HostStatistics
    from runtime.receipt import Receipt as Receipt
    from runtime.receipt import Usage as Usage
    from runtime.registry import App as App
    from runtime.settings import HostSettings as HostSettings

_WHERE = {
    "host_api.erasure.user": ("BalanceLeft", "Erased"),
    "host_api.errors": ("ApiError",),
    "host_api.http.access": ("HttpAccess",),
    "host_api.ledger": ("AccountKind", "AccountName"),
    "host_api.money": ("Money",),
    "host_api.payment.fees": ("FeeTerms",),
    "host_api.prompts.cashier": ("Cashier", "Decision", "ScriptedCashier", "TerminalCashier"),
    "host_api.prompts.prompt": ("Answer", "Prompt", "PromptError"),
    "host_api.services": ("Outside",),
    "host_api.user.directory": ("Directory",),
    "runtime.bundle": ("Bundle", "Keyring", "SigningKey", "pack", "sign"),
    "runtime.client": ("Client",),
    "runtime.errors": (
        "AccessDenied", "AnswerRefused", "BundleError", "CallCancelled", "CallEnded", "CallRefused", "CallRevoked",
        "CompileLimitExceeded", "ConnectionLost", "ControlError", "Ending", "GuestExited", "GuestFailed",
        "GuestProtocolError", "GuestTrapped",
        "HostBusy", "HostClosed", "HostelError", "InternalError", "ManifestError", "MessageTooLarge", "ModuleError",
        "NotInstalled", "QuotaExceeded", "SignatureError", "StartupError", "UsageError", "WorkerLost",
    ),
    "runtime.host": ("Host", "Reply"),
    "runtime.limits": ("CompileLimits", "Limits", "ModuleCaps"),
    "runtime.operations": ("HostStatistics",),
    "runtime.receipt": ("Receipt", "Usage"),
    "runtime.registry": ("App",),
    "runtime.settings": ("HostSettings",),
}  # fmt: skip
_HOME = {name: module for module, names in _WHERE.items() for name in names}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'runtime' has no attribute {name!r}")
