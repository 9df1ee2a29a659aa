"""The probe of /dev/kvm, with commands in QEMU's place."""

import json
import sys
from pathlib import Path
from unittest.mock import Mock

import pytest

from tests.lab import kvm
from tests.lab.guest import Image
from tests.lab.shell import LabError

HANG = [sys.executable, "-c", "import time; time.sleep(600)"]


def writes(*pieces: str, then: str = "") -> list[str]:
    script = "import sys, time\n" + "".join(f"sys.stdout.write({piece!r}); sys.stdout.flush()\n" for piece in pieces) + then
    return [sys.executable, "-c", script]


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (writes("SeaBIOS\n", "tinyguest: up 1.5 s\n"), True),
        (writes("tinyguest: up 1.5 s\n", then="time.sleep(600)"), True),
        (writes(*["x" * 1000] * 100, "tiny", "guest: u", "p 1\n", then="time.sleep(600)"), True),
        (writes("Could not access KVM kernel module\n", then="sys.exit(1)"), False),
        (writes(""), False),
    ],
    ids=["marks and ends", "marks and stays", "mark in pieces after much else", "fails", "says nothing"],
)
def test_a_guest_boots_when_its_mark_is_seen(command: list[str], expected: bool) -> None:
    assert kvm.boots(command, kvm.MARK, 60) is expected


@pytest.mark.parametrize("command", [HANG, writes("tiny", then="time.sleep(600)")], ids=["silent", "stops on the way"])
def test_a_guest_that_hangs_is_killed_at_the_limit(command: list[str], tmp_path: Path) -> None:
    assert kvm.boots([*command, str(tmp_path)], kvm.MARK, 0.5) is False
    running = [path for path in Path("/proc").glob("[0-9]*/cmdline") if _mentions(path, str(tmp_path))]
    assert running == []


def _mentions(path: Path, text: str) -> bool:
    try:
        return text in path.read_text()
    except OSError:
        return False


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A machine with a /dev/kvm, a boot id and a guest image; returns the list of probes that were made."""
    (tmp_path / "kvm-node").touch()
    (tmp_path / "boot_id").write_text("boot-1\n")
    probes: list[str] = []

    def boots(command: list[str], mark: bytes, limit: float) -> bool:
        probes.append(" ".join(command))
        return True

    monkeypatch.setenv("VIREO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(kvm, "DEVICE", tmp_path / "kvm-node")
    monkeypatch.setattr(kvm, "BOOT_ID", tmp_path / "boot_id")
    monkeypatch.setattr(kvm, "image", lambda: Image(Path("/images/guest.qcow2"), "0" * 64, 1))
    monkeypatch.setattr(kvm, "boots", boots)
    return probes


def test_the_probe_is_made_once_per_boot(machine: list[str], tmp_path: Path) -> None:
    assert [kvm.usable(), kvm.usable()] == [True, True]
    assert len(machine) == 1
    assert "-accel kvm" in machine[0]
    assert "snapshot=on" in machine[0]
    (tmp_path / "boot_id").write_text("boot-2\n")
    assert kvm.usable() is True
    assert len(machine) == 2


def test_no_is_remembered_too(machine: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    probe = Mock(return_value=False)
    monkeypatch.setattr(kvm, "boots", probe)
    assert [kvm.usable(), kvm.usable()] == [False, False]
    assert probe.call_count == 1


def test_without_the_node_nothing_is_tried(machine: list[str], tmp_path: Path) -> None:
    (tmp_path / "kvm-node").unlink()
    assert kvm.usable() is False
    assert machine == []
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"boot": "boot-1"}', json.dumps({"boot": "boot-0", "usable": False})])
def test_a_damaged_or_old_answer_is_asked_again(machine: list[str], tmp_path: Path, text: str) -> None:
    (tmp_path / "cache/kvm").mkdir(parents=True)
    (tmp_path / "cache/kvm/probe.json").write_text(text)
    assert kvm.usable() is True
    assert len(machine) == 1


def test_without_an_image_there_is_no_answer(machine: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def no_image() -> Image:
        raise LabError("the guest image needs Debian packages")

    monkeypatch.setattr(kvm, "image", no_image)
    with pytest.raises(LabError, match="Debian packages"):
        kvm.usable()
