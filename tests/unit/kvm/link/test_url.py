"""Which endpoint URLs are accepted, and what libvirt gets for them."""

from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from drivers.errors import InvalidSpec
from drivers.kvm.link.url import MAX_URL, Target, Transport, parse

ACCEPTED = {
    "qemu+unix:///system": Target(Transport.UNIX),
    "qemu+unix:///system?socket=/run/libvirt/libvirt-sock": Target(Transport.UNIX, socket="/run/libvirt/libvirt-sock"),
    "qemu+tls://kvm1.example/system": Target(Transport.TLS, host="kvm1.example"),
    "qemu+tls://kvm1.example:16999/system": Target(Transport.TLS, host="kvm1.example", port=16999),
    "qemu+tls://192.0.2.7/system": Target(Transport.TLS, host="192.0.2.7"),
    "qemu+tls://[2001:db8::7]:16514/system": Target(Transport.TLS, host="2001:db8::7", port=16514),
    "qemu+ssh://kvm1/system": Target(Transport.SSH, host="kvm1"),
    "qemu+ssh://root@kvm1:2222/system": Target(Transport.SSH, host="kvm1", port=2222, user="root"),
}

REFUSED = [
    "",
    "qemu",
    "qemu:///system",
    "qemu+tcp://kvm1/system",
    "qemu+ext:///system",
    "qemu+libssh2://kvm1/system",
    "xen+tls://kvm1/system",
    "test+tls://kvm1/default",
    "http://kvm1/system",
    "qemu+tls://kvm1/session",
    "qemu+tls://kvm1/",
    "qemu+tls://kvm1/system/../session",
    "qemu+tls://kvm1/system#x",
    "qemu+tls://kvm1/system#",
    "qemu+tls:///system",
    "qemu+tls://user@kvm1/system",
    "qemu+tls://kvm1:0/system",
    "qemu+tls://kvm1:65536/system",
    "qemu+tls://kvm1:x/system",
    "qemu+tls://kvm1/system?no_verify=1",
    "qemu+tls://kvm1/system?pkipath=/etc",
    "qemu+tls://kvm1/system?socket=/x",
    "qemu+tls://-oProxyCommand=id/system",
    "qemu+tls://kvm_1/system",
    "qemu+tls://kvm1%2f/system",
    "qemu+tls://1.2.3.4.5/system",
    "qemu+tls://[fe80::1%25eth0]/system",
    "qemu+tls://[::1/system",
    f"qemu+tls://{'a' * 64}.example/system",
    "qemu+ssh://-oProxyCommand=id/system",
    "qemu+ssh://-l@kvm1/system",
    "qemu+ssh://@kvm1/system",
    "qemu+ssh://ro%20ot@kvm1/system",
    "qemu+ssh://kvm1/system?command=/bin/sh",
    "qemu+ssh://kvm1/system?netcat=/bin/sh",
    "qemu+ssh://kvm1/system?keyfile=/etc/shadow",
    "qemu+ssh://kvm1/system?no_verify=1",
    "qemu+ssh://kvm1/system?proxy=native",
    "qemu+unix://kvm1/system",
    "qemu+unix:///system?socket=relative",
    "qemu+unix:///system?socket=/a/../b",
    "qemu+unix:///system?socket=/a//b",
    "qemu+unix:///system?socket=/a&socket=/b",
    "qemu+unix:///system?socket=/a%00b",
    "qemu+unix:///system?socket=/a%26command=x",
    "qemu+unix:///system?socket=/" + "a" * 107,
    "qemu+unix:///system?mode=direct",
    "qemu+unix:///system?;socket=/a",
    "qemu+unix:///system?socket",
    " qemu+tls://kvm1/system",
    "qemu+tls://kvm1/system\n",
    "qemu+tls://kvm1\t/system",
    "qemu+tls://kv\u00fcm/system",
    "qemu+tls://kvm1/system?" + "a" * MAX_URL,
]


@pytest.mark.parametrize(("url", "target"), ACCEPTED.items())
def test_accepted(url: str, target: Target) -> None:
    assert parse(url) == target


@pytest.mark.parametrize("url", ACCEPTED)
def test_what_libvirt_gets_says_the_same(url: str) -> None:
    assert parse(url).uri() == url


@pytest.mark.parametrize("url", REFUSED)
def test_refused(url: str) -> None:
    with pytest.raises(InvalidSpec):
        parse(url)


def test_a_password_is_refused_and_not_repeated() -> None:
    for url in ("qemu+ssh://root:hunter2@kvm1/system", "qemu+tls://root:hunter2@kvm1/system", "qemu+ssh://root:@kvm1/system"):
        with pytest.raises(InvalidSpec, match="password") as caught:
            parse(url)
        assert "hunter2" not in str(caught.value)


ALPHABET = st.sampled_from([*"qemu+tlsshunixy:/@?&=#%[]-.;,\\ \n\x00'\"$`é", "system", "://", "socket=", "command=", "no_verify=1"])


@given(
    st.lists(ALPHABET, max_size=30).map("".join)
    | st.lists(ALPHABET, max_size=12).map("".join).map(lambda tail: f"qemu+ssh://h{tail}")
)
@example("qemu+ssh://h/system?command=x")
def test_whatever_comes_in_only_known_things_go_out(url: str) -> None:
    """Refused, or a URI of our own making: known transport, one host, no parameter but the socket."""
    try:
        uri = parse(url).uri()
    except InvalidSpec:
        return
    parts = urlsplit(uri)
    assert parts.scheme in {"qemu+unix", "qemu+tls", "qemu+ssh"}
    assert parts.path == "/system"
    assert set(parse_qs(parts.query)) <= {"socket"}
    assert not (parts.hostname or "").startswith("-")
    assert parse(uri) == parse(url)


def test_parameters_of_the_driver_are_quoted() -> None:
    uri = parse("qemu+tls://kvm1/system").uri({"pkipath": "/dev/shm/a&command=b", "no_verify": "1"})
    assert parse_qs(urlsplit(uri).query) == {"pkipath": ["/dev/shm/a&command=b"], "no_verify": ["1"]}


@pytest.mark.parametrize(
    ("url", "user", "authority"),
    [
        ("qemu+ssh://kvm1/system", "vireo", "vireo@kvm1"),
        ("qemu+ssh://root@kvm1/system", "vireo", "root@kvm1"),
        ("qemu+ssh://kvm1/system", "", "kvm1"),
        ("qemu+tls://kvm1/system", "vireo", "kvm1"),
        ("qemu+unix:///system", "vireo", ""),
    ],
)
def test_the_user_of_the_secret_is_for_ssh_where_the_url_names_nobody(url: str, user: str, authority: str) -> None:
    assert urlsplit(parse(url).uri(user=user)).netloc == authority


@pytest.mark.parametrize("user", ["-oProxyCommand=id", "a b", "a@b", "a/b", "x" * 65])
def test_a_user_of_the_secret_that_no_host_has_is_refused(user: str) -> None:
    with pytest.raises(InvalidSpec):
        parse("qemu+ssh://kvm1/system").uri(user=user)
