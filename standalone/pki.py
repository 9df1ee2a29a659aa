"""Keys and certificates of one control plane.

One certificate authority signs the API server's and etcd's certificates; its own key is forgotten at once, so nobody
can sign another. All are made anew when one is missing or near its end.
"""

import datetime
import ipaddress
import os
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from standalone.ports import LOOPBACK

VALIDITY = datetime.timedelta(days=365)
RENEW_BEFORE = datetime.timedelta(days=30)

SERVICE_CIDR = "10.96.0.0/24"
"""The API server gives itself (the Service `kubernetes`) the first address of this range; its certificate names it."""

_NAMES = ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc")


@dataclass(frozen=True)
class Pki:
    """Paths of the PEM files; private keys have mode 0600."""

    directory: Path

    @property
    def authority(self) -> Path:
        """The certificate that everything else is verified with."""
        return self.directory / "ca.crt"

    def certificate(self, name: str) -> Path:
        """The certificate of `apiserver` or `etcd`."""
        return self.directory / f"{name}.crt"

    def key(self, name: str) -> Path:
        """The private key of `apiserver`, `etcd`, or `service-account` (which signs tokens and has no certificate)."""
        return self.directory / f"{name}.key"

    def ensure(self, now: datetime.datetime) -> None:
        """Make what is missing or ends within RENEW_BEFORE.  `now` is an aware time.

        The service account key is kept for ever: renewing it would invalidate every token in the cluster.
        """
        if not self.key("service-account").exists():
            write_private(self.key("service-account"), _pem(ec.generate_private_key(ec.SECP256R1())))
        if not all(self._usable(name, now) for name in ("apiserver", "etcd")):
            self._issue_all(now)

    def _usable(self, name: str, now: datetime.datetime) -> bool:
        try:
            authority = x509.load_pem_x509_certificate(self.authority.read_bytes())
            certificate = x509.load_pem_x509_certificate(self.certificate(name).read_bytes())
            key = serialization.load_pem_private_key(self.key(name).read_bytes(), password=None)
            certificate.verify_directly_issued_by(authority)
        except Exception:  # whatever is wrong with what lies there, new ones are made
            return False
        return certificate.not_valid_after_utc - now > RENEW_BEFORE and key.public_key() == certificate.public_key()

    def _issue_all(self, now: datetime.datetime) -> None:
        authority_key = ec.generate_private_key(ec.SECP256R1())
        name = _name("vireo-standalone-ca")
        authority = (
            _builder(name, name, authority_key.public_key(), now)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_authority_usage(), critical=True)
            .sign(authority_key, hashes.SHA256())
        )
        for server, usages in _USAGES.items():
            self._issue(server, usages, name, authority_key, now)
        self.authority.write_bytes(authority.public_bytes(serialization.Encoding.PEM))

    def _issue(
        self,
        server: str,
        usages: list[x509.ObjectIdentifier],
        issuer: x509.Name,
        issuer_key: ec.EllipticCurvePrivateKey,
        now: datetime.datetime,
    ) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            _builder(_name(f"vireo-standalone-{server}"), issuer, key.public_key(), now)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(x509.SubjectAlternativeName(_alternative_names()), critical=False)
            .sign(issuer_key, hashes.SHA256())
        )
        write_private(self.key(server), _pem(key))
        self.certificate(server).write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read; never, not even for a moment, with a wider mode."""
    unfinished = path.with_name(path.name + ".unfinished")
    unfinished.unlink(missing_ok=True)
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
    unfinished.rename(path)


_USAGES = {
    "apiserver": [ExtendedKeyUsageOID.SERVER_AUTH],
    "etcd": [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH],  # its one client uses the same pair
}


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime.datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))  # clocks that were set back a little
        .not_valid_after(now + VALIDITY)
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _alternative_names() -> list[x509.GeneralName]:
    first_service_address = next(ipaddress.IPv4Network(SERVICE_CIDR).hosts())
    addresses = (ipaddress.IPv4Address(LOOPBACK), first_service_address)
    return [*(x509.DNSName(name) for name in _NAMES), *(x509.IPAddress(address) for address in addresses)]


def _authority_usage() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        crl_sign=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
