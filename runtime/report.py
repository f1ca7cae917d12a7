"""What a reviewer is shown of an upload: static facts, and what differs from the release that is out.

What lives here: making the report, plain values only. Nothing of it decides anything; texts of the bundle stand in it
as they are, bounded by the manifest, and whoever shows them escapes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from host_api.releases.values import Facts, Upload
from runtime.bundle import Bundle
from runtime.limits import Limits, ModuleCaps, specs
from runtime.offers import CheckedCode, by_language, facts_of


def report_of(
    bundle: Bundle, code: CheckedCode, *, default: Limits, caps: ModuleCaps, signed_by: str, developer: str,
    current: tuple[Upload, Facts] | None,
) -> Mapping[str, Any]:  # fmt: skip
    """`current`: the release that is out, and what is known of it; None before the first. Of a program that is a script
    nothing is told of the engine's module, which is the host's own."""
    manifest, facts, image = bundle.manifest, code.facts, bundle.script_image
    return {
        "signed_by": signed_by,
        "developer": developer,
        "bytes": {
            "module": len(code.wasm) if image is None else 0,
            "script": len(image or b""),
            "all": sum(member.size for member in bundle.members.values()),
            "members": len(bundle.members),
        },
        "imports": [] if image else [f"{module}.{name}" for module, name in facts.imports],
        "memory_pages": {"least": facts.memory_min_pages, "most": facts.memory_max_pages},
        "caps": {
            name: {"found": found, "cap": getattr(caps, name)}
            for name, found in facts.measured.items() if name in specs(ModuleCaps) and not image
        },
        "capabilities": [
            {"name": p.name, "required": p.required, "reason": dict(by_language(p.reason)),
             "constraints": dict(p.constraints)}
            for p in manifest.req_permissions
        ],
        "limits": {
            name: {"wanted": wanted, "default": getattr(default, name)}
            for name, wanted in manifest.program.limits.items()
        },
        "lifetime": manifest.program.lifetime,
        "events": manifest.program.events,
        "differences": _differences(bundle, code, current),
    }  # fmt: skip


def _differences(bundle: Bundle, code: CheckedCode, current: tuple[Upload, Facts] | None) -> Mapping[str, Any]:
    """To the release that is out; what is new is what a reviewer looks at first."""
    if current is None:
        return {"to": 0}
    upload, before = current
    now = facts_of(bundle, code.facts)
    hosts, hosts_before = (set(one.requested.get("http", {}).get("hosts", ())) for one in (now, before))
    return {
        "to": upload.code,
        "module": (code.script_sha256 or code.facts.sha256) != (upload.script_sha256 or upload.module_sha256),
        "new_capabilities": sorted(now.requested.keys() - before.requested.keys()),
        "gone_capabilities": sorted(before.requested.keys() - now.requested.keys()),
        "changed_constraints": sorted(
            name
            for name in now.requested.keys() & before.requested.keys()
            if now.requested[name] != before.requested[name]
        ),
        "new_hosts": sorted(hosts - hosts_before),
        "changed_limits": sorted(
            name
            for name in {*now.limits_wanted, *before.limits_wanted}
            if now.limits_wanted.get(name) != before.limits_wanted.get(name)
        ),
        "name": now.program_name if now.program_name != before.program_name else "",
    }
