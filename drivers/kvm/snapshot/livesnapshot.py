"""A snapshot of the disks of a running VM, without its memory.

libvirt has internal snapshots of a running domain with its memory only, and that stops the guest while it is written. QEMU can do
without: one transaction, so all disks at one moment or none. libvirt is told of it afterwards, as of one taken with power off; what
it then does with it, going back and deleting, is the same.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import libvirt
import libvirt_qemu

from drivers.errors import Transient
from drivers.kvm import domains
from drivers.kvm.domain import snapshots
from drivers.kvm.subject import Subject
from drivers.kvm.xmltext import render
from drivers.types import DesiredSnapshot

TAKE, DROP = "blockdev-snapshot-internal-sync", "blockdev-snapshot-delete-internal-sync"
"""https://www.qemu.org/docs/master/interop/qemu-qmp-ref.html"""


class Refused(Exception):
    """QEMU answered a command with an error."""


def take(vm: Subject, snapshot: DesiredSnapshot) -> None:
    """Take it, then let libvirt take note. What an attempt left that got no further than QEMU is replaced."""
    nodes = _writable(vm.domain)
    try:
        _transaction(vm.domain, nodes, snapshot.snapshot)
    except Refused:
        _drop(vm.domain, nodes, snapshot.snapshot)
        try:
            _transaction(vm.domain, nodes, snapshot.snapshot)
        except Refused as error:
            raise Transient(f"cannot take a snapshot of the running VM: {error}") from None
    created = next(iter(_created(vm.domain, snapshot.snapshot)), 0)
    document = snapshots.taken(snapshot, vm.definition(), created, _current(vm.domain))
    flags = libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_CURRENT
    vm.domain.snapshotCreateXML(render(document), flags)


@dataclass(frozen=True, slots=True)
class Node:
    """A disk in QEMU's terms, with the times of its snapshots by name, in seconds since the epoch."""

    name: str
    times: dict[str, int]


def _writable(domain: Any) -> list[Node]:
    found = []
    for block in _command(domain, "query-block"):
        medium = block.get("inserted") or {}
        if medium.get("node-name") and not medium.get("ro") and medium.get("drv") == "qcow2":
            taken = (medium.get("image") or {}).get("snapshots") or []
            found.append(Node(str(medium["node-name"]), {str(each["name"]): int(each["date-sec"]) for each in taken}))
    return found


def _created(domain: Any, name: str) -> list[int]:
    return [node.times[name] for node in _writable(domain) if name in node.times]


def _transaction(domain: Any, nodes: Sequence[Node], name: str) -> None:
    actions = [{"type": TAKE, "data": {"device": node.name, "name": name}} for node in nodes]
    _command(domain, "transaction", actions=actions)


def _drop(domain: Any, nodes: Sequence[Node], name: str) -> None:
    for node in nodes:
        if name in node.times:
            _command(domain, DROP, device=node.name, name=name)


def _command(domain: Any, execute: str, **arguments: object) -> Any:
    request = {"execute": execute, "arguments": arguments}
    answer = json.loads(libvirt_qemu.qemuMonitorCommand(domain, json.dumps(request), 0))
    if "error" in answer:
        raise Refused(str(answer["error"].get("desc", ""))[:200])
    return answer.get("return")


def _current(domain: Any) -> str:
    """The snapshot that the disks continue from, if there is one."""
    with domains.suppress_code(libvirt.VIR_ERR_NO_DOMAIN_SNAPSHOT):
        return str(domain.snapshotCurrent(0).getName())
    return ""
