"""Hosts over the network: certificates that are trusted and that are not, SSH, and what stays of credentials (nothing)."""

import json
import os
import pickle
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import libvirt
import pytest

from drivers.errors import InvalidSpec, Transient
from drivers.kvm.connection import KVMDriver
from drivers.kvm.link.credentials import MEMORY_DIRECTORY
from drivers.types import Credentials, Endpoint
from tests.contract.kvm_binding import PATIENT
from tests.contract.kvm_pki import Authority
from tests.lab import Lab, disposable
from tests.lab.host import run_in
from tests.lab.sshd import let_in

pytestmark = pytest.mark.lab

REPOSITORY = Path(__file__).parent.parent.parent
URL = "qemu+tls://198.18.0.1/system"
FAKE_SSH = """#!/bin/sh
# stands for ssh and the way to the host: notes what it was given, then runs the remote command there
printf '%s\\n' "$@" > {notes}/arguments
while [ "$1" != -- ]; do if [ "$1" = -i ]; then cat "$2" > {notes}/key; stat -c %a "$2" > {notes}/mode; fi; shift; done
shift 2
exec {command} sh -c "$*"
"""


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("pki") / "ours")


@pytest.fixture(scope="module")
def lab(authority: Authority) -> Iterator[Lab]:
    """A host that listens with TLS and asks clients for a certificate."""
    with disposable() as lab:
        lab.up()
        listen_with_tls(lab, authority)
        yield lab


def listen_with_tls(lab: Lab, authority: Authority) -> None:
    etc = lab.layout.host_dir("h1") / "etc"
    certificate, key = authority.leaf("h1", "DNS:h1,IP:198.18.0.1", "serverAuth")
    for source, name in ((certificate, "cert.pem"), (key, "key.pem"), (authority.certificate, "ca.pem")):
        (etc / name).write_bytes(source.read_bytes())
    files = "".join(f'{kind}_file = "/etc/libvirt/{kind}.pem"\n' for kind in ("cert", "key", "ca"))
    configuration = (etc / "libvirtd.conf").read_text().replace("listen_tls = 0", "listen_tls = 1")
    configuration = re.sub('listen_addr = ".*"', 'listen_addr = "0.0.0.0"', configuration) + files
    lab.host("h1").daemon_stop()
    (etc / "libvirtd.conf").write_text(configuration)
    lab.host("h1").daemon_start()


def connect(lab: Lab, endpoint: Endpoint, *action: str) -> dict[str, str]:
    """How connecting, and an action of `kvm_client`, goes from where an operator sits."""
    argv = lab.command("ctl", sys.executable, "-m", "tests.contract.kvm_client", *action)
    done = subprocess.run(argv, input=pickle.dumps(endpoint), capture_output=True, cwd=REPOSITORY, timeout=240, check=True)
    assert done.stderr == b"", "libvirt prints nothing by itself"
    return dict(json.loads(done.stdout))


def test_a_client_with_a_certificate_of_the_authority_is_let_in(lab: Lab, authority: Authority) -> None:
    assert connect(lab, Endpoint(URL, authority.client())) == {"host": "h1"}


def test_a_vm_runs_and_goes_over_tls(lab: Lab, authority: Authority) -> None:
    """Made through one connection, removed through another, and seen on the host in between."""
    endpoint, instance = Endpoint(URL, authority.client("keeper")), str(uuid4())
    with closing(libvirt.open(lab.host("h1").uri)) as admin:
        assert connect(lab, endpoint, "start", instance) == {"host": "h1", "power": "On"}
        assert [(each.UUIDString(), each.isActive()) for each in admin.listAllDomains()] == [(instance, True)]
        assert connect(lab, endpoint, "delete", instance) == {"host": "h1", "left": ""}
        assert admin.listAllDomains() == []


LARGEST = 1 << 20
"""Bytes of a file that may be one of the driver's; others keep larger things in memory."""


