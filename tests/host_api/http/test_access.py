"""What an operator may decide: TLS that verifies nothing is refused, and so is a bound that is none."""

from __future__ import annotations

import ssl

import pytest

from host_api.http.access import HttpAccess, default_tls


def test_the_defaults_verify() -> None:
    tls = default_tls()
    assert (tls.check_hostname, tls.verify_mode) == (True, ssl.CERT_REQUIRED)
    assert tls.minimum_version is ssl.TLSVersion.TLSv1_2


def test_the_environment_names_no_file_for_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", "/nonexistent/keys")
    assert default_tls().keylog_filename is None


def test_tls_that_verifies_nothing_is_refused() -> None:
    blind = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    blind.check_hostname = False
    with pytest.raises(ValueError, match="check the host's name"):
        HttpAccess(tls=blind)
    blind.verify_mode = ssl.CERT_NONE
    with pytest.raises(ValueError, match="require a certificate"):
        HttpAccess(tls=blind)


@pytest.mark.parametrize(("fetches", "each"), [(0, 0), (1, 2), (10_001, 1), (1, 0)])
def test_a_bound_that_is_none_is_refused(fetches: int, each: int) -> None:
    with pytest.raises(ValueError, match="from 1 to 10,000"):
        HttpAccess(fetches=fetches, fetches_per_program=each)
