"""Who a connection speaks for: by the kernel's word on the Unix socket, by a token on TCP.

What lives here: from credentials to a role. What a role may do stands with each method's declaration.
"""

from __future__ import annotations

import hmac
import os
import socket
import struct
from collections.abc import Mapping
from hashlib import sha256
from typing import Final

from runtime.control.method import Role
from runtime.daemon.control.settings import ControlSettings

_CREDENTIALS: Final = struct.Struct("3i")
_ROOT: Final = 0


class Access:
    """The roles that the settings give."""

    def __init__(self, settings: ControlSettings) -> None:
        uids: dict[int, Role] = {_ROOT: Role.OPERATOR, os.geteuid(): Role.OPERATOR}
        named = (
            (Role.OPERATOR, settings.operators), (Role.CALLER, settings.callers), (Role.AUDITOR, settings.auditors),
        )  # fmt: skip
        for role, members in named:
            uids |= dict.fromkeys(members, role)
        self._uids: Mapping[int, Role] = uids
        self._tokens = [(bytes.fromhex(token.sha256), token.role, token.name) for token in settings.tokens]

    def of_user(self, uid: int) -> Role | None:
        """None: the user id is nobody's that is served."""
        return self._uids.get(uid)

    def of_token(self, token: str) -> tuple[Role, str] | None:
        """Role and name. All tokens are compared, and each as a whole: how long it takes tells nothing of them."""
        shown = sha256(token.encode(errors="surrogatepass")).digest()
        found = None
        for known, role, name in self._tokens:
            if hmac.compare_digest(known, shown):
                found = role, name
        return found


def user_of(connection: socket.socket) -> int:
    """The user id of whoever opened the other end of a Unix socket, as the kernel wrote it down then."""
    if not hasattr(socket, "SO_PEERCRED"):  # macOS: the file's mode let them in, and it is the owner's alone by default
        return os.geteuid()
    told = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(told)[1])
