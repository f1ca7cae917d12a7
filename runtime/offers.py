"""From a bundle to what the registry stores of it: facts for calls, and what an operator gives. Values only.

What lives here: what a manifest asks for, what is granted of it, which limits hold, and the `Offer`. Whether the bundle
is trusted is keyring.py's and developers.py's, whether its module runs modules.py's, what a reviewer sees report.py's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from host_api.capability import GrantError, Grants, parse_grants
from host_api.one_line import one_line
from host_api.releases.values import Asset, Facts, Given, Offer
from host_api.user.pairwise import declared_sector
from runtime import wire
from runtime.bundle import Bundle
from runtime.errors import ManifestError, UsageError
from runtime.limits import MEMORY_BYTES_CEILING, WASM_PAGE, Limits
from runtime.sandbox.checks import ModuleFacts

CONFIG_BYTES_MAX = 16 << 10
PAYEE_CHARS_MAX = 64


class CheckedCode(NamedTuple):
    """What a bundle's program runs, after it was checked and compiled, and tried if it is a script."""

    facts: ModuleFacts
    """Of the module: the bundle's own, or the host's JavaScript engine."""
    wasm: bytes
    """That module."""
    script_sha256: str = ""
    """Of the script image; '' where the program is a module."""


def offer_of(
    bundle: Bundle, code: CheckedCode, *, developer: str, signed_by: str, report: Mapping[str, Any],
    file_sha256: bytes = b"",
) -> Offer:  # fmt: skip
    """What is stored of a bundle that was checked and compiled."""
    manifest, facts = bundle.manifest, code.facts
    return Offer(
        app_id=manifest.app_id, code=manifest.version.code, name=manifest.version.name, identity=bundle.identity,
        developer=developer, signed_by=signed_by, module_sha256=facts.sha256, wasm=code.wasm,
        script_sha256=code.script_sha256, script_image=bundle.script_image or b"",
        assets=tuple(
            Asset(path=path, sha256=bundle.members[path].sha256, content=bundle.asset(path)) for path in bundle.assets
        ),
        facts=facts_of(bundle, facts), report=report, file_sha256=file_sha256,
    )  # fmt: skip


def facts_of(bundle: Bundle, facts: ModuleFacts) -> Facts:
    manifest = bundle.manifest
    return Facts(
        program_name=display_name(manifest.name),
        reasons={asked.name: by_language(asked.reason) for asked in manifest.req_permissions},
        notices={notice.id: by_language(notice.text) for notice in manifest.notices},
        requested=requested(bundle).as_dict(), limits_wanted=dict(manifest.program.limits),
        required=tuple(asked.name for asked in manifest.req_permissions if asked.required),
        memory_max_pages=facts.memory_max_pages, takes_events=manifest.program.events,
        lifetime=manifest.program.lifetime,
    )  # fmt: skip


def by_language(text: str | Mapping[str, str]) -> Mapping[str, str]:
    """'' for a text without a language."""
    return {"": text} if isinstance(text, str) else dict(text)


def display_name(name: str | Mapping[str, str]) -> str:
    """A manifest's text in English where there is one, else in its first language."""
    return name if isinstance(name, str) else name.get("en") or next(iter(name.values()))


def requested(bundle: Bundle) -> Grants:
    """What the manifest asks for. Raises ManifestError for permissions that this host does not know."""
    try:
        return parse_grants({p.name: dict(p.constraints) for p in bundle.manifest.req_permissions})
    except GrantError as error:
        message, details = f"manifest.json: $.req_permissions: {error}", {"path": "$.req_permissions"}
        raise ManifestError(message, details=details) from None


# ---- what the operator gives -----------------------------------------------------------------------------------------
def given_of(
    *, grant: Any, limits: Mapping[str, int] | None, config: Mapping[str, Any] | None, payee: str | None, name: str
) -> Given:
    """What the operator gives a release. `name`: of the program, who is paid unless `payee` says otherwise. Raises
    UsageError for a grant that does not exist, a config over its size, a payee that is no clean line."""
    return Given(
        grants=granted(grant).as_dict(), limits=dict(limits or {}), config=_config(config or {}),
        payee=payee_line(payee, name),
    )  # fmt: skip


def _config(config: Mapping[str, Any]) -> bytes:
    try:
        encoded = wire.encode(dict(config))
        if len(encoded) > CONFIG_BYTES_MAX:
            raise UsageError(f"config is {len(encoded)} bytes, and at most {CONFIG_BYTES_MAX}")
        wire.decode(encoded, CONFIG_BYTES_MAX)
    except (wire.Unencodable, wire.MalformedMessage, TypeError, ValueError) as error:
        raise UsageError(f"config cannot be sent: {error}") from None
    return encoded


def granted(grant: Any) -> Grants:
    """What the operator gives. Raises UsageError."""
    try:
        return parse_grants(grant)
    except GrantError as error:
        raise UsageError(f"grant: {error}", code="grant_invalid") from None


def check_required(names: tuple[str, ...], grants: Mapping[str, Any]) -> None:
    """Raises UsageError where a permission that the manifest requires is not granted."""
    missing = [name for name in names if name not in grants]
    if missing:
        raise UsageError(
            f"the manifest requires {', '.join(missing)} and it was not granted: grant it (--grant on the command"
            ' line), or have the developer set "required": false',
            code="permission_missing",
            details={"missing": missing},
        )


def effective_limits(
    wanted: Mapping[str, int], default: Limits, given: Mapping[str, int], *, script: bool = False
) -> Limits:
    """The default, lowered where the manifest wants less, then what the operator gives. Raises UsageError. `script`:
    the program is one, so its memory is by default `script_memory_bytes`.

    Whether fuel is counted is the operator's to say: a manifest can only ask for less of it."""
    known = {name: min(value, getattr(default, name)) for name, value in wanted.items() if value or name != "fuel"}
    limits: Limits = default.changed({**known, **given})
    if script and "memory_bytes" not in given:
        memory = min(limits.script_memory_bytes, wanted.get("memory_bytes", MEMORY_BYTES_CEILING))
        limits = limits.changed({"memory_bytes": memory})
    return limits


def limits_of(bundle: Bundle, default: Limits, given: Mapping[str, int] | None = None) -> Limits:
    """The limits that a bundle's program runs under. Raises as `effective_limits`."""
    return effective_limits(
        bundle.manifest.program.limits, default, given or {}, script=bundle.script_image is not None
    )


def growth_bytes(memory_max_pages: int | None, limits: Limits) -> int:
    """What a sandbox may grow to: the lesser of its limit and what its module declares."""
    return limits.memory_bytes if memory_max_pages is None else min(limits.memory_bytes, memory_max_pages * WASM_PAGE)


def payee_line(given: str | None, name: str) -> str:
    """Stands on the cashier's screen: one clean line. Raises UsageError."""
    try:
        return name if given is None else one_line("payee", given, PAYEE_CHARS_MAX)
    except ValueError as error:
        raise UsageError(str(error)) from None


def sector_of(app_id: str, declared: str | None) -> str:
    """Raises UsageError."""
    try:
        return app_id if declared is None else declared_sector(declared)
    except ValueError as error:
        raise UsageError(str(error)) from None
