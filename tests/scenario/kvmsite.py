"""A cloud over lab hosts, and what is on them as libvirt and their disks say it, past the driver."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import libvirt

from controller.ipam import instance_id, volume_id
from tests.lab import Lab, disposable
from tests.lab.host import Host, run_in
from tests.lab.record import Backend
from tests.support.live import LiveCloud, live_cloud
from tests.support.live import manifests as make

OVS: Mapping[str, Any] = {"backend": "OVS", "bridge": "ovsbr0"}

_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_ROOT = re.compile(rf"({_UUID})-root\.qcow2")
_SEED = re.compile(rf"({_UUID})-seed-[0-9a-f]+\.iso")
_VOLUME = re.compile(rf"vireo-vol-({_UUID})\.[0-9]+\.(qcow2|complete)")
_IMAGE = re.compile(r"vireo-image-.*\.(qcow2|complete)")


@dataclass(frozen=True)
class Machine:
    """A domain: where it is, whether it runs, its CPUs (of now if it runs, else of its next start), and its volumes."""

    host: str
    on: bool
    cpus: int
    next_cpus: int
    volumes: frozenset[str]


class Site:
    """Lab hosts h1 and on with a pool each, `local-h1` and on, and one directory that all have, the pool `shared`."""

    def __init__(self, lab: Lab, cloud: LiveCloud) -> None:
        self.lab = lab
        self.cloud = cloud
        self.hosts = lab.hosts()

    def apply(self, urls: Sequence[str] = (), guests: Mapping[str, Any] = OVS, secrets: Sequence[str] = ()) -> None:
        """Declare the infrastructure.

        urls: other ways to the hosts than their sockets; secrets: names of Secrets in `shop`, one for the login to each host;
        guests: the Cluster's `guestNetwork`.
        """
        urls, secrets = urls or [host.uri for host in self.hosts], secrets or [""] * len(self.hosts)
        self.cloud.api.apply(
            *(make.zone(), make.manifest("Pod", "p", zone="z"), make.network()),
            make.manifest("Cluster", "c", zone="z", pod="p", hypervisor="KVM", guestNetwork=guests, overcommit={"cpu": "99"}),
            *(make.host(host.name, url, **_login(name)) for host, url, name in zip(self.hosts, urls, secrets, strict=True)),
            *(_pool(f"local-{host.name}", local(host), scope="Host", host=host.name) for host in self.hosts),
            _pool("shared", self.shared, scope="Cluster", cluster="c", tags=["shared"]),
            make.template(self.cloud.image_url, self.cloud.checksum),
            *(make.offering("small", 1, "32Mi"), make.offering("large", 2, "48Mi")),
        )

    @property
    def shared(self) -> Path:
        return self.lab.shared / "pools"

    def machines(self) -> list[tuple[str, Machine]]:
        """Every domain of every host, by UUID; one that is on two hosts is there twice."""
        return [found for host in self.hosts for found in _machines(host)]

    def wrongs(self) -> list[str]:
        """Everything that is not as declared, in words."""
        vms = {str(instance_id(each["metadata"]["uid"])): each for each in self.cloud.api.list("VirtualMachine")}
        volumes = {each["metadata"]["name"]: volume_id(each["metadata"]["uid"]) for each in self.cloud.api.list("Volume")}
        machines = self.machines()
        found = [f"domain {name} is there {count} times" for name, count in Counter(n for n, _ in machines).items() if count > 1]
        found += [f"domain {name} on {each.host} is an orphan" for name, each in machines if name not in vms]
        found += [f"{vm['metadata']['name']} does not exist" for name, vm in vms.items() if name not in dict(machines)]
        sizes = {each["metadata"]["name"]: each["spec"]["cpus"] for each in self.cloud.api.list("ServiceOffering")}
        for name, each in machines:
            if name in vms:
                found += _differences(vms[name], each, sizes, volumes)
        return [*found, *self._files(set(vms), set(volumes.values())), *self._addresses(list(vms.values()))]

    def _files(self, vms: set[str], volumes: set[str]) -> Iterator[str]:
        """What is wrong with disks, seeds, volumes, firmware variables, console logs, QEMU processes."""
        pools = [*(local(host) for host in self.hosts), self.shared]
        names = [path.name for pool in pools if pool.is_dir() for path in pool.iterdir()]
        roots, seeds = ([found[1] for name in names if (found := kind.fullmatch(name))] for kind in (_ROOT, _SEED))
        contents = [found[1] for name in names if (found := _VOLUME.fullmatch(name)) and found[2] == "qcow2"]
        for what, seen, wanted in (("root disks", roots, vms), ("seeds", seeds, vms), ("volumes", contents, volumes)):
            if Counter(seen) != Counter(wanted):
                yield f"{what}: {len(seen)}, not one for each of {len(wanted)}: {sorted(set(seen) ^ set(wanted))[:5]}"
        known = (_ROOT, _SEED, _VOLUME, _IMAGE)
        yield from (f"file {name} is of nobody" for name in names if not any(kind.fullmatch(name) for kind in known))
        for host in self.hosts:
            yield from (f"{path} is of nobody" for path in leftovers(host) if not any(vm[:8] in path.name for vm in vms))
        running = sum(each.on for _, each in self.machines())
        if (processes := sum(emulators(host) for host in self.hosts)) != running:
            yield f"{processes} QEMU processes for {running} running domains"

    def _addresses(self, vms: list[make.Manifest]) -> Iterator[str]:
        addresses = [nic["ip"] for vm in vms for nic in vm["status"]["nics"]]
        if len(set(addresses)) != len(vms):
            yield f"{len(set(addresses))} different addresses for {len(vms)} VMs"

    def addresses_in_use(self) -> int:
        """What the Network says; the controller writes it some time after a change."""
        network = self.cloud.api.get("Network", "front") or {}
        return int(network.get("status", {}).get("addresses", {}).get("allocated", -1))


@contextmanager
def site(directory: Path, hosts: int, backend: Backend = "ovs") -> Iterator[Site]:
    """A cloud over so many lab hosts; nothing is declared yet and the controller is not started."""
    with disposable() as lab:
        lab.up(hosts=hosts, backend=backend)
        with live_cloud(directory, hosts=1) as cloud:
            yield Site(lab, cloud)


def local(host: Host) -> Path:
    """Directory of the pool of a host's own."""
    return Path(host.local) / "pools" / "local"


