"""A site whose programs may fetch, and the servers that they fetch from."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio

from host_api.http.access import HttpAccess
from host_api.http.service import HttpService
from host_api.services import Outside
from runtime import App, wire
from tests.host_api.http.conftest import Server, World
from tests.hostile.conftest import Opened, Site


class Surroundings:
    """A site and a world of servers around it."""

    def __init__(self, site: Site, world: World) -> None:
        self.site, self.world = site, world

    @property
    def service(self) -> HttpService:
        return self.site.host._services.http

    async def place(self, answer: Any = None, **limits: int) -> tuple[Server, App, str]:
        """A server, a guest that may fetch from it and nowhere else, and the server's URL."""
        server = await self.world.server(answer)
        grant = {"http": {"hosts": [f"shop.example:{server.port}"]}}
        return server, await self.site.install(grant=grant, **limits), f"https://shop.example:{server.port}/"

    async def fetch(self, app: App, url: str, **params: Any) -> list[Any]:
        """The response that the guest was given."""
        return await self.site.ask(fetching(url, **params), app)


def fetching(url: str, msgid: int = 1, **params: Any) -> bytes:
    return wire.request(msgid, "http.fetch", {"url": url, **params})


@asynccontextmanager
async def outside(opened: Opened, state: Path | None = None, **settings: Any) -> AsyncIterator[Surroundings]:
    async with trio.open_nursery() as nursery:
        world = World(nursery)
        access = HttpAccess(resolver=world.resolve, tls=world.tls, allow_address=world.allow_address)
        async with opened(state, outside=Outside(http=access), **settings) as site:
            around = Surroundings(site, world)
            yield around
            assert site.host.statistics().fetches == 0
        nursery.cancel_scope.cancel()
