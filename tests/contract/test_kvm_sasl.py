"""A host that asks for a user name and a password besides the certificate (SASL), as libvirt's documentation sets that up."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from drivers.types import Credentials, Endpoint
from tests.contract.kvm_binding import KVMBinding, empty_image
from tests.contract.kvm_pki import Authority
from tests.contract.kvm_remote_pair import operator_of
from tests.contract.suite import Credentialed
from tests.contract.test_kvm_remote import URL, connect, listen_with_tls
from tests.lab import Lab, disposable
from tests.lab.host import run_in

pytestmark = pytest.mark.lab

MECHANISM = Path("/usr/lib/x86_64-linux-gnu/sasl2/libscram.so")
USER, PASSWORD = "operator", "correct horse"
SETTINGS = "mech_list: scram-sha-256\nsasldb_path: {}\n"
SET_PASSWORD = """
import ctypes, sys
database, user, password = (word.encode() for word in sys.argv[1:])
GET = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.POINTER(ctypes.c_char_p),
                       ctypes.POINTER(ctypes.c_uint))
options = {b"sasldb_path": database, b"auxprop_plugin": b"sasldb"}
@GET
def get(_context, _plugin, option, result, length):
    if option not in options:
        return -1
    result[0] = options[option]
    if length:
        length[0] = len(options[option])
    return 0
class Callback(ctypes.Structure):
    _fields_ = [("id", ctypes.c_ulong), ("function", ctypes.c_void_p), ("context", ctypes.c_void_p)]
callbacks = (Callback * 2)(Callback(1, ctypes.cast(get, ctypes.c_void_p), None), Callback(0, None, None))
library, connection = ctypes.CDLL("libsasl2.so.2"), ctypes.c_void_p()
assert library.sasl_server_init(callbacks, b"libvirt") == 0
assert library.sasl_server_new(b"libvirt", None, None, None, None, callbacks, 0, ctypes.byref(connection)) == 0
sys.exit(library.sasl_setpass(connection, user, password, len(password), None, 0, 1))
"""
"""What saslpasswd2(8) does, which is a package of its own: it calls sasl_setpass(3) with SASL_SET_CREATE."""


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("pki") / "ours")


@pytest.fixture(scope="module")
def lab(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    if not MECHANISM.exists():
        pytest.skip("it needs a Debian package that is not installed: apt-get install libsasl2-modules")
    with disposable() as lab:
        lab.up()
        etc = lab.layout.host_dir("h1") / "etc"
        database = etc / "passwd.db"
        settings: Path = tmp_path_factory.mktemp("sasl") / "libvirt.conf"
        settings.write_text(SETTINGS.format(database))
        run_in(lab.host("h1"), sys.executable, "-c", SET_PASSWORD, str(database), USER, PASSWORD)  # the realm is the host's name
        run_in(lab.host("h1"), "mount", "--bind", str(settings), "/etc/sasl2/libvirt.conf")
        with (etc / "libvirtd.conf").open("a") as file:
            file.write('auth_tls = "sasl"\n')
        listen_with_tls(lab, authority)
        yield lab


def endpoint(authority: Authority, name: str, username: str, password: str) -> Endpoint:
    given: Credentials = authority.client(name)
    return Endpoint(URL, replace(given, username=username, password=password))


def test_the_right_password_is_let_in(lab: Lab, authority: Authority) -> None:
    assert connect(lab, endpoint(authority, "right", USER, PASSWORD)) == {"host": "h1"}


def test_a_refusal_shows_no_password_and_prints_nothing(lab: Lab, authority: Authority) -> None:
    found = connect(lab, endpoint(authority, "wrong", USER, "hunter2"))
    assert found["error"] == "AuthFailed", found
    assert [word for word in (PASSWORD, "hunter2") if word in found["text"]] == []


class TestCredentials(Credentialed):
    """What every driver must do, from where an operator sits."""

    @pytest.fixture(scope="class")
    @classmethod
    def binding(cls, lab: Lab, authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KVMBinding]:
        made = KVMBinding(lab.host("h1"), empty_image(tmp_path_factory.mktemp("image")))
        made.endpoint = endpoint(authority, "suite", USER, PASSWORD)
        with operator_of(lab):
            yield made
