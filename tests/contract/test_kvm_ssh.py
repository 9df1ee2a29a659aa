"""Hosts over a real sshd: who is let in, who is believed to be the host, what a new key changes, what stays on disk (nothing)."""

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from drivers.kvm.link.credentials import MEMORY_DIRECTORY
from drivers.types import Credentials, Endpoint
from tests.lab import Lab, disposable
from tests.lab.guests import eventually
from tests.lab.host import run_in
from tests.lab.sshd import SSHServer, let_in, serve

pytestmark = pytest.mark.lab

REPOSITORY = Path(__file__).parent.parent.parent
URL = "qemu+ssh://root@198.18.0.1/system"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with disposable() as lab:
        lab.up()
        let_in(lab.host("h1"))
        yield lab


@pytest.fixture(scope="module")
def server(lab: Lab) -> SSHServer:
    return serve(lab.host("h1"), "198.18.0.1")


@pytest.fixture
def endpoint(server: SSHServer) -> Endpoint:
    return Endpoint(URL, Credentials(ssh_key=server.key, known_hosts=server.known_hosts))


def connect(lab: Lab, endpoint: Endpoint) -> dict[str, str]:
    """How connecting goes from where an operator sits, with an account that knows no host."""
    argv = lab.command("ctl", sys.executable, "-m", "tests.contract.kvm_client")
    environment = {**os.environ, "SSH_AUTH_SOCK": ""}
    done = subprocess.run(
        argv, input=pickle.dumps(endpoint), capture_output=True, cwd=REPOSITORY, timeout=240, check=True, env=environment
    )
    assert done.stderr == b"", "neither libvirt nor ssh prints anything by itself"
    return dict(json.loads(done.stdout))


def private_directories() -> list[Path]:
    return [path for path in MEMORY_DIRECTORY.glob("vireo-*") if (path / "id").exists() or (path / "known_hosts").exists()]


def test_key_and_known_host_of_the_secret_are_enough(lab: Lab, endpoint: Endpoint) -> None:
    assert connect(lab, endpoint) == {"host": "h1"}


def test_the_user_may_be_in_the_secret(lab: Lab, endpoint: Endpoint) -> None:
    login = replace(endpoint.credentials, username="root")
    assert connect(lab, Endpoint("qemu+ssh://198.18.0.1/system", login)) == {"host": "h1"}


def test_a_user_that_the_host_does_not_have_is_refused(lab: Lab, endpoint: Endpoint) -> None:
    found = connect(lab, replace(endpoint, url="qemu+ssh://nobody-here@198.18.0.1/system"))
    assert (found["error"], "refuses the SSH user or key" in found["text"]) == ("AuthFailed", True), found


def test_a_host_that_nobody_vouched_for_is_refused_unless_insecure(lab: Lab, endpoint: Endpoint) -> None:
    stranger = b"198.18.0.9 " + endpoint.credentials.known_hosts.split(b" ", 1)[1]
    unknown = replace(endpoint, credentials=replace(endpoint.credentials, known_hosts=stranger))
    found = connect(lab, unknown)
    assert (found["error"], "not in known_hosts" in found["text"]) == ("AuthFailed", True), found
    assert connect(lab, replace(unknown, insecure=True)) == {"host": "h1"}


def test_a_wrong_host_key_is_refused_and_named(lab: Lab, server: SSHServer, endpoint: Endpoint) -> None:
    """Then the Secret gets the new one, and the host is let in again."""
    server.stop()
    server.renew_host_key()
    server.start()
    found = connect(lab, endpoint)
    shown = run_in(server.host, "ssh-keygen", "-lf", str(server.directory / "host_key.pub")).split()[1]
    assert found["error"] == "AuthFailed", found
    assert shown in found["text"], "what the peer showed, to compare it with what the host's administrator says"
    renewed = replace(endpoint.credentials, known_hosts=server.known_hosts)
    assert connect(lab, replace(endpoint, credentials=renewed)) == {"host": "h1"}


def test_an_old_key_is_refused_and_the_new_one_let_in(lab: Lab, server: SSHServer, endpoint: Endpoint) -> None:
    server.renew_client_key()
    found = connect(lab, endpoint)
    assert (found["error"], "refuses the SSH user or key" in found["text"]) == ("AuthFailed", True), found
    assert connect(lab, replace(endpoint, credentials=replace(endpoint.credentials, ssh_key=server.key))) == {"host": "h1"}


def test_what_is_no_key_is_refused_without_being_shown(lab: Lab, endpoint: Endpoint) -> None:
    broken = b"-----BEGIN OPENSSH PRIVATE KEY-----\nhunter2\n-----END OPENSSH PRIVATE KEY-----\n"
    found = connect(lab, replace(endpoint, credentials=replace(endpoint.credentials, ssh_key=broken)))
    assert found["error"] == "AuthFailed", found
    assert "hunter2" not in found["text"]


def test_where_no_sshd_listens_one_may_later(lab: Lab, endpoint: Endpoint) -> None:
    assert connect(lab, replace(endpoint, url="qemu+ssh://root@198.18.0.1:2222/system"))["error"] == "Unanswered"


def test_no_text_shows_the_address_or_our_files(lab: Lab, endpoint: Endpoint) -> None:
    for url in ("qemu+ssh://root@198.18.0.1:2222/system", "qemu+ssh://nobody-here@198.18.0.1/system"):
        text = connect(lab, replace(endpoint, url=url))["text"]
        assert [part for part in ("198.18", "/dev/shm") if part in text] == [], text


def test_nothing_of_it_stays(lab: Lab, endpoint: Endpoint) -> None:
    before = set(private_directories())
    connect(lab, endpoint)
    connect(lab, replace(endpoint, url="qemu+ssh://nobody-here@198.18.0.1/system"))
    new = set(private_directories()) - before  # of others who connect meanwhile, who take them away themselves
    eventually(lambda: not any(path.exists() for path in new), f"{new} to go")
