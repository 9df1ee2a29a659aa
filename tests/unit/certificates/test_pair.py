"""Pairs: what can be used, how long, and that neither text nor representation shows a key."""

import datetime

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

import certificates
from certificates import CertificateError, Pair, Use
from certificates.pair import key_pem

NOW = datetime.datetime(2026, 11, 21, 8, 0, tzinfo=datetime.UTC)
LIFE, SECOND = datetime.timedelta(days=365), datetime.timedelta(seconds=1)
CA = certificates.authority("ca", NOW, LIFE)
OTHER = certificates.authority("ca", NOW, LIFE)
LEAF = certificates.leaf(CA, "one", ["one"], [Use.CLIENT], NOW, LIFE)


def with_passphrase() -> bytes:
    words = serialization.BestAvailableEncryption(b"hunter2")
    return certificates.new_key().private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, words)


def of_another_kind() -> bytes:
    key = rsa.generate_private_key(65537, 2048)
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def traditional() -> tuple[ec.EllipticCurvePrivateKey, bytes]:
    """As `openssl ecparam -genkey` writes it."""
    key = certificates.new_key()
    form = serialization.PrivateFormat.TraditionalOpenSSL
    return key, key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


@pytest.mark.parametrize(
    ("pair", "why"),
    [
        (Pair(b"hunter2", LEAF.key), "certificate is not PEM"),
        (Pair(b"", LEAF.key), "certificate is not PEM"),
        (Pair(LEAF.key, LEAF.key), "certificate is not PEM"),
        (Pair(LEAF.certificate, b"hunter2"), "key is not PEM"),
        (Pair(LEAF.certificate, b""), "key is not PEM"),
        (Pair(LEAF.certificate, LEAF.certificate), "key is not PEM"),
        (Pair(LEAF.certificate, LEAF.key[:-60]), "key is not PEM"),
        (Pair(LEAF.certificate, with_passphrase()), "has a passphrase"),
        (Pair(LEAF.certificate, of_another_kind()), "elliptic"),
    ],
)
def test_what_can_not_be_read(pair: Pair, why: str) -> None:
    with pytest.raises(CertificateError, match=why) as caught:
        certificates.read(pair)
    assert caught.value.__cause__ is None, "what the parser says may quote the key"
    assert "hunter2" not in str(caught.value)


def test_a_key_is_read_in_either_form() -> None:
    key, pem = traditional()
    for form in (pem, key_pem(key)):
        assert certificates.read(Pair(LEAF.certificate, form))[1].private_numbers() == key.private_numbers()


@pytest.mark.parametrize(
    ("pair", "authority", "until", "good"),
    [
        (LEAF, CA, NOW, True),
        (LEAF, CA, NOW + LIFE - SECOND, True),
        (LEAF, CA, NOW + LIFE, False),
        (LEAF, OTHER, NOW, False),
        (LEAF, LEAF, NOW, False),
        (Pair(LEAF.certificate, OTHER.key), CA, NOW, False),
    ],
    ids=["good", "to the last second", "ended", "of another authority", "no authority", "another key"],
)
def test_how_long_it_lasts(pair: Pair, authority: Pair, until: datetime.datetime, good: bool) -> None:
    assert certificates.lasts(pair, authority.certificate, until) is good


def test_an_authority_that_can_not_be_read() -> None:
    with pytest.raises(CertificateError, match="certificate is not PEM"):
        certificates.lasts(LEAF, b"hunter2", NOW)


def test_no_representation_shows_a_key() -> None:
    assert "PRIVATE" not in repr(CA)
    assert "PRIVATE" not in f"{CA} {[LEAF]}"
