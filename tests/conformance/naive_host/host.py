"""The host: what an operator asks of it (docs/control.md), as far as it is built, and calls of programs."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from typing import Any

from . import bundle as bundles
from . import sandbox, schema
from .call import Call, Ended
from .clock import Clock
from .limits import checked, in_force
from .services import Services
from .wire import Malformed, Refused, encode, response

MSGID = 1
_KINDS = {
    "failed": "GuestFailed", "exited": "GuestExited", "trapped": "GuestTrapped", "deadline_exceeded": "QuotaExceeded",
    "protocol_violation": "GuestProtocolError", "cancelled": "CallCancelled", "revoked": "CallRevoked",
}  # fmt: skip


class CallEnded(Exception):
    """A call that did not complete, as the caller is told of it."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(error["message"])
        self.error = error


@dataclass(eq=False)
class Program:
    app_id: str
    bundle: bundles.Bundle
    module: Any
    grants: dict[str, dict[str, Any]]
    limits: dict[str, int]
    payee: str
    config: dict[str, Any]
    in_flight: set[Call] = field(default_factory=set)


class Host:
    def __init__(self, clock: Clock, *, unsigned: bool) -> None:
        self.clock, self.unsigned = clock, unsigned
        self.programs: dict[str, Program] = {}
        self.services = Services()
        self.log: list[dict[str, Any]] = []

    def ask(self, method: str, params: dict[str, Any], began: Any = None) -> tuple[Any, list[Any]]:
        """Result, and items of a stream. `began` is told of a call as it begins. Raises Refused and CallEnded."""
        params = {name: value for name, value in params.items() if not name.startswith("$")}
        if method in ("call", "notify"):
            return self._call(method == "notify", began, **params), []
        function = getattr(self, "do_" + method.replace(".", "_"), None)
        if function is None:
            raise Refused("unknown_method", f"this host has no {method!a}")
        with self.clock.lock:
            try:
                result = function(**params)
            except TypeError as error:
                raise Refused("invalid_params", ascii(str(error))) from None
            self.clock.changed.notify_all()
        return (result, []) if method != "logs" else ({}, result)

    # ---- programs ----------------------------------------------------------------------------------------------------
    def do_install(
        self, bundle: bytes, grant: Any = (), limits: Any = None, config: Any = None, payee: str | None = None,
        allow_unsigned: bool | None = None, sector: Any = None, new_owner: bool = False, isolation: Any = None,
    ) -> Any:  # fmt: skip
        read = bundles.read(bundle)
        manifest = read.manifest
        wanted = checked(manifest["program"].get("limits", {}), "manifest_invalid", "$.program.limits")
        if not (self.unsigned if allow_unsigned is None else allow_unsigned):
            raise Refused("unsigned_bundle", "this host takes unsigned bundles only if it is told to")
        given = grants(grant)
        for one in manifest.get("req_permissions", ()):
            if one.get("required", True) and one["name"] not in given:
                raise Refused(
                    "permission_missing", f"the manifest requires {one['name']}: grant it", missing=[one["name"]]
                )
        allowed = in_force(wanted, checked(limits or {}, "invalid_argument", "limits"))
        module = sandbox.module(read.members[manifest["program"]["module"]], allowed["memory_bytes"])
        before = self.programs.get(manifest["app_id"])
        if before and before.bundle.manifest["version"]["code"] > manifest["version"]["code"]:
            raise Refused("version_goes_down", "only a rollback goes back")
        name = manifest["name"]
        self.programs[manifest["app_id"]] = Program(
            manifest["app_id"], read, module, given, allowed,
            payee or (name if isinstance(name, str) else next(iter(name.values()))), config or {},
        )  # fmt: skip
        return {"app": {
            "app_id": manifest["app_id"], "release_name": manifest["version"]["name"],
            "release_code": manifest["version"]["code"], "identity": read.identity, "signed_by": None,
        }}  # fmt: skip

    def _program(self, app: str) -> Program:
        if app not in self.programs:
            raise Refused("not_installed", f"{app!a} is not installed")
        return self.programs[app]

    def do_uninstall(self, app: str, end_calls: bool = False) -> Any:
        gone = self._program(app)
        del self.programs[app]
        gone.grants = {}
        for call in gone.in_flight if end_calls else ():
            call.taken = "revoked"
        return {"uninstalled": {"orders_closed": 0, "rows_erased": 0}}

    def do_revoke(self, app: str, capabilities: list[str]) -> Any:
        for name in capabilities:
            self._program(app).grants.pop(name, None)
        return {}

    def do_set_grants(self, app: str, grant: Any) -> Any:
        self._program(app).grants = grants(grant)
        return self.do_program(app)

    def do_set_limits(self, app: str, limits: Any) -> Any:
        wanted = self._program(app).bundle.manifest["program"].get("limits", {})
        self._program(app).limits = in_force(wanted, checked(limits, "invalid_argument", "limits"))
        return self.do_program(app)

    def do_program(self, app: str) -> Any:
        one = self._program(app)
        code = one.bundle.manifest["version"]["code"]
        return {"program": {"app_id": app, "current_code": code, "grants": one.grants, "payee": one.payee}}

    def do_programs(self, after: str = "", limit: int = 100) -> Any:
        return {"programs": [self.do_program(app)["program"] for app in sorted(self.programs) if app > after][:limit]}

    # ---- calls -------------------------------------------------------------------------------------------------------
    def _call(
        self, notification: bool, began: Any, app: str, method: str, params: dict[str, Any] | None = None,
        user: str = "", interactive: bool = True, locale: str = "en", time_zone: str = "UTC", currency: str = "CNY",
        trace_id: str = "",
    ) -> Any:  # fmt: skip
        with self.clock.lock:
            program = self._program(app)
            session = {"user": user, "interactive": interactive and not notification, "locale": locale,
                       "time_zone": time_zone, "currency": currency, "trace_id": trace_id}  # fmt: skip
            message = encode([2, method, params or {}] if notification else [0, MSGID, method, params or {}])
            if len(message) > (most := program.limits["message_in_bytes"]):
                raise Refused("message_too_large", f"at most {most} bytes", limit="message_in_bytes", value=most,
                              used=len(message), unit="bytes")  # fmt: skip
            call = Call(
                self.clock, program.limits, program, session, self.services.answer, is_notification=notification
            )
            call.usage["message_in_bytes"] = len(message)
            program.in_flight.add(call)
        if began:
            began(call)
        call_id, version = secrets.token_hex(16), program.bundle.manifest["version"]["name"]
        receipt = {"call_id": call_id, "app_id": app, "release": version, "method": method, "ending": "completed",
                   "usage": call.usage}  # fmt: skip
        try:
            value = self._response(call, sandbox.run(call, program.module, message), notification)
        except Ended as ended:
            receipt["ending"] = ended.ending
            told = {} if ended.ending == "cancelled" else {"receipt": receipt}
            raise CallEnded({
                "code": ended.ending, "message": str(ended), "retryable": False, "retry_after_ms": None,
                "details": ended.details, "kind": _KINDS[ended.ending], "ending": ended.ending, **told,
            }) from None  # fmt: skip
        finally:
            self._over(call, call_id)
        return {"receipt": receipt} if notification else {"value": value, "receipt": receipt}

    def _over(self, call: Call, call_id: str) -> None:
        with self.clock.lock:
            call.program.in_flight.discard(call)
            call.usage["wall_us"] = self.clock.now_us - call.began_us + int((time.monotonic() - call.began_s) * 1e6)
            self.log += [
                {"at_us": self.clock.now_us, "trace_id": call.session["trace_id"], "app_id": call.program.app_id,
                 "call_id": call_id, "level": level, "text": text} for level, text in call.log
            ]  # fmt: skip
            self.clock.changed.notify_all()

    @staticmethod
    def _response(call: Call, data: bytes, notification: bool) -> Any:
        call.usage["message_out_bytes"] = len(data)
        if notification:
            return None
        try:
            error, result = response(data, MSGID)
        except Malformed as wrong:
            raise Ended("protocol_violation", f"its answer is none: {wrong}") from None
        if error is not None:
            code, message = ascii(error["code"])[1:-1], ascii(error["message"])[1:-1]
            raise Ended("failed", f"the guest answered {code[:64]}: {message[:160]}", error=error)
        return result

    # ---- users, money, prompts ---------------------------------------------------------------------------------------
    def do_ping(self) -> Any:
        return {"now_us": self.clock.now_us}

    def do_users_put(self, user: str, fields: dict[str, Any]) -> Any:
        return {}

    def do_deposit(self, user: str, money: dict[str, Any], reference: str | None = None) -> Any:
        self.services.payments.move(("funding", ""), ("wallet", user), money)
        return {"booked": True}

    def do_balance(self, account: dict[str, str]) -> Any:
        name = (account["kind"], account.get("owner", ""), account["currency"])
        return {"balance": {"posted": self.services.payments.posted[name], "held": 0, "incoming": 0}}

    def do_balances(self, owner: str = "") -> Any:
        accounts = sorted(self.services.payments.posted.items())
        rows = [
            {"kind": kind, "currency": currency, "accounts": 1, "balance": {"posted": posted, "held": 0, "incoming": 0}}
            for (kind, whose, currency), posted in accounts if whose == owner
        ]  # fmt: skip
        return {"rows": rows}

    def do_order(self, app: str, order_id: str) -> Any:
        order = self.services.payments.orders.get(order_id)
        if order is None or order.app_id != app:
            raise Refused("not_found", "there is no such order")
        return {"status": order.status, "close_reason": order.close_reason}

    def do_prompts_pending(self, user: str | None = None) -> Any:
        return {"prompts": [one.told() for one in self.services.payments.pending(self.clock.now_us, user)]}

    def do_prompts_count(self) -> Any:
        return {"count": len(self.services.payments.pending(self.clock.now_us, None))}

    def do_prompts_issue(self, prompt_id: str) -> Any:
        return {"prompt": self.services.payments.issue(self.clock.now_us, prompt_id)}

    def do_prompts_answer(self, prompt_id: str, token: str, digest: bytes, approved: bool) -> Any:
        return {"answer": self.services.payments.answer(self.clock.now_us, prompt_id, token, digest, approved)}

    def do_statistics(self) -> Any:
        calls = sum(len(one.in_flight) for one in self.programs.values())
        return {"statistics": {"programs": len(self.programs), "calls_in_flight": calls, "sandboxes": calls}}

    def do_logs(self, app: str = "", limit: int = 100, level: str = "debug", trace_id: str = "") -> Any:
        least = ("debug", "info", "warning", "error").index(level)
        lines = [one for one in self.log if app in ("", one["app_id"]) and trace_id in ("", one["trace_id"])
                 and ("debug", "info", "warning", "error").index(one["level"]) >= least]  # fmt: skip
        return [{"line": one} for one in lines[-limit:]]


def grants(grant: Any) -> dict[str, dict[str, Any]]:
    """Raises Refused."""
    given = dict(grant) if isinstance(grant, dict) else {name: {} for name in grant}
    for name, constraints in given.items():
        known = schema.CAPABILITIES.get(name)
        if known is None or (more := constraints.keys() - {*known["constraints"], "expires_at_us"}):
            raise Refused("grant_invalid", f"there is no capability {name!a}, or it takes no {more if known else ''}")
    return given
