"""Login material is on disk for as long as a connection is opened, for nobody else to read, and in no text."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import libvirt
import pytest

from drivers.errors import InvalidSpec
from drivers.kvm.connection import KVMDriver
from drivers.kvm.link import credentials
from drivers.kvm.link.credentials import FRESH, MEMORY_DIRECTORY, login, private, sasl, sweep
from drivers.kvm.link.url import parse
from drivers.types import Credentials, Endpoint

TLS = "qemu+tls://kvm1.example/system"
SSH = "qemu+ssh://kvm1.example/system"
UNIX = "qemu+unix:///system"
FULL = Credentials(
    username="vireo", password="hunter2", client_certificate=b"CERT", client_key=b"KEY", ca_certificate=b"CA", ssh_key=b"SSH"
)


def parameters(uri: str) -> dict[str, str]:
    return {name: value for name, [value] in parse_qs(urlsplit(uri).query).items()}


def modes(directory: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mode & 0o777 for path in directory.iterdir()}


def test_certificates_are_where_libvirt_looks_and_for_us_alone(tmp_path: Path) -> None:
    with login(Endpoint(TLS, FULL), parse(TLS), tmp_path) as uri:
        directory = Path(parameters(uri)["pkipath"])
        assert directory.parent == tmp_path
        assert directory.stat().st_mode & 0o777 == 0o700
        assert modes(directory) == {"cacert.pem": 0o600, "clientcert.pem": 0o600, "clientkey.pem": 0o600}
        assert (directory / "clientkey.pem").read_bytes() == b"KEY"
    assert list(tmp_path.iterdir()) == []


def test_an_ssh_key_too(tmp_path: Path) -> None:
    with login(Endpoint(SSH, FULL), parse(SSH), tmp_path) as uri:
        key = Path(parameters(uri)["keyfile"])
        assert modes(key.parent) == {"id": 0o600}
        assert key.read_bytes() == b"SSH"
        assert urlsplit(uri).username == "vireo"
    assert list(tmp_path.iterdir()) == []


def test_known_hosts_are_beside_the_key_and_named_by_the_command(tmp_path: Path) -> None:
    given = replace(FULL, known_hosts=b"kvm1 ssh-ed25519 AAAA\n")
    with login(Endpoint(SSH, given), parse(SSH), tmp_path) as uri:
        directory = Path(parameters(uri)["keyfile"]).parent
        assert modes(directory) == {"id": 0o600, "known_hosts": 0o600}
        command = Path(parameters(uri)["command"])
        assert os.access(command, os.X_OK)
    assert list(tmp_path.iterdir()) == []


def test_an_insecure_endpoint_asks_for_no_known_host(tmp_path: Path) -> None:
    given = Credentials(known_hosts=b"kvm1 ssh-ed25519 AAAA\n")
    with login(Endpoint(SSH, given, insecure=True), parse(SSH), tmp_path) as uri:
        assert "command" not in parameters(uri)
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("key", [b"", b"SSH"])
def test_the_command_gives_ssh_the_known_hosts_and_passes_the_rest_on(key: bytes, tmp_path: Path) -> None:
    (tmp_path / "ssh").write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    (tmp_path / "ssh").chmod(0o755)
    private = tmp_path / "private"
    private.mkdir()
    with login(Endpoint(SSH, Credentials(ssh_key=key, known_hosts=b"h ssh-ed25519 AAAA")), parse(SSH), private) as uri:
        asked = parameters(uri)
        rest = ["-p", "22", "-i", asked["keyfile"], "-T", "--", "kvm1.example", "sh -c 'a -i /b/c'"]
        environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
        done = subprocess.run([asked["command"], *rest], env=environment, capture_output=True, text=True, check=True)
    words = done.stdout.splitlines()
    assert words[-len(rest) :] == rest
    directory = Path(asked["keyfile"]).parent
    assert f"UserKnownHostsFile={directory}/known_hosts" in words
    assert {"GlobalKnownHostsFile=/dev/null", "StrictHostKeyChecking=yes"} < set(words)
    assert ("IdentitiesOnly=yes" in words) == bool(key)


def test_they_are_gone_when_opening_fails(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), login(Endpoint(TLS, FULL), parse(TLS), tmp_path):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_umask_changes_nothing(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with login(Endpoint(TLS, FULL), parse(TLS), tmp_path) as uri:
            assert set(modes(Path(parameters(uri)["pkipath"])).values()) == {0o600}
    finally:
        os.umask(before)


def test_they_are_in_memory() -> None:
    types = dict(line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines())
    assert types[str(MEMORY_DIRECTORY)] == "tmpfs"


@pytest.mark.parametrize("url", [TLS, SSH, UNIX])
def test_without_a_secret_there_is_no_file(url: str, tmp_path: Path) -> None:
    with login(Endpoint(url), parse(url), tmp_path) as uri:
        assert list(tmp_path.iterdir()) == []
        assert not {"pkipath", "keyfile"} & set(parameters(uri))


def test_a_local_socket_needs_none(tmp_path: Path) -> None:
    with login(Endpoint(UNIX, FULL, insecure=True), parse(UNIX), tmp_path) as uri:
        assert uri == UNIX
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("url", "insecure"), [(TLS, True), (TLS, False), (SSH, True), (SSH, False)])
def test_peers_are_checked_unless_told_otherwise(url: str, insecure: bool, tmp_path: Path) -> None:
    with login(Endpoint(url, insecure=insecure), parse(url), tmp_path) as uri:
        assert parameters(uri).get("no_verify") == ("1" if insecure else None)


def test_ssh_never_asks_a_person(tmp_path: Path) -> None:
    with login(Endpoint(SSH), parse(SSH), tmp_path) as uri:
        assert parameters(uri)["no_tty"] == "1"


@pytest.mark.parametrize("part", ["client_certificate", "client_key"])
def test_half_a_pair_is_refused(part: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidSpec), login(Endpoint(TLS, replace(FULL, **{part: b""})), parse(TLS), tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


Answer = Callable[[list[list[object]], object], int]


@pytest.mark.parametrize(
    ("credentials", "kinds", "result", "answers"),
    [
        (FULL, [libvirt.VIR_CRED_AUTHNAME, libvirt.VIR_CRED_PASSPHRASE], 0, ["vireo", "hunter2"]),
        (FULL, [], 0, []),
        (Credentials(), [libvirt.VIR_CRED_AUTHNAME], -1, [None]),
        (Credentials(username="vireo"), [libvirt.VIR_CRED_PASSPHRASE], -1, [None]),
    ],
)
def test_sasl(credentials: Credentials, kinds: list[int], result: int, answers: list[str | None]) -> None:
    supported, answer, _ = sasl(credentials)
    requests: list[list[object]] = [[kind, "prompt", None, None, None] for kind in kinds]
    assert set(kinds) <= set(supported)
    assert answer(requests, None) == result
    assert [request[4] for request in requests] == answers


def test_no_representation_shows_a_secret() -> None:
    shown = repr(Endpoint(TLS, FULL))
    assert [secret for secret in ("hunter2", "CERT", "KEY", "b'CA'", "SSH") if secret in shown] == []


KILLED = """
import os, pathlib, signal, sys
from drivers.kvm.link.credentials import private, write
with private(pathlib.Path(sys.argv[1])) as place:
    write(place, {"clientkey.pem": b"KEY"})
    os.kill(os.getpid(), signal.SIGKILL)