def holders(*secrets: bytes) -> list[Path]:
    """Files in memory, where the driver puts what libvirt reads, that have one of these in them; others' come and go meanwhile."""
    found = []
    for path in MEMORY_DIRECTORY.rglob("*"):
        with suppress(OSError):
            if path.is_file() and path.stat().st_size <= LARGEST and any(secret in path.read_bytes() for secret in secrets):
                found.append(path)
    return found


def test_nothing_of_the_certificates_stays(lab: Lab, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither of those that were let in, nor of those that were refused by either side."""
    home, stranger = tmp_path / "home", Authority(tmp_path / "stranger")
    home.mkdir()
    for name in ("HOME", "TMPDIR", "XDG_RUNTIME_DIR", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(home))
    both = authority.certificate.read_bytes() + stranger.certificate.read_bytes()
    logins = [
        authority.client("passing"),
        authority.client("mistaken", trusting=stranger),
        replace(stranger.client("intruder"), ca_certificate=both),
    ]
    outcomes = [connect(lab, Endpoint(URL, login)).get("error", "") for login in logins]
    assert outcomes == ["", "AuthFailed", "AuthFailed"]
    assert holders(*(each for login in logins for each in (login.client_key, login.client_certificate))) == []
    assert list(home.rglob("*")) == [], "what libvirt and its TLS library write for an account"


def test_a_host_that_we_do_not_trust_is_refused(lab: Lab, authority: Authority, tmp_path: Path) -> None:
    stranger = Authority(tmp_path / "stranger")
    for credentials in (stranger.client("ours"), Credentials(ca_certificate=stranger.certificate.read_bytes())):
        found = connect(lab, Endpoint(URL, credentials))
        assert found["error"] == "AuthFailed", found
        assert "the peer shows the certificate of CN=h1, issued by CN=ca, SHA-256 " in found["text"], found


def test_a_host_with_the_certificate_of_another_name_is_refused_unless_insecure(lab: Lab, authority: Authority) -> None:
    run_in(lab.host("h1"), "ip", "address", "add", "198.18.0.77/24", "dev", "mgmt0")
    endpoint = Endpoint("qemu+tls://198.18.0.77/system", authority.client("misled"))
    found = connect(lab, endpoint)
    assert found["error"] == "AuthFailed", found
    assert "CN=h1" in found["text"]
    assert connect(lab, replace(endpoint, insecure=True)) == {"host": "h1"}


def test_where_nobody_listens_somebody_may_later(lab: Lab, authority: Authority) -> None:
    assert connect(lab, Endpoint("qemu+tls://198.18.0.1:16599/system", authority.client("early")))["error"] == "Unanswered"


LISTENER = """
import socket, struct, sys
with socket.create_server(("127.0.0.1", 0)) as server:
    print(server.getsockname()[1], flush=True)
    while True:
        client, _ = server.accept()
        with client:
            if sys.argv[1] != "at once":
                client.recv(4096)
            if sys.argv[1] == "with a reset":
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
"""


@pytest.mark.parametrize("how", ["at once", "after the greeting", "with a reset"])
def test_a_handshake_that_breaks_off_may_succeed_later(lab: Lab, authority: Authority, how: str) -> None:
    """As from a host that is just restarting its libvirtd."""
    argv = lab.command("ctl", sys.executable, "-c", LISTENER, how)
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as listener:
        try:
            assert listener.stdout is not None
            port = int(listener.stdout.readline())
            found = connect(lab, Endpoint(f"qemu+tls://127.0.0.1:{port}/system", authority.client(how.replace(" ", "-"))))
        finally:
            listener.kill()
    assert found["error"] == "Unanswered", found
    assert "TLS handshake failed" in found["text"] or "reset" in found["text"], found


def test_a_client_that_the_host_does_not_know_is_refused(lab: Lab, authority: Authority, tmp_path: Path) -> None:
    stranger = Authority(tmp_path / "stranger")
    both = authority.certificate.read_bytes() + stranger.certificate.read_bytes()
    found = connect(lab, Endpoint(URL, replace(stranger.client("intruder"), ca_certificate=both)))
    assert found["error"] == "AuthFailed", found


def test_a_client_without_a_certificate_is_refused(lab: Lab, authority: Authority) -> None:
    found = connect(lab, Endpoint(URL, Credentials(ca_certificate=authority.certificate.read_bytes())))
    assert found["error"] == "AuthFailed", found


@pytest.mark.parametrize("part", ["client_certificate", "client_key"])
def test_half_a_login_is_refused_before_anything_is_sent(authority: Authority, part: str) -> None:
    credentials = replace(authority.client(f"half-{part.replace('_', '-')}"), **{part: b""})
    with pytest.raises(InvalidSpec, match="together"):
        KVMDriver(PATIENT).connect(Endpoint("qemu+tls://localhost/system", credentials))


@pytest.mark.parametrize("part", ["client_certificate", "client_key", "ca_certificate"])
def test_what_is_no_certificate_is_refused_without_being_shown(lab: Lab, authority: Authority, part: str) -> None:
    credentials = replace(authority.client(f"bad-{part.replace('_', '-')}"), **{part: b"hunter2 is no PEM"})
    found = connect(lab, Endpoint(URL, credentials))
    assert found["error"] == "AuthFailed", found
    assert "hunter2" not in found["text"]


def test_no_text_shows_paths_or_the_host(lab: Lab, authority: Authority, tmp_path: Path) -> None:
    stranger = Authority(tmp_path / "stranger")
    texts = [
        connect(lab, Endpoint(URL, authority.client("a", trusting=stranger)))["text"],
        connect(lab, Endpoint("qemu+tls://198.18.0.99/system", authority.client("b")))["text"],
    ]
    assert [text for text in texts if "/dev/shm" in text or "198.18" in text] == []


def test_ssh_gets_key_and_user_and_checks_the_host(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notes = ssh_stand_in(lab, tmp_path, monkeypatch)
    connection = KVMDriver(PATIENT).connect(Endpoint("qemu+ssh://operator@kvm1.example:2222/system", Credentials(ssh_key=b"KEY\n")))
    assert connection.hosts.list_hosts()[0].host == "h1"
    connection.close()
    arguments = (notes / "arguments").read_text().splitlines()
    assert arguments[arguments.index("-p") :][:2] == ["-p", "2222"]
    assert arguments[arguments.index("-l") :][:2] == ["-l", "operator"]
    assert arguments[arguments.index("--") + 1] == "kvm1.example"
    assert "StrictHostKeyChecking=no" not in " ".join(arguments)
    assert ((notes / "key").read_text(), (notes / "mode").read_text()) == ("KEY\n", "600\n")
    assert not Path(arguments[arguments.index("-i") + 1]).exists()


def test_ssh_takes_the_user_of_the_secret_and_may_be_insecure(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notes = ssh_stand_in(lab, tmp_path, monkeypatch)
    endpoint = Endpoint("qemu+ssh://kvm1.example/system", Credentials(username="vireo"), insecure=True)
    KVMDriver(PATIENT).connect(endpoint).close()
    arguments = (notes / "arguments").read_text().splitlines()
    assert arguments[arguments.index("-l") :][:2] == ["-l", "vireo"]
    assert "StrictHostKeyChecking=no" in " ".join(arguments)


def test_ssh_that_fails_may_work_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ssh").write_text("#!/bin/sh\necho 'Connection refused' >&2; exit 255\n")
    (tmp_path / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(Transient):
        KVMDriver(PATIENT).connect(Endpoint("qemu+ssh://kvm1.example/system"))


def ssh_stand_in(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Puts a stand-in for ssh on the PATH; the directory of its notes."""
    host = lab.host("h1")
    let_in(host)
    script = tmp_path / "ssh"
    script.write_text(FAKE_SSH.format(notes=tmp_path, command=" ".join(host.command())))
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return tmp_path
