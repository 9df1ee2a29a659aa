"""A copy of one disk of a running VM, as of one moment, made by QEMU (https://libvirt.org/formatbackup.html)."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import libvirt

from drivers.errors import NoRoom, Transient
from drivers.kvm import domains, errors, names
from drivers.kvm.xmltext import add, element, parse, render

PAUSE = 0.2
"""Seconds between two looks at a job."""


@dataclass(frozen=True, slots=True)
class Job:
    """The disk `target` of the domain into the file `path`, which must not be there."""

    domain: Any
    target: str
    path: str

    def begin(self) -> None:
        """Start the job; the copy has the content of this moment."""
        self.domain.backupBegin(render(self._description()), None, 0)

    def wait(self) -> None:
        """Until the copy is whole. Raises NoRoom, or Transient if it failed, for example because the VM was powered off."""
        _wait_for_no_job(self.domain)
        ended = self._outcome()
        if not ended.get("success") or ended.get("operation") != libvirt.VIR_DOMAIN_JOB_OPERATION_BACKUP:
            said = str(ended.get("errmsg", "the VM was powered off, or the job was cancelled"))
            kind = NoRoom if errors.says_full(said) else Transient
            raise kind(f"the copy of the disk was not finished: {errors.redact(said)}")

    def _outcome(self) -> dict[str, Any]:
        """What libvirt says of the last job; nothing once the domain is off."""
        try:
            return dict(self.domain.jobStats(libvirt.VIR_DOMAIN_JOB_STATS_COMPLETED))
        except libvirt.libvirtError as error:
            if errors.code(error) == libvirt.VIR_ERR_OPERATION_INVALID:
                return {}
            raise

    def _description(self) -> Any:
        root = element("domainbackup")
        disks = add(root, "disks")
        for name in _devices(self.domain):
            if name != self.target:
                add(disks, "disk", {"name": name, "backup": "no"})
        disk = add(disks, "disk", {"name": self.target, "backup": "yes", "type": "file"})
        add(disk, "driver", {"type": "qcow2"})
        add(disk, "target", {"file": self.path})
        return root


def cancel_leftover(domain: Any) -> None:
    """Stop a job of ours that somebody began and nobody waits for any more."""
    with domains.suppress_code(libvirt.VIR_ERR_NO_DOMAIN_BACKUP, libvirt.VIR_ERR_OPERATION_INVALID):
        for target in parse(domain.backupGetXMLDesc(0)).iterfind("disks/disk/target"):
            if names.content_of(PurePosixPath(target.get("file", "")).name) is not None:
                domain.abortJob()
                _wait_for_no_job(domain)
                return


def _wait_for_no_job(domain: Any) -> None:
    while domain.jobInfo()[0] != libvirt.VIR_DOMAIN_JOB_NONE:
        time.sleep(PAUSE)


def _devices(domain: Any) -> list[str]:
    return [target.get("dev", "") for target in parse(domain.XMLDesc(0)).iterfind("devices/disk/target")]
