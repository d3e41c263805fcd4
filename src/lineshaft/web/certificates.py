"""TLS beyond loopback: an own certificate authority, and the doors' certificate by it.

Rules: the authority is made once (EC P-256, ten years), its key stays in the data folder, mode
0600; the certificate holds 90 days and exactly the names by which the doors are called, and is made
anew when fewer than 30 days are left, when the names changed, or when key and certificate do not
fit. Files that somebody else made are checked and never written.
"""

import datetime
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from lineshaft.clock import now_us
from lineshaft.core.errors import Refused
from lineshaft.private import write_private

__all__ = ["Pair", "check_pair", "ensure_pair"]

_CA_DAYS: Final = 3650
_DAYS: Final = 90
_RENEW_DAYS: Final = 30
_PEM: Final = serialization.Encoding.PEM


@dataclass(frozen=True, slots=True)
class Pair:
    """Files of a certificate (PEM, its issuers behind it) and its key."""

    certificate: Path
    key: Path


def ensure_pair(folder: Path, names: Sequence[str], machine: str) -> Pair:
    """Return the certificate for these names kept in `folder` (`keys/` of the data folder); make
    it, and the authority, where there is none that holds."""
    pair = Pair(folder / "tls.crt", folder / "tls.key")
    authority = _read(folder / "ca.crt", folder / "ca.key")
    if authority is None or _days_left(authority[0]) < _DAYS:
        key = ec.generate_private_key(ec.SECP256R1())
        authority = (_sign_authority(key, machine), key)
        _write(folder / "ca.crt", folder / "ca.key", [authority[0]], key)
    issuer, issuer_key = authority
    found = _read(pair.certificate, pair.key)
    if found is None or not _is_good(found[0], issuer, names):
        key = ec.generate_private_key(ec.SECP256R1())
        made = _sign(key, names, issuer, issuer_key)
        _write(pair.certificate, pair.key, [made, issuer], key)
    return pair


def check_pair(certificate: str, key: str) -> Pair:
    """Return somebody else's files; Refused where they cannot serve."""
    pair = Pair(Path(certificate).expanduser(), Path(key).expanduser())
    try:
        held = x509.load_pem_x509_certificates(pair.certificate.read_bytes())[0]
        secret = serialization.load_pem_private_key(pair.key.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise Refused(f"http.certificate or http.key cannot be read: {error}"[:300],
                      hint="Both are PEM files, the key without a password",
                      code="tls.files") from None  # fmt: skip
    if held.public_key() != secret.public_key() or _days_left(held) < 0:
        raise Refused(f"{pair.certificate} does not belong to the key, or has expired",
                      hint="Renew it", code="tls.files")  # fmt: skip
    return pair


def _read(
    certificate: Path, key: Path
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None:
    """Return a certificate and its key, or None where they are not there or do not fit."""
    try:
        held = x509.load_pem_x509_certificates(certificate.read_bytes())[0]
        secret = serialization.load_pem_private_key(key.read_bytes(), None)
    except (OSError, ValueError, TypeError):
        return None
    fits = held.public_key() == secret.public_key()
    return (held, secret) if fits and isinstance(secret, ec.EllipticCurvePrivateKey) else None


def _write(
    certificate: Path, key: Path, chain: Sequence[x509.Certificate],
    secret: ec.EllipticCurvePrivateKey,
) -> None:  # fmt: skip
    """Write the key first: a crash between leaves two that do not fit, and both are made anew."""
    plain = serialization.NoEncryption()
    write_private(key, secret.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, plain))
    write_private(certificate, b"".join(one.public_bytes(_PEM) for one in chain))


def _is_good(held: x509.Certificate, issuer: x509.Certificate, names: Sequence[str]) -> bool:
    try:
        held.verify_directly_issued_by(issuer)
        listed = held.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False
    return set(listed) == set(_names(names)) and _days_left(held) >= _RENEW_DAYS


def _names(names: Sequence[str]) -> list[x509.GeneralName]:
    made: list[x509.GeneralName] = []
    for name in dict.fromkeys(names):
        try:
            made.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            made.append(x509.DNSName(name))
    return made


def _sign_authority(key: ec.EllipticCurvePrivateKey, machine: str) -> x509.Certificate:
    name = _called(f"Lineshaft CA of {machine}")
    builder = _builder(name, name, key.public_key(), _CA_DAYS)
    return (
        builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(is_authority=True), critical=True)
        .sign(key, hashes.SHA256())
    )


def _sign(
    key: ec.EllipticCurvePrivateKey, names: Sequence[str], issuer: x509.Certificate,
    issuer_key: ec.EllipticCurvePrivateKey,
) -> x509.Certificate:  # fmt: skip
    builder = _builder(_called(names[0]), issuer.subject, key.public_key(), _DAYS)
    by = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
    serving = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    return (
        builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(is_authority=False), critical=True)
        .add_extension(serving, critical=False)
        .add_extension(x509.SubjectAlternativeName(_names(names)), critical=False)
        .add_extension(by, critical=False)
        .sign(issuer_key, hashes.SHA256())
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, days: int
) -> x509.CertificateBuilder:
    start = _now() - datetime.timedelta(hours=1)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(_now() + datetime.timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_authority, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, key_cert_sign=is_authority,
        crl_sign=is_authority, encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _called(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])


def _days_left(held: x509.Certificate) -> float:
    return (held.not_valid_after_utc - _now()).total_seconds() / 86_400


def _now() -> datetime.datetime:
    return datetime.datetime.fromtimestamp(now_us() // 1_000_000, datetime.UTC)
