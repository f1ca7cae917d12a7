"""A program's assets for its front end: members of the bundle, whole, with type and digest. Nothing runs them here.

What a developer packed is theirs, so it is answered as bytes of a declared type that no browser guesses at, under the
policy of every answer (app.py): a page that is opened from here loads and runs nothing.
"""

from __future__ import annotations

import base64
from typing import Final

from starlette.responses import Response

from host_api.assets import media_type
from runtime.daemon.http.endpoint import Ask, Endpoint
from runtime.daemon.http.refusal import Refused

UNKNOWN_TYPE: Final = "application/octet-stream"


async def asset(ask: Ask) -> Response:
    app_id, path, session = ask.of("app_id"), ask.of("path"), ask.session
    if not session.may_reach(app_id):
        raise Refused("program_not_allowed", "this session was issued for other programs")
    found = ask.host.asset(app_id, path, user=session.user)
    digest = bytes.fromhex(found.sha256)
    headers = {
        "content-disposition": "attachment",
        "etag": f'"{found.sha256}"',
        "repr-digest": f"sha-256=:{base64.b64encode(digest).decode()}:",
    }
    return Response(found.content, headers=headers, media_type=media_type(path) or UNKNOWN_TYPE)


ENDPOINTS: Final = (
    Endpoint(
        name="getAsset",
        method="GET",
        path="/v1/programs/{app_id}/assets/{path}",
        summary="A member of the bundle of the release that the user gets: neither manifest nor module nor script.",
        run=asset,
        answer=None,
    ),
)