def leftovers(host: Host) -> list[Path]:
    """Files of VMs outside pools: firmware variables, named after the domain, and console logs."""
    nvram = host.logs.parent.parent / "lib" / "qemu" / "nvram"
    return [*(nvram.iterdir() if nvram.is_dir() else ()), *(path for path in host.logs.iterdir() if path.name.startswith("vireo-"))]


def links(host: Host) -> dict[str, Any]:
    """The interfaces that Vireo makes by itself, by name, as the host's kernel tells of them."""
    told = json.loads(run_in(host, "ip", "-json", "-details", "link", "show"))
    return {each["ifname"]: each for each in told if each["ifname"].startswith("vireo-")}


def ports(host: Host, bridge: str) -> set[str]:
    """What is plugged into a bridge, as the host's kernel says."""
    return set(run_in(host, "ls", f"/sys/class/net/{bridge}/brif").split())


def interfaces(host: Host) -> list[tuple[str, str, str]]:
    """Of all domains of a host: MAC address, bridge, and device on the host."""
    with closing(libvirt.open(host.uri)) as admin:
        documents = [ET.fromstring(each.XMLDesc()) for each in admin.listAllDomains()]
    found = [item for document in documents for item in document.iterfind("devices/interface")]
    return [tuple(item.find(tag).get(name) for tag, name in _WHERE) for item in found]  # type: ignore[misc, union-attr]


_WHERE = (("mac", "address"), ("source", "bridge"), ("target", "dev"))


def emulators(host: Host) -> int:
    """QEMU processes on a host that run guests."""
    return int(run_in(host, "sh", "-c", "pgrep -fc '^[^ ]*qemu-system-x86_64 -name guest=' || true"))


def _login(secret: str) -> dict[str, Any]:
    return {"credentials": {"secretRef": {"namespace": "shop", "name": secret}}} if secret else {}


def _pool(name: str, path: Path, **spec: Any) -> make.Manifest:
    return make.manifest("StoragePool", name, zone="z", type="Directory", path=str(path), **spec)


def _machines(host: Host) -> Iterator[tuple[str, Machine]]:
    with closing(libvirt.open(host.uri)) as admin:
        for each in admin.listAllDomains():
            try:
                yield each.UUIDString(), _machine(host.name, each)
            except libvirt.libvirtError as error:
                if error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:  # it was removed since it was listed
                    raise


def _machine(host: str, domain: Any) -> Machine:
    inactive = ET.fromstring(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
    now = ET.fromstring(domain.XMLDesc(0))
    serials = [each.findtext("serial", "") for each in now.iterfind("devices/disk")]
    volumes = frozenset(serial for serial in serials if re.fullmatch(_UUID, serial))
    return Machine(host, bool(domain.isActive()), _cpus(now), _cpus(inactive), volumes)


def _cpus(domain: ET.Element) -> int:
    vcpu = domain.find("vcpu")
    return 0 if vcpu is None else int(vcpu.get("current") or vcpu.text or 0)


def _differences(vm: make.Manifest, have: Machine, sizes: dict[str, int], volumes: Mapping[str, str]) -> Iterator[str]:
    """How a domain differs from its object; none of the tests leaves a VM that waits for a restart."""
    spec, name = vm["spec"], vm["metadata"]["name"]
    cpus = sizes[spec["offering"]]
    pairs = {
        "host": (have.host, vm["status"].get("host")),
        "power": (have.on, spec.get("powerState", "On") == "On"),
        "CPUs": ((have.cpus, have.next_cpus), (cpus, cpus)),
        "volumes": (have.volumes, {volumes[each["volume"]] for each in spec.get("volumes", ())}),
    }
    yield from (f"{name}: {what} is {seen}, declared {wanted}" for what, (seen, wanted) in pairs.items() if seen != wanted)
