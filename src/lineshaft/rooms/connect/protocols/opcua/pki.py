"""Certificates: our own, those that people trust, those that wait for a decision.

Folders below `<data>/pki/opcua`: `own` (made once), `trusted`, `quarantined`; a certificate is a
file `<thumbprint>.der`. Rules: only what a person trusted is trusted, by its very bytes; a trusted
certificate past its date still connects, and says so, because a plant must not go dark at midnight
(Part 4, 6.1.3 lets that check be suppressed); the quarantine holds QUARANTINE at most.
"""

import datetime as dt
import hashlib
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from lineshaft.core.errors import Refused
from lineshaft.private import write_private
from lineshaft.rooms.connect.model import Certificate

__all__ = ["OwnCertificate", "Pki", "leading_certificate", "read_certificate"]

QUARANTINE: Final = 100
_THUMBPRINT = re.compile(r"[0-9a-f]{64}")
_YEARS = dt.timedelta(days=20 * 365)


@dataclass(frozen=True, slots=True)
class OwnCertificate:
    """What we show to servers: our certificate and its key (never printed), both DER."""

    uri: str
    der: bytes
    key: bytes

    def __repr__(self) -> str:
        return f"OwnCertificate({self.uri!r})"


class Pki:
    """The certificate folders. Calls block shortly; `own` makes a key at its first call."""

    def __init__(self, folder: Path, now_us: int) -> None:
        self._folder = folder / "pki" / "opcua"
        self._began_us = now_us

    def own(self) -> OwnCertificate:
        """Return our application certificate, made at the first call."""
        key, der = self._folder / "own" / "key.der", self._folder / "own" / "certificate.der"
        if not (key.exists() and der.exists()):
            made_key, made_der = _make_own(self._began_us)
            write_private(key, made_key)
            write_private(der, made_der)
        content = der.read_bytes()
        uris = read_certificate(content).uris
        return OwnCertificate(uris[0] if uris else "", content, key.read_bytes())

    def judge(self, der: bytes) -> Certificate:
        """Return a server's certificate with our judgement of it."""
        found = read_certificate(der)
        trusted = self.is_trusted(found.thumbprint)
        reason = "" if trusted else "nobody has trusted this certificate yet"
        if found.not_after < self._began_us:
            reason = "it has expired" if trusted else f"{reason}; it has expired"
        return replace(found, trusted=trusted, reason=reason)

    def is_trusted(self, thumbprint: str) -> bool:
        """Return whether somebody trusts the certificate of this thumbprint now."""
        return (self._folder / "trusted" / f"{thumbprint}.der").exists()

    def quarantine(self, der: bytes) -> bool:
        """Keep an unknown certificate for a decision; return whether it is new here."""
        thumbprint = hashlib.sha256(der).hexdigest()
        file = self._folder / "quarantined" / f"{thumbprint}.der"
        if file.exists():
            return False
        others = sorted(self._files("quarantined"), key=lambda path: path.stat().st_mtime)
        for old in others[: max(0, len(others) - QUARANTINE + 1)]:
            old.unlink(missing_ok=True)
        write_private(file, der)
        return True

    def trust(self, thumbprint: str) -> Certificate:
        """Trust a certificate that waits; raise Refused (404) where none has this thumbprint."""
        return self._move(thumbprint, "quarantined", "trusted")

    def distrust(self, thumbprint: str) -> Certificate:
        """Trust a certificate no more; it waits again."""
        return self._move(thumbprint, "trusted", "quarantined")

    def trust_bytes(self, der: bytes) -> Certificate:
        """Trust a certificate that was handed over directly, not met on a network."""
        found = read_certificate(der)
        write_private(self._folder / "trusted" / f"{found.thumbprint}.der", der)
        return replace(found, trusted=True)

    def listed(self) -> list[tuple[Certificate, str]]:
        """Return all certificates with their state, `trusted` or `quarantined`."""
        return [
            (self.judge(file.read_bytes()), state)
            for state in ("trusted", "quarantined")
            for file in sorted(self._files(state))
        ]

    def _files(self, state: str) -> Iterator[Path]:
        return (self._folder / state).glob("*.der")

    def _move(self, thumbprint: str, before: str, after: str) -> Certificate:
        if _THUMBPRINT.fullmatch(thumbprint):
            file = self._folder / before / f"{thumbprint}.der"
            if file.exists():
                write_private(self._folder / after / file.name, file.read_bytes())
                file.unlink(missing_ok=True)
            if (self._folder / after / file.name).exists():
                return self.judge((self._folder / after / file.name).read_bytes())
        raise Refused("there is no such certificate", hint="Probe the server again",
                      code="certificate.unknown", status=404)  # fmt: skip


def read_certificate(der: bytes) -> Certificate:
    """Read a certificate; raise Refused where it is none."""
    try:
        cert = x509.load_der_x509_certificate(der)
        names = [n for n in _alternative(cert) if isinstance(n, x509.UniformResourceIdentifier)]
        return Certificate(
            hashlib.sha256(der).hexdigest(),
            cert.subject.rfc4514_string()[:500],
            cert.issuer.rfc4514_string()[:500],
            int(cert.not_valid_before_utc.timestamp() * 1e6),
            int(cert.not_valid_after_utc.timestamp() * 1e6),
            tuple(str(name.value)[:500] for name in names),
        )
    except ValueError as error:
        raise Refused("the server's certificate cannot be read", hint=str(error)[:200],
                      code="certificate.form") from error  # fmt: skip


def leading_certificate(chain: bytes) -> bytes:
    """Return the first certificate of a chain: its outer length says where it ends (X.690, 8.1)."""
    if len(chain) > 4 and chain[1] & 0x80:
        size = chain[1] & 0x7F
        return chain[: 2 + size + int.from_bytes(chain[2 : 2 + size], "big")]
    return chain


def _alternative(cert: x509.Certificate) -> list[x509.GeneralName]:
    try:
        found = cert.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    return list(found.value)


def _make_own(now_us: int) -> tuple[bytes, bytes]:
    """Make key and certificate of an application instance (Part 6, 6.2.2)."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    uri = f"urn:lineshaft:{uuid.uuid4()}"
    now = dt.datetime.fromtimestamp(now_us / 1e6, dt.UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Lineshaft"),
                      x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Lineshaft")])  # fmt: skip
    usage = x509.KeyUsage(
        digital_signature=True, content_commitment=True, key_encipherment=True,
        data_encipherment=True, key_agreement=False, key_cert_sign=True, crl_sign=False,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip
    cert = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + _YEARS)
        .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)]), False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
        .add_extension(usage, True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.DER,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return private, cert.public_bytes(serialization.Encoding.DER)
