"""Copies by QEMU: what is asked for, and when one counts as whole."""

import xml.etree.ElementTree as ET
from typing import Any

import libvirt
import pytest

from drivers.errors import NoRoom, Transient
from drivers.kvm.snapshot import backup
from tests.unit.kvm.fakes import libvirt_error

NONE, WORKING = libvirt.VIR_DOMAIN_JOB_NONE, libvirt.VIR_DOMAIN_JOB_UNBOUNDED
BACKUP = libvirt.VIR_DOMAIN_JOB_OPERATION_BACKUP
COPY = "/srv/pool/vireo-snap-11111111-1111-4111-8111-111111111111.0.qcow2"


class FakeDomain:
    """Works for `rounds` looks, then has this outcome; None means that it is off."""

    def __init__(self, outcome: dict[str, Any] | None, *, rounds: int = 0, running: str = "") -> None:
        self._outcome = outcome
        self._rounds = rounds
        self._running = running
        self.begun = ""
        self.aborted = 0

    def XMLDesc(self, _flags: int) -> str:
        disks = "".join(f"<disk><target dev='{name}'/></disk>" for name in ("vda", "vdzz", "sda"))
        return f"<domain><devices>{disks}</devices></domain>"

    def backupBegin(self, document: str, _checkpoint: None, _flags: int) -> None:
        self.begun = document

    def backupGetXMLDesc(self, _flags: int) -> str:
        if not self._running:
            raise libvirt_error(libvirt.VIR_ERR_NO_DOMAIN_BACKUP)
        return f"<domainbackup><disks><disk><target file='{self._running}'/></disk></disks></domainbackup>"

    def abortJob(self) -> None:
        self.aborted += 1

    def jobInfo(self) -> list[int]:
        self._rounds -= 1
        return [WORKING if self._rounds >= 0 else NONE]

    def jobStats(self, flags: int) -> dict[str, Any]:
        assert flags == libvirt.VIR_DOMAIN_JOB_STATS_COMPLETED
        if self._outcome is None:
            raise libvirt_error(libvirt.VIR_ERR_OPERATION_INVALID, "domain is not running")
        return self._outcome


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backup, "PAUSE", 0)


def test_one_disk_is_copied_and_no_other() -> None:
    domain = FakeDomain({"success": True, "operation": BACKUP}, rounds=3)
    job = backup.Job(domain, "sda", COPY)
    job.begin()
    job.wait()
    disks = {item.get("name"): item.get("backup") for item in ET.fromstring(domain.begun).iterfind("disks/disk")}
    assert disks == {"vda": "no", "vdzz": "no", "sda": "yes"}
    assert [item.get("file") for item in ET.fromstring(domain.begun).iter("target")] == [COPY]


@pytest.mark.parametrize(
    "outcome",
    [
        None,
        {},
        {"success": False, "operation": BACKUP, "errmsg": "No space left in /srv/pool/x"},
        {"success": True, "operation": libvirt.VIR_DOMAIN_JOB_OPERATION_SNAPSHOT},
    ],
)
def test_what_did_not_end_well_is_no_copy(outcome: dict[str, Any] | None) -> None:
    with pytest.raises(Transient, match="not finished") as caught:
        backup.Job(FakeDomain(outcome), "sda", COPY).wait()
    assert "/srv" not in str(caught.value)


def test_a_copy_that_found_no_room_says_so() -> None:
    said = {"success": False, "operation": BACKUP, "errmsg": "No space left on device"}
    with pytest.raises(NoRoom, match="not finished"):
        backup.Job(FakeDomain(said), "sda", COPY).wait()


@pytest.mark.parametrize(("running", "aborted"), [("", 0), ("/srv/admin/nightly.qcow2", 0), (COPY, 1)])
def test_only_a_leftover_of_ours_is_stopped(running: str, aborted: int) -> None:
    domain = FakeDomain({}, rounds=2, running=running)
    backup.cancel_leftover(domain)
    assert domain.aborted == aborted
