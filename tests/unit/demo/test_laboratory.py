"""Where VMs are reached, and the lab's failures in the demo's words."""

from pathlib import Path
from typing import Any

import pytest

from standalone.demo import laboratory
from standalone.demo.commands import Runner
from standalone.demo.laboratory import Address, address
from standalone.demo.layout import Layout
from standalone.errors import StandaloneError
from tests.lab import LabError

NETWORK = {"spec": {"subnet": {"cidr": "10.20.0.0/24", "gateway": "10.20.0.1"}}}


def vm(*nics: dict[str, str]) -> dict[str, Any]:
    return {"metadata": {"name": "web-1"}, "status": {"nics": list(nics)}}


def test_address() -> None:
    found = address(vm({"ip": "10.20.0.7", "segment": "vlan-120"}, {"ip": "10.9.9.9", "segment": "vlan-9"}), NETWORK)
    assert found == Address("10.20.0.7", 120, "10.20.0.1/24")


@pytest.mark.parametrize(
    ("machine", "network"),
    [
        (vm(), NETWORK),
        ({"metadata": {"name": "web-1"}, "status": {}}, NETWORK),
        (vm({"segment": "vlan-120"}), NETWORK),
        (vm({"ip": "10.20.0.7"}), NETWORK),
        (vm({"ip": "10.20.0.7", "segment": "vni-5000"}), NETWORK),
        (vm({"ip": "10.20.0.7", "segment": "vlan-120"}), {"spec": {}}),
        (vm({"ip": "10.20.0.7", "segment": "vlan-120"}), {"spec": {"subnet": {"cidr": "10.20.0.0/24"}}}),
    ],
)
def test_no_address(machine: dict[str, Any], network: dict[str, Any]) -> None:
    with pytest.raises(StandaloneError, match="web-1 has no address on a VLAN with a gateway"):
        address(machine, network)


@pytest.mark.parametrize(
    ("complaint", "sentence"),
    [
        ("h1 did not boot: it said nothing", "h1 did not boot: it said nothing"),
        ("lab hosts need root: run as root", "lab hosts need root: run as root"),
        (
            "build.sh: E: Failed to fetch http://deb.debian.org/x Temporary failure in name resolution",
            "no network, or the package server does not answer (build.sh: E: Failed to fetch http://deb.debian.org/x "
            "Temporary failure in name resolution)",
        ),
        ("disk.sh: cp: No space left on device", "the disk is full (disk.sh: cp: No space left on device)"),
    ],
)
def test_failures(monkeypatch: pytest.MonkeyPatch, complaint: str, sentence: str) -> None:
    def fail() -> None:
        raise LabError(complaint)

    monkeypatch.setattr(laboratory, "image", fail)
    with pytest.raises(StandaloneError) as caught:
        laboratory.guest_image()
    assert str(caught.value) == sentence


def test_a_directory_that_cannot_work() -> None:
    with pytest.raises(StandaloneError, match="too long for the path of a unix socket, use a shorter one"):
        laboratory.lab(Layout(Path("/" + "x" * 100)))


def test_no_lab(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "demo")
    assert laboratory.state(layout) is None
    laboratory.down(layout)
    assert not layout.directory.exists(), "nothing is made in order to be removed"


def test_a_lab_that_cannot_be_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = Layout(tmp_path / "demo")
    layout.lab.mkdir(parents=True)
    monkeypatch.setattr(laboratory.requirements, "missing", lambda: "lab hosts need root: run as root")
    with pytest.raises(StandaloneError, match="the demo's libvirt host can't be ended: lab hosts need root: run as root"):
        laboratory.down(layout)


def test_a_blank_image_needs_qemu_img(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StandaloneError, match="qemu-img is missing"):
        laboratory.blank_image(Runner(tmp_path / "log"), tmp_path / "image.qcow2")
