"""A lab host's sshd: what comes over SSH finds a machine as it was installed, not this machine's root."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import Lab, disposable
from tests.lab.host import Host, run_in
from tests.lab.sshd import SSHServer, serve

pytestmark = pytest.mark.lab

ADDRESS = "198.18.0.1"
STARTS = "echo noise from the account\necho ran >>/root/ran\n"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with disposable() as lab:
        lab.up()
        yield lab


@pytest.fixture(scope="module")
def host(lab: Lab) -> Host:
    """Its root has something in ~/.bashrc; nobody else's has."""
    host = lab.host("h1")
    run_in(host, "mount", "-t", "tmpfs", "home", "/root")
    run_in(host, "sh", "-c", f"printf '{STARTS}' >/root/.bashrc")
    return host


@pytest.fixture(scope="module")
def server(host: Host) -> SSHServer:
    return serve(host, ADDRESS)


def login(lab: Lab, server: SSHServer, directory: Path, command: str) -> str:
    """What a command prints that an operator runs on the host."""
    key, known = directory / "key", directory / "known"
    key.touch(mode=0o600)
    key.write_bytes(server.key)
    known.write_bytes(server.known_hosts)
    options = ["-T", "-F", "none", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o", f"UserKnownHostsFile={known}"]
    argv = lab.command("ctl", "ssh", *options, "-i", str(key), f"root@{ADDRESS}", command)
    return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=120).stdout


def test_a_command_runs_without_what_this_machine_s_root_starts_at_logins(lab: Lab, server: SSHServer, tmp_path: Path) -> None:
    assert login(lab, server, tmp_path, "id -u") == "0\n"
    assert run_in(server.host, "ls", "/root") == ""


def test_the_same_after_sshd_was_started_again(lab: Lab, server: SSHServer, tmp_path: Path) -> None:
    server.stop()
    server.start()
    assert login(lab, server, tmp_path, "id -u") == "0\n"
    assert run_in(server.host, "grep", "-c", " /root/.bashrc ", "/proc/self/mountinfo") == "1\n"


def test_else_it_would_be_run(lab: Lab, server: SSHServer, tmp_path: Path) -> None:
    """bash as Debian builds it reads that file for commands over SSH."""
    run_in(server.host, "umount", "/root/.bashrc")
    assert login(lab, server, tmp_path, "id -u") == "noise from the account\n0\n"
    assert run_in(server.host, "cat", "/root/ran") == "ran\n"
