"""Who answers: what a certificate says of itself is shown, shortened, on one line, with the fingerprint that nobody can forge."""

import datetime
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from drivers.kvm.link import peer
from drivers.kvm.link.url import Target, Transport
from tests.support.ports import reserved

NOW = datetime.datetime(2026, 11, 21, tzinfo=datetime.UTC)
KEY = ec.generate_private_key(ec.SECP256R1())


def made(name: str) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)] if name else [])
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(KEY.public_key())
    builder = builder.serial_number(1).not_valid_before(NOW).not_valid_after(NOW + datetime.timedelta(days=1))
    return builder.sign(KEY, hashes.SHA256())


def der(name: str) -> bytes:
    return made(name).public_bytes(serialization.Encoding.DER)


@contextmanager
def listening(serve: Callable[[socket.socket], None]) -> Iterator[Target]:
    """A peer on this machine that does `serve` with each client."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def run() -> None:
            with suppress(OSError):
                while True:
                    client, _ = server.accept()
                    with client, suppress(OSError):
                        serve(client)

        threading.Thread(target=run, daemon=True).start()
        yield Target(Transport.TLS, "127.0.0.1", server.getsockname()[1])


def test_the_peer_is_named_as_openssl_names_it(tmp_path: Path) -> None:
    pem, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    pem.write_bytes(made("kvm-1").public_bytes(serialization.Encoding.PEM))
    key.write_bytes(KEY.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, key)

    def serve(client: socket.socket) -> None:
        with context.wrap_socket(client, server_side=True) as secured:
            secured.recv(1)

    with listening(serve) as target:
        shown = peer.describe(target, 10)
    command = ["openssl", "x509", "-noout", "-fingerprint", "-sha256", "-in", str(pem)]
    expected = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip().partition("=")[2]
    assert shown == f"the certificate of CN=kvm-1, issued by CN=kvm-1, SHA-256 {expected}"


@pytest.mark.parametrize("words", [b"", b"SSH-2.0-OpenSSH_9.2\r\n", b"\x16\x03\x01\x00\x02\x01\x00"])
def test_who_speaks_no_tls_is_not_named(words: bytes) -> None:
    with listening(lambda client: client.sendall(words)) as target:
        assert peer.describe(target, 10) == ""


def test_who_says_nothing_is_not_waited_for() -> None:
    released = threading.Event()
    with listening(lambda _client: (released.wait(30), None)[1]) as target:
        assert peer.describe(target, 0.2) == ""
    released.set()


def test_nobody_there() -> None:
    with reserved() as silent:
        assert peer.describe(Target(Transport.TLS, "127.0.0.1", silent.getsockname()[1]), 1) == ""


@given(st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), min_size=1, max_size=16))
def test_any_name_stays_short_and_on_one_line(name: str) -> None:
    text = peer.certificate(der(name))
    assert text.isprintable()
    assert len(text) < 2 * peer.LONGEST_NAME + 160


def test_a_certificate_without_a_name() -> None:
    assert "the certificate of nobody" in peer.certificate(der(""))


@given(st.binary(max_size=64))
def test_what_is_no_certificate(content: bytes) -> None:
    with pytest.raises(ValueError):
        peer.certificate(content)
