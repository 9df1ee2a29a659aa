"""The command: files, their modes, what is kept and made anew, and what is said."""

import base64
import datetime
import os
import ssl
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from cryptography import x509

from controller.__main__ import main
from controller.host.credentials import credentials
from controller.hostprepare import command
from controller.hostprepare.authority import AUTHORITY_LIFE, LIFE, AuthorityError
from crds.v1alpha1 import Host, StoragePool
from tests.unit.hostprepare.test_wanted import GOOD

NOW = datetime.datetime(2026, 11, 21, 8, 0, tzinfo=datetime.UTC)
ARGUMENTS = ["host", "prepare", "kvm-1", "--address", "192.0.2.11", "--cluster", "kvm", "--zone", "zurich", "--directory"]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    made = tmp_path / "hosts"
    command.prepare(GOOD, made, NOW)
    return made


def contents(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file()}


def test_all_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        command.prepare(GOOD, tmp_path / "hosts", NOW)
    finally:
        os.umask(before)
    found = {str(path.relative_to(tmp_path)): path.stat().st_mode & 0o777 for path in tmp_path.rglob("*")}
    own = ("ca.pem", "cert.pem", "key.pem", "known_hosts", "setup.sh", "host.yaml")
    shared = ("ca.pem", "ca.key", "controller.pem", "controller.key", "controller-ssh.key", "secret.yaml")
    wanted = {f"hosts/{name}": 0o600 for name in shared}
    wanted |= {f"hosts/kvm-1/{name}": 0o600 for name in own} | {"hosts": 0o700, "hosts/kvm-1": 0o700}
    assert found == wanted


def test_a_second_host_shares_authority_and_secret(directory: Path) -> None:
    before = contents(directory)
    command.prepare(replace(GOOD, name="kvm-2", addresses=["192.0.2.12"], host_keys=[]), directory, NOW)
    after = contents(directory)
    assert {name: after[name] for name in before} == before
    assert after["kvm-2/ca.pem"] == before["ca.pem"]
    assert after["kvm-2/key.pem"] != before["kvm-1/key.pem"]


def test_again_renews_the_host_s_certificate_alone(directory: Path) -> None:
    before = contents(directory)
    command.prepare(GOOD, directory, NOW + datetime.timedelta(days=30))
    after = contents(directory)
    assert {name for name in before if before[name] != after[name]} == {"kvm-1/cert.pem", "kvm-1/key.pem"}


def test_an_old_client_certificate_is_renewed_with_the_secret(directory: Path) -> None:
    before = contents(directory)
    command.prepare(GOOD, directory, NOW + LIFE)
    after = contents(directory)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"controller.pem", "controller.key", "secret.yaml", "kvm-1/cert.pem", "kvm-1/key.pem"}


def test_an_authority_that_ends_is_not_used_nor_replaced(directory: Path) -> None:
    before = contents(directory)
    with pytest.raises(AuthorityError, match="another directory"):
        command.prepare(GOOD, directory, NOW + AUTHORITY_LIFE)
    assert contents(directory) == before


def test_the_secret_logs_in(directory: Path) -> None:
    secret = yaml.safe_load((directory / "secret.yaml").read_text())
    assert (secret["kind"], secret["type"]) == ("Secret", "kubernetes.io/tls")
    assert secret["metadata"] == {"namespace": "vireo-system", "name": "kvm-tls"}
    data = {key: base64.b64decode(value) for key, value in secret["data"].items()}
    assert data == {
        "ca.crt": (directory / "ca.pem").read_bytes(),
        "tls.crt": (directory / "controller.pem").read_bytes(),
        "tls.key": (directory / "controller.key").read_bytes(),
        "ssh-privatekey": (directory / "controller-ssh.key").read_bytes(),
        "known_hosts": f"192.0.2.11,2001:db8::11,kvm-1.example {GOOD.host_keys[0]}\n".encode(),
    }
    found = credentials(data)
    assert (found.ssh_key, found.known_hosts) == (data["ssh-privatekey"], data["known_hosts"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_cert_chain(directory / "controller.pem", directory / "controller.key")


def test_the_manifests_are_a_host_and_its_pool(directory: Path) -> None:
    host, pool = yaml.safe_load_all((directory / "kvm-1" / "host.yaml").read_text())
    spec = Host.parse(host).spec
    assert (spec.cluster, spec.endpoint.url if spec.endpoint else "") == ("kvm", "qemu+tls://192.0.2.11/system")
    assert host["spec"]["endpoint"]["credentials"] == {"secretRef": {"namespace": "vireo-system", "name": "kvm-tls"}}
    assert StoragePool.parse(pool).spec.path == "/var/lib/vireo"
    assert pool["metadata"]["name"] == "kvm-1-local"


def test_the_command_prints_what_to_do_and_no_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*ARGUMENTS, str(tmp_path / "hosts")]) == 0
    printed = capsys.readouterr().out
    kept = [path for path in (tmp_path / "hosts").rglob("*") if path.is_file()]
    secrets = [path for path in kept if path.suffix == ".key" or path.name in {"key.pem", "secret.yaml"}]
    assert len(secrets) == 4
    lines = {line for path in secrets for line in path.read_text().splitlines() if len(line) > 40}
    assert [line for line in lines if line in printed] == []
    assert "PRIVATE" not in printed
    for part in ((tmp_path / "hosts/kvm-1/setup.sh").read_text(), (tmp_path / "hosts/kvm-1/host.yaml").read_text().rstrip()):
        assert part in printed
    assert f"scp -pr {tmp_path}/hosts/kvm-1 root@192.0.2.11:" in printed


def test_the_machine_s_clock_is_what_counts(tmp_path: Path) -> None:
    assert main([*ARGUMENTS, str(tmp_path / "hosts")]) == 0
    made = x509.load_pem_x509_certificate((tmp_path / "hosts/kvm-1/cert.pem").read_bytes())
    now = datetime.datetime.now(datetime.UTC)
    assert made.not_valid_before_utc < now < made.not_valid_after_utc


def test_wrong_usage_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*ARGUMENTS, str(tmp_path / "hosts"), "--bridge", "$(reboot)"]) == 2
    assert "bridge" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def spoil_key(directory: Path) -> None:
    (directory / "ca.key").unlink()


def open_key(directory: Path) -> None:
    (directory / "ca.key").chmod(0o644)


def open_directory(directory: Path) -> None:
    directory.chmod(0o777)


def garble(directory: Path) -> None:
    (directory / "ca.pem").write_text("hunter2")


@pytest.mark.parametrize(
    ("harm", "told"), [(spoil_key, "is missing"), (open_key, "chmod 600"), (open_directory, "chmod 700"), (garble, "not PEM")]
)
def test_a_directory_that_can_not_be_trusted(harm: object, told: str, directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert callable(harm)
    harm(directory)
    before = contents(directory)
    assert main([*ARGUMENTS, str(directory)]) == 1
    error = capsys.readouterr().err
    assert told in error
    assert "hunter2" not in error
    assert contents(directory) == before


def test_a_directory_that_can_not_be_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main([*ARGUMENTS, str(tmp_path / "file" / "hosts")]) == 1
    assert capsys.readouterr().err.startswith("vireo: ")


def test_an_ipv6_address_in_the_commands(tmp_path: Path) -> None:
    guide = command.guide(replace(GOOD, addresses=["2001:db8::11"]), tmp_path, "")
    assert "root@[2001:db8::11]:\nssh root@2001:db8::11 sh" in guide
