"""What a configuration needs that is not in it: a keyring, certificates, a group, the socket's path, a device.

What lives here: the look at them before anything is started, so that `hostel serve --check` finds what a new start
would stumble over while the host that runs is still up. Whoever needs one checks it once more when it is opened.
"""

from __future__ import annotations

import ssl
from pathlib import Path

from runtime.bundle import Keyring
from runtime.control.sockets import default_socket
from runtime.control.tls import load_chain, server_tls
from runtime.daemon.config import Config
from runtime.daemon.control.listeners import check_place
from runtime.daemon.http.settings import TLS_NAMES
from runtime.daemon.wakefulness import check_device
from runtime.errors import HostelError


def unusable(config: Config) -> list[str]:
    """A line for each that cannot be used as things stand."""
    found = []
    for name, look in (("[host] keyring: ", _keyring), ("[control] socket: ", _socket),
                       ("[control] ", _control_tls), ("", _http_tls), ("[host] keep_awake_ms: ", _device)):  # fmt: skip
        try:
            look(config)
        except HostelError as error:
            found.append(f"{name}{error.message}")
    return found


def _keyring(config: Config) -> None:
    if config.service.keyring is not None:
        Keyring.load(config.service.keyring)


def _device(config: Config) -> None:
    if config.service.keep_awake_ms:
        check_device()


def _socket(config: Config) -> None:
    settings, state = config.control, config.service.state
    path = settings.socket if settings.socket is not None or state is None else default_socket(state)
    if path is not None:
        check_place(Path(path), settings)


def _control_tls(config: Config) -> None:
    settings = config.control
    if settings.listen and settings.tls_certificate is not None and settings.tls_key is not None:
        server_tls(settings.tls_certificate, settings.tls_key)


def _http_tls(config: Config) -> None:
    settings = config.http
    if config.service.http and settings.certificate is not None and settings.key is not None:
        load_chain(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), settings.certificate, settings.key, TLS_NAMES)
