"""Certificates for a lab host and its clients, as an administrator makes them for libvirt (https://libvirt.org/kbase/tlscerts.html)."""

from __future__ import annotations

from pathlib import Path

from drivers.types import Credentials
from tests.lab.shell import run

CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")


class Authority:
    """A certificate authority with its files in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True)
        self._directory = directory
        self.certificate = directory / "ca.pem"
        usage = ("-addext", "keyUsage=critical,keyCertSign,cRLSign")
        run(
            "openssl",
            "req",
            "-x509",
            *CURVE,
            "-subj",
            "/CN=ca",
            *usage,
            "-keyout",
            self._path("ca.key"),
            "-out",
            str(self.certificate),
        )

    def leaf(self, name: str, alternative: str, usage: str) -> tuple[Path, Path]:
        """Certificate and key for `name`; `usage` is serverAuth or clientAuth."""
        extensions = self._directory / f"{name}.ext"
        extensions.write_text(
            f"subjectAltName={alternative}\nkeyUsage=digitalSignature,keyEncipherment\nextendedKeyUsage={usage}\n"
        )
        key, request, certificate = (self._path(f"{name}.{kind}") for kind in ("key", "csr", "pem"))
        run("openssl", "req", *CURVE, "-subj", f"/CN={name}", "-keyout", key, "-out", request)
        signed_by = ("-CA", str(self.certificate), "-CAkey", self._path("ca.key"), "-CAcreateserial")
        run("openssl", "x509", "-req", "-in", request, *signed_by, "-days", "2", "-extfile", str(extensions), "-out", certificate)
        return Path(certificate), Path(key)

    def client(self, name: str = "client", *, trusting: Authority | None = None) -> Credentials:
        """Credentials of a client of ours that trusts the servers of `trusting`, by default ours."""
        certificate, key = self.leaf(name, f"DNS:{name}", "clientAuth")
        trusted = (trusting or self).certificate.read_bytes()
        return Credentials(client_certificate=certificate.read_bytes(), client_key=key.read_bytes(), ca_certificate=trusted)

    def _path(self, name: str) -> str:
        return str(self._directory / name)