"""


def age(place: Path, seconds: float = FRESH + 1) -> None:
    """Have it made so long ago."""
    then = place.stat().st_mtime - seconds
    os.utime(place, (then, then))


def test_what_a_killed_process_left_goes_when_the_next_one_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], timeout=120)
    assert done.returncode == -signal.SIGKILL
    [left] = tmp_path.iterdir()
    assert modes(left) == {"clientkey.pem": 0o600}
    sweep(tmp_path)
    assert left.exists(), "it may be of somebody who takes hold of it in a moment"
    age(left)
    monkeypatch.setattr(sweep, "__defaults__", (tmp_path,))
    KVMDriver()
    assert list(tmp_path.iterdir()) == []


def test_what_somebody_holds_stays(tmp_path: Path) -> None:
    with private(tmp_path) as place:
        credentials.write(place, {"id": b"KEY"})
        age(place)
        sweep(tmp_path)
        assert (place / "id").exists()
    assert list(tmp_path.iterdir()) == []


def test_nothing_else_is_swept(tmp_path: Path) -> None:
    """Neither other names nor what a name of ours only points to, nor a file."""
    other, target, link, file = (tmp_path / name for name in ("vireo-hosts", "target", "vireo-login-link", "vireo-login-file"))
    other.mkdir()
    target.mkdir()
    (target / "kept").touch()
    link.symlink_to(target)
    file.touch()
    for place in (other, target, file):
        age(place)
    sweep(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"vireo-hosts", "target", "vireo-login-link", "vireo-login-file"}
    assert (target / "kept").exists()
