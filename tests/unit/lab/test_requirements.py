"""Why a machine cannot run a lab, one sentence."""

import os
import platform
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import requirements, shell


@pytest.fixture(autouse=True)
def fitting_machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine that has everything, whatever this one has."""
    requirements.missing.cache_clear()
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(shell, "find", lambda command: f"/usr/bin/{command}")
    monkeypatch.setattr(shell, "succeeds", lambda argv: True)
    monkeypatch.setattr(requirements, "find_spec", lambda name: object())
    monkeypatch.setattr(Path, "is_char_device", lambda path: True)
    yield
    requirements.missing.cache_clear()


def test_nothing_is_missing() -> None:
    assert requirements.missing() is None


@pytest.mark.parametrize(
    ("target", "name", "value", "reason"),
    [
        (platform, "system", lambda: "Darwin", "lab hosts need Linux on x86_64, this is Darwin on x86_64"),
        (platform, "machine", lambda: "aarch64", "lab hosts need Linux on x86_64, this is Linux on aarch64"),
        (os, "geteuid", lambda: 1000, "lab hosts need root: run as root"),
        (Path, "is_char_device", lambda path: False, "lab hosts need /dev/net/tun, which this machine does not have"),
        (requirements, "find_spec", lambda name: None, "lab hosts need libvirt-python in this Python: make bootstrap"),
        (
            shell,
            "succeeds",
            lambda argv: False,
            "lab hosts need namespaces of their own, which this machine refuses even to root",
        ),
    ],
)
def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch, target: object, name: str, value: object, reason: str) -> None:
    monkeypatch.setattr(target, name, value)
    assert requirements.missing() == reason


def test_absent_commands_are_named_by_their_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    absent = {"ovs-vswitchd", "ovsdb-server", "ip"}
    monkeypatch.setattr(shell, "find", lambda command: None if command in absent else "/usr/bin/x")
    assert requirements.missing() == (
        "lab hosts need Debian packages that are not installed: apt-get install iproute2 openvswitch-switch"
    )


def test_every_package_is_in_the_list_that_bootstrap_installs() -> None:
    from tests.lab import debian, iscsi
    from tests.lab.guest import images

    listed = (Path(__file__).parents[3] / "scripts/debian-packages.txt").read_text().splitlines()
    installed = {line.split("#")[0].strip() for line in listed}
    essential = {"dpkg"}
    for commands in (requirements.COMMANDS, images.COMMANDS, debian.COMMANDS, iscsi.COMMANDS, iscsi.FILES):
        assert set(commands.values()) <= installed | essential


def test_what_only_slow_tests_need_is_in_their_list() -> None:
    from tests.lab import ceph, complete, nfsserver, volumegroup

    listed = (Path(__file__).parents[3] / "scripts/debian-packages-slow.txt").read_text().splitlines()
    needed = (complete.COMMANDS, nfsserver.COMMANDS, volumegroup.COMMANDS, ceph.COMMANDS, ceph.FILES)
    ordinary = {"qemu-block-extra"}
    found = {package for commands in needed for package in commands.values()}
    assert {line.split("#")[0].strip() for line in listed} == found - ordinary
