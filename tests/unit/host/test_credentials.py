"""Secret data → credentials: any bytes give credentials or one clear error that shows none of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.host.credentials import KEYS, LONGEST_FILE, SecretInvalid, authority, credentials

KNOWN = b"kvm1.example ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJYbP2Ku8Y1Ft0mVv3pXwA1cQ9a0ZtqkE1uQYxk3nQm\n"
PEM = b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"


def test_each_key_goes_to_its_field() -> None:
    found = credentials(
        {
            "username": b"admin",
            "password": "pässwörd".encode(),
            "tls.crt": PEM + b"1",
            "tls.key": PEM + b"2",
            "ca.crt": PEM + b"3",
            "ssh-privatekey": PEM + b"4",
            "known_hosts": KNOWN,
            "unrelated": b"\xff",
        }
    )
    assert (found.username, found.password) == ("admin", "pässwörd")
    assert (found.client_certificate, found.client_key) == (PEM + b"1", PEM + b"2")
    assert (found.ca_certificate, found.ssh_key) == (PEM + b"3", PEM + b"4")
    assert found.known_hosts == KNOWN


@pytest.mark.parametrize(
    "line",
    [
        KNOWN,
        b"# comment\n\n" + KNOWN,
        b"|1|c2FsdA==|aGFzaA== ssh-rsa " + b"A" * 372 + b"\n",
        b"@cert-authority *.example ecdsa-sha2-nistp256 " + b"A" * 100,
        b"[kvm1.example]:2222,192.0.2.1 sk-ssh-ed25519@openssh.com " + b"A" * 68,
    ],
)
def test_lines_of_known_hosts(line: bytes) -> None:
    assert credentials({"known_hosts": line}).known_hosts == line


@pytest.mark.parametrize("value", [b"kvm1", b"# " + KNOWN, b"ssh-ed25519 " + b"A" * 68, PEM, b"x" * (LONGEST_FILE + 1)])
def test_what_is_no_known_hosts(value: bytes) -> None:
    with pytest.raises(SecretInvalid, match="known_hosts"):
        credentials({"known_hosts": value})


def test_absent_keys_are_empty() -> None:
    found = credentials({"username": b"admin"})
    assert (found.password, found.client_certificate, found.ssh_key) == ("", b"", b"")


@pytest.mark.parametrize("text", [b"a\n", b"a\r\n", b"\x00", b"a\tb", "a\u2028".encode(), b"\xff\xfe"])
def test_texts_that_can_not_be_typed_are_refused(text: bytes) -> None:
    with pytest.raises(SecretInvalid, match="password"):
        credentials({"username": b"admin", "password": text})


def test_authority_needs_its_key_and_pem() -> None:
    assert authority({"bundle": PEM}, "bundle") == PEM
    with pytest.raises(SecretInvalid, match="no key bundle"):
        authority({"ca.crt": PEM}, "bundle")
    with pytest.raises(SecretInvalid, match="not PEM"):
        authority({"bundle": b"DER"}, "bundle")
    with pytest.raises(SecretInvalid, match="longer"):
        authority({"bundle": PEM + b"x" * LONGEST_FILE}, "bundle")


values = st.binary(max_size=40) | st.just(PEM) | st.sampled_from([b"x" * 1025, PEM + b"x" * LONGEST_FILE])


@given(st.dictionaries(st.sampled_from([*KEYS, "other"]), values))
def test_any_data_gives_credentials_or_an_error_without_values(data: dict[str, bytes]) -> None:
    problem, found = "", None
    try:
        found = credentials(data)
    except SecretInvalid as error:
        problem = str(error)
    assert (found is None) == bool(problem)
    assert len(problem) < 200
    assert not [value for value in data.values() if len(value) >= 8 and value.decode(errors="replace") in problem]
    if found:
        assert found.username.encode() == data.get("username", b"")
        assert found.password.encode() == data.get("password", b"")
        assert found.password == "" or found.password not in repr(found) or found.password in found.username
