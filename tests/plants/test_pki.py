"""Own certificate and trust list."""

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from lineshaft.clock import now_us
from lineshaft.plants import pki
from lineshaft.plants.pki import Identity, TrustList, make_identity, thumbprint


def make(folder: Path, uri: str = "urn:x") -> Identity:
    return make_identity(folder, name="x", uri=uri, hosts=["127.0.0.1", "localhost"])


def test_made_once_and_kept_with_the_right_names(tmp_path: Path) -> None:
    identity = make(tmp_path)
    der = identity.certificate.read_bytes()
    assert make(tmp_path).certificate.read_bytes() == der
    certificate = x509.load_der_x509_certificate(der)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == ["urn:x"]
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert [str(a) for a in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]
    assert identity.key.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", ["certificate.der", "key.pem"])
def test_a_broken_file_is_replaced(tmp_path: Path, name: str) -> None:
    before = thumbprint(make(tmp_path).certificate.read_bytes())
    (tmp_path / name).write_bytes(b"broken")
    after = make(tmp_path)
    assert thumbprint(after.certificate.read_bytes()) != before


def test_another_uri_or_an_expired_certificate_makes_a_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = make(tmp_path).certificate.read_bytes()
    assert make(tmp_path, "urn:y").certificate.read_bytes() != before
    before = make(tmp_path, "urn:y").certificate.read_bytes()
    later = now_us() + 6 * 365 * 86_400_000_000
    monkeypatch.setattr(pki, "now_us", lambda: later)
    assert make(tmp_path, "urn:y").certificate.read_bytes() != before


def test_trust_is_for_exactly_the_certificates_in_the_folder(tmp_path: Path) -> None:
    der = make(tmp_path / "a").certificate.read_bytes()
    trust = TrustList(tmp_path / "trusted", tmp_path / "quarantine")
    assert not trust.accepts(der)
    assert [p.name for p in (tmp_path / "quarantine").iterdir()] == [f"{thumbprint(der)}.der"]
    pem = x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM)
    (tmp_path / "trusted" / "a.pem").write_bytes(pem)
    assert trust.accepts(der)
    other = make(tmp_path / "b").certificate.read_bytes()  # same names, another key
    assert not trust.accepts(other)
    assert not trust.accepts(b"\x30\x82 nonsense")


def test_an_expired_certificate_is_not_accepted_even_when_anyone_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    der = make(tmp_path / "a").certificate.read_bytes()
    trust = TrustList(tmp_path / "trusted", tmp_path / "quarantine", anyone=True)
    assert trust.accepts(der)
    later = now_us() + 6 * 365 * 86_400_000_000
    monkeypatch.setattr(pki, "now_us", lambda: later)
    assert not trust.accepts(der)


def test_the_quarantine_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pki, "_MOST_QUARANTINED", 2)
    trust = TrustList(tmp_path / "trusted", tmp_path / "quarantine")
    for number in range(4):
        trust.accepts(make(tmp_path / str(number)).certificate.read_bytes())
    assert sum(1 for _ in (tmp_path / "quarantine").iterdir()) == 2
