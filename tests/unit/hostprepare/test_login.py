"""The controller's SSH login: which keys are believed, what ssh itself makes of the files, what is kept and what is refused."""

import base64
import datetime
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from controller.__main__ import main
from controller.host.credentials import LONGEST_FILE
from controller.hostprepare import command, login
from controller.hostprepare.authority import AuthorityError
from controller.hostprepare.login import Login
from tests.unit.hostprepare.test_wanted import GOOD

NOW = datetime.datetime(2026, 11, 21, 8, 0, tzinfo=datetime.UTC)
ARGUMENTS = ["host", "prepare", "kvm-1", "--address", "192.0.2.11", "--cluster", "kvm", "--zone", "zurich", "--directory"]


def keygen(tmp_path: Path, kind: str) -> Path:
    """The public half of a key as sshd's own tools make it."""
    path = tmp_path / f"ssh_host_{kind}_key"
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "root@kvm-1", "-f", path], check=True)
    return path.with_suffix(".pub")


def prepared(directory: Path, name: str, address: str, keys: list[str]) -> Login | None:
    (directory / name).mkdir(exist_ok=True)
    return login.prepare(directory, name, [address], keys)


def secret(directory: Path) -> dict[str, bytes]:
    data = yaml.safe_load((directory / "secret.yaml").read_text())["data"]
    return {key: base64.b64decode(value) for key, value in data.items()}


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_ssh_finds_the_host_by_each_of_its_addresses(tmp_path: Path, kind: str) -> None:
    public = keygen(tmp_path, kind)
    found = login.host_keys(public)
    assert found == [" ".join(public.read_text().split()[:2])]
    (tmp_path / "kvm-1").mkdir()
    made = login.prepare(tmp_path, "kvm-1", ["192.0.2.11", "2001:db8::11", "kvm-1.example"], found)
    assert made is not None
    (tmp_path / "known").write_text(made.known_hosts)
    for name, known in (("192.0.2.11", True), ("2001:db8::11", True), ("kvm-1.example", True), ("192.0.2.12", False)):
        done = subprocess.run(["ssh-keygen", "-F", name, "-f", tmp_path / "known"], capture_output=True, text=True)
        assert (done.returncode == 0, found[0] in done.stdout) == (known, known)


def test_ssh_keygen_reads_the_key_and_finds_the_same_public_half(tmp_path: Path) -> None:
    made = prepared(tmp_path, "kvm-1", "192.0.2.11", [*GOOD.host_keys])
    assert made is not None
    shown = subprocess.run(["ssh-keygen", "-y", "-f", tmp_path / login.KEY], capture_output=True, text=True, check=True).stdout
    assert shown.split()[:2] == made.public.split()[:2]
    assert made.public.endswith(" vireo-controller")
    assert "PRIVATE" not in repr(made)


def test_several_keys_and_comments_in_one_file(tmp_path: Path) -> None:
    files = [keygen(tmp_path, kind) for kind in ("ed25519", "ecdsa")]
    (tmp_path / "all").write_text("# of kvm-1\n\n" + "".join(path.read_text() for path in files))
    assert [each.split()[0] for each in login.host_keys(tmp_path / "all")] == ["ssh-ed25519", "ecdsa-sha2-nistp256"]


def test_one_key_and_the_known_hosts_of_all(tmp_path: Path) -> None:
    first = prepared(tmp_path, "kvm-1", "192.0.2.11", [*GOOD.host_keys])
    second = prepared(tmp_path, "kvm-2", "192.0.2.12", [*GOOD.host_keys])
    assert first is not None
    assert second is not None
    assert first.key == second.key
    assert second.known_hosts.splitlines() == [f"192.0.2.{number} {GOOD.host_keys[0]}" for number in (11, 12)]


def test_the_keys_of_an_earlier_time_hold_at_the_addresses_of_now(tmp_path: Path) -> None:
    prepared(tmp_path, "kvm-1", "192.0.2.11", [*GOOD.host_keys])
    again = prepared(tmp_path, "kvm-1", "192.0.2.99", [])
    assert again is not None
    assert again.known_hosts == f"192.0.2.99 {GOOD.host_keys[0]}\n"


def test_a_reinstalled_host_has_its_new_key_alone(tmp_path: Path) -> None:
    prepared(tmp_path, "kvm-1", "192.0.2.11", [*GOOD.host_keys])
    new = login.host_keys(keygen(tmp_path, "ed25519"))
    again = prepared(tmp_path, "kvm-1", "192.0.2.11", [*new])
    assert again is not None
    assert again.known_hosts == f"192.0.2.11 {new[0]}\n"


