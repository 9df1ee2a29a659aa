"""Keys and certificates of one control plane.

One certificate authority signs the API server's and etcd's certificates; its own key is forgotten at once, so nobody
can sign another. All are made anew when one is missing or near its end.
"""

import datetime
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

import certificates
from certificates import CertificateError, Pair, Use
from certificates.files import write_private
from standalone.ports import LOOPBACK

VALIDITY = datetime.timedelta(days=365)
RENEW_BEFORE = datetime.timedelta(days=30)

SERVICE_CIDR = "10.96.0.0/24"
"""The API server gives itself (the Service `kubernetes`) the first address of this range; its certificate names it."""

_FIRST_SERVICE = str(next(ipaddress.IPv4Network(SERVICE_CIDR).hosts()))
_NAMES = ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", LOOPBACK, _FIRST_SERVICE)


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
            write_private(self.key("service-account"), _service_account_key())
        if not all(self._usable(name, now) for name in ("apiserver", "etcd")):
            self._issue_all(now)

    def _usable(self, name: str, now: datetime.datetime) -> bool:
        try:
            pair = Pair(self.certificate(name).read_bytes(), self.key(name).read_bytes())
            return certificates.lasts(pair, self.authority.read_bytes(), now + RENEW_BEFORE)
        except (OSError, CertificateError):  # whatever is wrong with what lies there, new ones are made
            return False

    def _issue_all(self, now: datetime.datetime) -> None:
        authority = certificates.authority("vireo-standalone-ca", now, VALIDITY)
        for server, uses in _USES.items():
            pair = certificates.leaf(authority, f"vireo-standalone-{server}", _NAMES, uses, now, VALIDITY)
            write_private(self.key(server), pair.key)
            self.certificate(server).write_bytes(pair.certificate)
        self.authority.write_bytes(authority.certificate)


def _service_account_key() -> bytes:
    """In the older form: the API server takes the public half from the same file, and finds it in no other."""
    return certificates.new_key().private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())


_USES = {
    "apiserver": [Use.SERVER],
    "etcd": [Use.SERVER, Use.CLIENT],  # its one client uses the same pair
}
