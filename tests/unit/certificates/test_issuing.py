"""What is issued: who signs it, for whom, for how long, and that other programs believe it."""

import datetime
import ipaddress
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

import certificates
from certificates import CertificateError, Pair, Use

NOW = datetime.datetime(2026, 11, 21, 8, 0, tzinfo=datetime.UTC)
YEAR, DAY = datetime.timedelta(days=365), datetime.timedelta(days=1)
CA = certificates.authority("ca", NOW, YEAR)
OTHER = certificates.authority("ca", NOW, YEAR)
LEAF = certificates.leaf(CA, "one", ["one.example", "192.0.2.1"], [Use.SERVER], NOW, YEAR)


def load(pair: Pair) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pair.certificate)


def openssl(tmp_path: Path, purpose: str, name: str, pair: Pair) -> str:
    """What OpenSSL has against it; empty if nothing."""
    for file, content in (("ca", CA.certificate), ("leaf", pair.certificate)):
        (tmp_path / file).write_bytes(content)
    kind = "-verify_ip" if name[0].isdigit() else "-verify_hostname"
    command = ["openssl", "verify", "-attime", str(int(NOW.timestamp())), "-purpose", purpose, kind, name]
    done = subprocess.run([*command, "-CAfile", tmp_path / "ca", tmp_path / "leaf"], capture_output=True, text=True)
    return done.stderr if done.returncode else ""


@pytest.mark.parametrize(
    ("uses", "purpose", "believed"),
    [
        ([Use.SERVER], "sslserver", True),
        ([Use.SERVER], "sslclient", False),
        ([Use.CLIENT], "sslclient", True),
        ([Use.CLIENT], "sslserver", False),
        ([Use.SERVER, Use.CLIENT], "sslserver", True),
        ([Use.SERVER, Use.CLIENT], "sslclient", True),
    ],
)
def test_openssl_believes_it_for_its_use(tmp_path: Path, uses: list[Use], purpose: str, believed: bool) -> None:
    made = certificates.leaf(CA, "one", ["one"], uses, NOW, YEAR)
    assert (openssl(tmp_path, purpose, "one", made) == "") is believed


@pytest.mark.parametrize(
    ("name", "believed"), [("one.example", True), ("192.0.2.1", True), ("one", False), ("two.example", False), ("192.0.2.2", False)]
)
def test_openssl_believes_it_for_its_names(tmp_path: Path, name: str, believed: bool) -> None:
    """The common name counts for nothing beside alternative names (RFC 6125)."""
    assert (openssl(tmp_path, "sslserver", name, LEAF) == "") is believed


def test_an_authority_signs_leaves_and_only_that() -> None:
    extensions = load(CA).extensions
    assert extensions.get_extension_for_class(x509.BasicConstraints).value == x509.BasicConstraints(ca=True, path_length=0)
    usage = extensions.get_extension_for_class(x509.KeyUsage).value
    assert (usage.key_cert_sign, usage.digital_signature) == (True, False)
    assert load(LEAF).extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False


def test_lives_from_before_now_to_the_end_of_its_life() -> None:
    """A peer whose clock is somewhat late believes it too."""
    for pair in (CA, LEAF):
        made = load(pair)
        assert made.not_valid_before_utc < NOW - datetime.timedelta(minutes=5) < made.not_valid_after_utc == NOW + YEAR


def test_no_two_have_the_same_number_or_key() -> None:
    made = [certificates.leaf(CA, "one", ["one"], [Use.SERVER], NOW, YEAR) for _ in range(5)]
    assert len({load(pair).serial_number for pair in made}) == len({pair.key for pair in made}) == 5


@given(st.lists(st.ip_addresses() | st.from_regex(r"[a-z]{1,60}(\.[a-z]{1,60}){0,2}", fullmatch=True), min_size=1, max_size=6))
def test_every_name_and_address_is_in_it_once(names: list[ipaddress.IPv4Address | ipaddress.IPv6Address | str]) -> None:
    given_names = [str(each) for each in names]
    made = load(certificates.leaf(CA, given_names[0], [*given_names, *given_names], [Use.SERVER], NOW, YEAR))
    found = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    addresses = [str(each) for each in found.get_values_for_type(x509.IPAddress)]
    assert sorted([*addresses, *found.get_values_for_type(x509.DNSName)]) == sorted(set(given_names))
    [common] = made.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    assert given_names[0].startswith(str(common.value))


def test_a_key_of_another_authority_of_the_same_name_signs_what_nobody_believes(tmp_path: Path) -> None:
    made = certificates.leaf(OTHER, "one", ["one"], [Use.SERVER], NOW, YEAR)
    assert openssl(tmp_path, "sslserver", "one", made)


def test_an_issuer_that_can_not_be_read() -> None:
    with pytest.raises(CertificateError, match="key is not PEM"):
        certificates.leaf(Pair(CA.certificate, b"hunter2"), "one", ["one"], [Use.SERVER], NOW, YEAR)


def test_a_new_key_is_on_the_curve_that_everybody_knows() -> None:
    assert isinstance(certificates.new_key().curve, ec.SECP256R1)