def test_no_host_with_keys_no_login(tmp_path: Path) -> None:
    command.prepare(replace(GOOD, host_keys=[]), tmp_path / "hosts", NOW)
    assert set(secret(tmp_path / "hosts")) == {"ca.crt", "tls.crt", "tls.key"}
    assert not (tmp_path / "hosts" / login.KEY).exists()
    assert "authorized_keys" not in (tmp_path / "hosts/kvm-1/setup.sh").read_text()


def test_a_host_without_keys_lets_nobody_in_beside_one_that_has(tmp_path: Path) -> None:
    command.prepare(GOOD, tmp_path, NOW)
    command.prepare(replace(GOOD, name="kvm-2", addresses=["192.0.2.12"], host_keys=[]), tmp_path, NOW)
    assert "authorized_keys" in (tmp_path / "kvm-1/setup.sh").read_text()
    assert "authorized_keys" not in (tmp_path / "kvm-2/setup.sh").read_text()
    assert b"192.0.2.12" not in secret(tmp_path)["known_hosts"]


def test_the_command_reads_the_file_that_it_is_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    public = keygen(tmp_path, "ed25519")
    assert main([*ARGUMENTS, str(tmp_path / "hosts"), "--host-keys", str(public)]) == 0
    assert secret(tmp_path / "hosts")["known_hosts"].decode() == f"192.0.2.11 {' '.join(public.read_text().split()[:2])}\n"
    assert "restrict ssh-ed25519 " in capsys.readouterr().out


def test_a_secret_has_room_for_as_much_as_a_controller_reads() -> None:
    assert login.LONGEST == LONGEST_FILE


def test_too_many_hosts_for_one_secret(tmp_path: Path) -> None:
    (tmp_path / "kvm-0").mkdir()
    (tmp_path / "kvm-0" / login.KNOWN_HOSTS).write_text("#" * login.LONGEST)
    with pytest.raises(AuthorityError, match="another directory"):
        prepared(tmp_path, "kvm-1", "192.0.2.11", [*GOOD.host_keys])


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "has no key"),
        ("# nothing\n", "has no key"),
        ("192.0.2.11 ssh-ed25519 AAAA\n", "no public key"),
        ("ssh-dss AAAAB3NzaC1kc3MAAACB\n", "no public key"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nhunter2\n-----END OPENSSH PRIVATE KEY-----\n", "no public key"),
        (GOOD.host_keys[0][:-4], "no public key"),
        ("\x00\xff", "no public key"),
    ],
)
def test_a_file_that_is_no_public_key_is_refused_and_nothing_written(
    content: str, why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pub").write_text(content)
    assert main([*ARGUMENTS, str(tmp_path / "hosts"), "--host-keys", str(tmp_path / "pub")]) == 2
    told = capsys.readouterr().err
    assert why in told
    assert "hunter2" not in told
    assert not (tmp_path / "hosts").exists()


def test_a_file_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*ARGUMENTS, str(tmp_path / "hosts"), "--host-keys", str(tmp_path / "pub")]) == 2
    assert "No such file" in capsys.readouterr().err


@given(st.text(max_size=200))
def test_nothing_that_ssh_would_read_otherwise_passes(text: str) -> None:
    for line in (text, f"ssh-ed25519 {text}", f"{GOOD.host_keys[0]}{text}"):
        try:
            accepted = login.checked(line)
        except ValueError:
            continue
        assert accepted == GOOD.host_keys[0]


def of_another_kind() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption())


@pytest.mark.parametrize(
    ("content", "why"), [(b"hunter2", "not a private"), (b"", "not a private"), (of_another_kind(), "Ed25519")]
)
def test_a_key_that_is_none(content: bytes, why: str, tmp_path: Path) -> None:
    (tmp_path / login.KEY).touch(mode=0o600)
    (tmp_path / login.KEY).write_bytes(content)
    with pytest.raises(AuthorityError, match=why) as caught:
        prepared(tmp_path, "kvm-1", "192.0.2.11", [*GOOD.host_keys])
    assert "hunter2" not in str(caught.value)


def test_a_key_that_others_can_read(tmp_path: Path) -> None:
    prepared(tmp_path, "kvm-1", "192.0.2.11", [*GOOD.host_keys])
    (tmp_path / login.KEY).chmod(0o640)
    with pytest.raises(AuthorityError, match="chmod 600"):
        prepared(tmp_path, "kvm-1", "192.0.2.11", [])


def test_known_hosts_that_somebody_garbled(tmp_path: Path) -> None:
    (tmp_path / "kvm-1").mkdir()
    (tmp_path / "kvm-1" / login.KNOWN_HOSTS).write_text("192.0.2.11 hunter2\n")
    with pytest.raises(AuthorityError, match="known_hosts"):
        prepared(tmp_path, "kvm-1", "192.0.2.11", [])
