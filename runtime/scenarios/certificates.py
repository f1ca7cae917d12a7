"""Certificates for a network that is not there: an authority made on the fly, trusted by its own scenario alone."""

from __future__ import annotations

import ssl
import tempfile
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_LIFE = timedelta(days=1)


class Authority:
    """One key, which signs for any name. Its time is the system's: TLS reads that clock, not a scenario's."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a scenario's network")])
        self._certificate = self._signed(self._name, self._key, x509.BasicConstraints(ca=True, path_length=0), None)
        self.server_tls = lru_cache(maxsize=1_000)(self._server_tls)

    def client_tls(self) -> ssl.SSLContext:
        """Trusts this authority and no other."""
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        tls.minimum_version = ssl.TLSVersion.TLSv1_2
        tls.load_verify_locations(cadata=self._certificate.public_bytes(serialization.Encoding.PEM).decode())
        return tls

    def _server_tls(self, host: str) -> ssl.SSLContext:
        """For a server of that name."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host[:64])])
        leaf = self._signed(subject, key, x509.BasicConstraints(ca=False, path_length=None), host)
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        plain = serialization.NoEncryption()
        secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
        with tempfile.TemporaryDirectory() as folder:  # OpenSSL takes a chain from files alone
            chain = Path(folder) / "chain.pem"
            chain.write_bytes(secret + leaf.public_bytes(serialization.Encoding.PEM))
            tls.load_cert_chain(chain)
        return tls

    def _signed(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, use: x509.BasicConstraints, host: str | None
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _LIFE)
            .not_valid_after(now + _LIFE)
            .add_extension(use, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
            )
        )  # fmt: skip
        if host is not None:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        else:
            usage = x509.KeyUsage(
                digital_signature=False, content_commitment=False, key_encipherment=False, data_encipherment=False,
                key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
            )  # fmt: skip
            builder = builder.add_extension(usage, critical=True)
        return builder.sign(self._key, hashes.SHA256())
