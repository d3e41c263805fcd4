"""Certificates of a plant's OPC UA server: its own, and those of the clients it trusts.

Own certificate and key are made once and kept (OPC 10000-6, 6.2.2: application instance
certificate with the application URI among its names). A client is trusted when exactly its
certificate lies in the trust folder, DER or PEM; an unknown one is written to the quarantine
folder, from where a person may move it over. The trust folder is read at every connection.
"""

import contextlib
import datetime
import hashlib
import ipaddress
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from lineshaft.clock import now_us
from lineshaft.core.errors import Broken

__all__ = ["Identity", "TrustList", "make_identity", "thumbprint"]

_YEARS: Final = 5
_MOST_QUARANTINED: Final = 100
_MOST_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Identity:
    """Files of an application's own certificate (DER) and key (PEM, mode 0600)."""

    certificate: Path
    key: Path
    uri: str


def thumbprint(der: bytes) -> str:
    """Return the SHA-256 of a certificate in DER, in hex."""
    return hashlib.sha256(der).hexdigest()


def make_identity(folder: Path, *, name: str, uri: str, hosts: list[str]) -> Identity:
    """Return the identity kept in `folder`; make a new one where there is none, or it has expired,
    or it is for another URI or host. Raises Broken where the folder cannot be written."""
    identity = Identity(folder / "certificate.der", folder / "key.pem", uri)
    if _is_good(identity, hosts):
        return identity
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    certificate = _sign(key, name, uri, hosts)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        _replace(identity.key, pem)
        _replace(identity.certificate, certificate.public_bytes(serialization.Encoding.DER))
    except OSError as error:
        raise Broken(
            f"The plant's certificate cannot be kept in {folder}: {error.strerror}",
            hint="Give it a folder that it may write",
            code="plant.folder",
        ) from error
    return identity


def _is_good(identity: Identity, hosts: list[str]) -> bool:
    try:
        certificate = x509.load_der_x509_certificate(identity.certificate.read_bytes())
        key = serialization.load_pem_private_key(identity.key.read_bytes(), None)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, TypeError, x509.ExtensionNotFound):
        return False
    return (
        certificate.public_key() == key.public_key()
        and _now() + datetime.timedelta(days=1) < certificate.not_valid_after_utc
        and set(names) == set(_names(identity.uri, hosts))
    )


def _names(uri: str, hosts: list[str]) -> list[x509.GeneralName]:
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri)]
    for host in hosts:
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(host)))
        except ValueError:
            names.append(x509.DNSName(host))
    return names


def _sign(key: rsa.RSAPrivateKey, name: str, uri: str, hosts: list[str]) -> x509.Certificate:
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, name),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Lineshaft simulated plant"),
        ]
    )
    now = _now()
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=True,
        key_encipherment=True,
        data_encipherment=True,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=365 * _YEARS))
        .add_extension(x509.SubjectAlternativeName(_names(uri, hosts)), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _now() -> datetime.datetime:
    return datetime.datetime.fromtimestamp(now_us() // 1_000_000, datetime.UTC)


def _replace(path: Path, content: bytes) -> None:
    """Write a file that is whole and readable by its owner alone, or not there."""
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


class TrustList:
    """The clients that may connect."""

    def __init__(self, trusted: Path, quarantine: Path, *, anyone: bool = False) -> None:
        self._trusted, self._quarantine, self._anyone = trusted, quarantine, anyone
        trusted.mkdir(parents=True, exist_ok=True)
        quarantine.mkdir(parents=True, exist_ok=True)

    def accepts(self, der: bytes) -> bool:
        """Say whether the certificate is trusted and in force; quarantine an unknown one."""
        try:
            certificate = x509.load_der_x509_certificate(der)
        except ValueError:
            return False
        if not self._anyone and der not in self._known():
            self._keep(der)
            return False
        return certificate.not_valid_before_utc <= _now() <= certificate.not_valid_after_utc

    def _known(self) -> set[bytes]:
        known = set()
        for path in self._trusted.iterdir():
            if path.suffix in (".der", ".pem", ".crt", ".cer"):
                # A broken file in the folder trusts nobody; it must not lock the others out.
                with contextlib.suppress(OSError, ValueError):
                    content = path.read_bytes()
                    certificate = (
                        x509.load_pem_x509_certificate(content)
                        if content.startswith(b"-----")
                        else x509.load_der_x509_certificate(content)
                    )
                    known.add(certificate.public_bytes(serialization.Encoding.DER))
        return known

    def _keep(self, der: bytes) -> None:
        path = self._quarantine / f"{thumbprint(der)}.der"
        if len(der) > _MOST_BYTES or path.exists():
            return
        if sum(1 for _ in self._quarantine.iterdir()) < _MOST_QUARANTINED:
            with contextlib.suppress(OSError):
                path.write_bytes(der)
