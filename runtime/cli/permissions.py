"""What a manifest asks for that this host does not know: told when a bundle is made or checked, refused at install."""

from __future__ import annotations

from host_api.capability import GrantError, parse_grants
from runtime.bundle import Manifest
from runtime.cli import report


def unknown_permissions(manifest: Manifest) -> list[str]:
    """A line for each permission that an install would be refused for; each is said on standard error too."""
    found = []
    for index, permission in enumerate(manifest.req_permissions):
        try:
            parse_grants({permission.name: dict(permission.constraints)})
        except GrantError as error:
            found.append(f"$.req_permissions[{index}]: {error}")
    for line in found:
        report.say(f"warning: manifest.json {line}; this host will not install it")
    return found
