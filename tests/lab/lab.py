"""Disposable libvirt hosts on one machine: real libvirtd, QEMU and Open vSwitch, nothing of the machine touched."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.lab import cgroups, fabric, gateway, hostconfig, kvm, processes, requirements
from tests.lab.host import Host
from tests.lab.layout import MAX_HOSTS, Layout, index
from tests.lab.record import Backend, Record, exclusive
from tests.lab.shell import LabError

_SSH_OPTIONS = (
    "BatchMode=yes",
    "ConnectTimeout=30",  # key exchange with an emulated guest included
    "IdentitiesOnly=yes",
    "LogLevel=ERROR",
    "StrictHostKeyChecking=no",  # a guest makes its host key at first boot
    "UserKnownHostsFile=/dev/null",
)


class Lab:
    """A lab with all its files in `state_dir`; labs with different prefixes and directories run side by side.

    Nothing about a lab is kept in this object: another process with the same two arguments carries on with it, and
    `down` finds what a killed process left. Every method raises LabError with one sentence when it cannot do its work.
    """

    def __init__(self, state_dir: Path, prefix: str = "vireo") -> None:
        self.layout = Layout(Path(state_dir).absolute(), prefix)
        self.shared = self.layout.shared

    def up(self, hosts: int = 1, backend: Backend = "ovs") -> None:
        """Have that many hosts running, h1 and on; hosts that run are left alone.

        backend: how guests reach a VLAN. `ovs`: ports with tags on bridge ovsbr0; `vxlan`: Linux bridges br-vlanN.
        """
        if reason := requirements.missing():
            raise LabError(reason)
        if not 1 <= hosts <= MAX_HOSTS:
            raise LabError(f"{hosts} hosts: a lab has 1 to {MAX_HOSTS}")
        with exclusive(self.layout.state):
            record = self._wanted(hosts, backend)
            for directory in (self.layout.shared, self.layout.state / "run"):
                directory.mkdir(parents=True, exist_ok=True)
            self.layout.hosts_file.write_text(hostconfig.hosts(self.layout))
            fabric.up(self.layout)
            with ThreadPoolExecutor(max_workers=4) as pool:
                list(pool.map(Host.start, self._hosts(record)))
            self._mend_gateways(record)

    def down(self) -> None:
        """End every process and remove every namespace, cgroup and file of the lab; one that is not there is no error."""
        with exclusive(self.layout.state):
            processes.kill(lambda: processes.started_for(self.layout.state))
            fabric.remove_namespaces([name for name in processes.namespaces() if self.layout.owns_namespace(name)])
            cgroups.remove(self.layout.cgroup)
            shutil.rmtree(self.layout.state)

    def host(self, name: str) -> Host:
        """A host of the lab by its name, on or off."""
        record = self._record()
        if index(name) > record.hosts:
            raise LabError(f"this lab has no host {name}: it has h1 to h{record.hosts}")
        return Host(self.layout, record, name)

    def hosts(self) -> list[Host]:
        """All hosts of the lab, on or off."""
        return self._hosts(self._record())

    def start(self, name: str) -> None:
        """Power on a host, and plug routers of VLANs in again that lost their switch with it."""
        with exclusive(self.layout.state):
            record = self._record()
            self.host(name).start()
            self._mend_gateways(record)

    def add_vlan(self, vlan: int) -> None:
        """Have a VLAN on every host that is on, and on the others when they start. With `ovs` a VLAN needs nothing."""
        gateway.place(vlan)
        with exclusive(self.layout.state):
            record = self._record()
            if record.backend == "ovs" or vlan in record.vlans:
                return
            record.vlans.append(vlan)
            record.save(self.layout.record)
            for host in self._hosts(record):
                if host.running:
                    fabric.add_vlan_bridge(self.layout, host.name, vlan)

    def add_gateway(self, vlan: int, address: str) -> None:
        """Be the external router of a VLAN. address: its own one there, with prefix length, as in 10.10.0.1/24."""
        gateway.place(vlan)
        with exclusive(self.layout.state):
            record = self._record()
            record.gateways[vlan] = gateway.parse(address)
            record.save(self.layout.record)
            gateway.ensure(self.layout, record, self._hosts(record), vlan)

    def command(self, place: str, *argv: str) -> list[str]:
        """A command line that runs `argv` in a place, for root anywhere on the machine.

        place: a host (all its namespaces), or the network of `ctl` (operator), `fabric` (switches) or `vlanN` (a router).
        """
        if place[:1] == "h":
            return self.host(place).command(*argv)
        name = self.layout.namespace(place)
        if not self.layout.owns_namespace(name) or name not in processes.namespaces():
            raise LabError(f"this lab has no place {place!r}")
        return ["ip", "netns", "exec", name, *argv]

    def ssh_command(self, address: str, key: Path, vlan: int, user: str = "root") -> list[str]:
        """A command line that logs in to a guest at its address on a VLAN; append the remote command to it.

        Needs the lab as the router of that VLAN (`add_gateway`). key: file with the private key.
        """
        options = [word for option in _SSH_OPTIONS for word in ("-o", option)]
        return self.command(gateway.place(vlan), "ssh", *options, "-i", str(key), f"{user}@{address}")

    def _mend_gateways(self, record: Record) -> None:
        for vlan in record.gateways:
            gateway.ensure(self.layout, record, self._hosts(record), vlan)

    def _wanted(self, hosts: int, backend: Backend) -> Record:
        record = Record.load(self.layout.record) or Record(self.layout.prefix, backend, kvm.usable())
        if (record.prefix, record.backend) != (self.layout.prefix, backend):
            raise LabError(
                f"{self.layout.state} holds a lab with prefix {record.prefix} and backend {record.backend}: take it down first"
            )
        record.hosts = max(hosts, record.hosts)
        record.save(self.layout.record)
        return record

    def _record(self) -> Record:
        record = Record.load(self.layout.record)
        if record is None:
            raise LabError(f"no lab is up in {self.layout.state}")
        return record

    def _hosts(self, record: Record) -> list[Host]:
        return [Host(self.layout, record, f"h{number}") for number in range(1, record.hosts + 1)]
