"""Loading a bundle's script once, as an installation does: what is wrong with it is said before anybody installs it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runtime.bundle import Bundle


def load_script(bundle: Bundle, limits: dict[str, int] | None = None) -> None:
    """In a host of its own, with nothing granted that the manifest does not ask for. The engine is compiled once for
    all commands of this user. Raises BundleError's family: ScriptError with the place of what is wrong."""
    import trio

    from runtime.cli.run import cache_dir
    from runtime.host import Host
    from runtime.settings import HostSettings

    grant = {asked.name: dict(asked.constraints) for asked in bundle.manifest.req_permissions}

    async def install() -> None:
        async with Host.open(settings=HostSettings(slots=1, cache_dir=cache_dir()), allow_unsigned=True) as host:
            await host.install(bundle, grant=grant, limits=limits)

    trio.run(install)
