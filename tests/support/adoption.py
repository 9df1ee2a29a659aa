"""A VM that somebody else made, and objects that name it."""

from __future__ import annotations

from typing import Any

from drivers.simulator.engine.actions import Act
from drivers.simulator.engine.model import VM
from tests.support.vms import GIB, VMCloud, site

ID = "11111111-2222-4333-8444-555555555555"
MAC = "52:54:00:00:00:01"
IP = "10.1.0.77"
PATH = "/srv/vms/old.img"
DISK = f"{PATH}:{3 * GIB}"


def opened(cluster: str = "c1", to: str = "All", zone: str = "z1", pod: str = "p1") -> str:
    """A Cluster that lets namespaces adopt VMs."""
    return f"""
kind: Cluster
metadata: {{name: {cluster}}}
spec: {{zone: {zone}, pod: {pod}, hypervisor: Simulator, adopters: {{from: {to}}}}}
"""


def adopting(
    name: str = "web", extra: str = "", mode: str = "Report", networks: str = "{name: front, network: front}", instance: str = ID
) -> str:
    """A VM as a user writes it who has one already; `extra` goes into its spec."""
    more = f", {extra}" if extra else ""
    adopt = f"{{instanceID: {instance}, mode: {mode}}}"
    return f"""
kind: VirtualMachine
metadata: {{name: {name}, namespace: shop}}
spec: {{zone: z1, offering: small, adopt: {adopt}, networks: [{networks}]{more}}}
"""


def like(
    cloud: VMCloud, *, cpus: int = 2, memory: int = 4 * GIB, disk: str = DISK, mac: str = MAC, ip: str = IP, more: str = ""
) -> str:
    """A VM as the simulator is told to have it; by default just as `adopting` declares it."""
    vlan = cloud.status("Network", "shop/front")["segment"]["vlan"]
    return f"name=old cpus={cpus} memory={memory} disk={disk} nic={mac}/{vlan}/{ip} {more}".strip()


def foreign(cloud: VMCloud, description: str, host: str = "host-00001", instance: str = ID) -> None:
    """Somebody makes a VM."""
    cloud.datacentre.act(Act.FOREIGN_VM, f"{host}/{instance}", description)


async def ready(cloud: VMCloud, hosts: int = 1) -> None:
    """A cloud where VMs may be adopted."""
    cloud.apply(site(hosts))
    cloud.apply(opened())
    await cloud.settle(30)


def there(cloud: VMCloud, instance: str = ID) -> VM:
    """The VM itself."""
    [vm] = [vm for vm in cloud.datacentre.vms if vm.instance == instance]
    return vm


def report(cloud: VMCloud, name: str = "web") -> dict[str, str]:
    """The effect of each difference, by field."""
    return {each["field"]: each["effect"] for each in cloud.vm(name)["adoption"].get("differences", [])}


def told(cloud: VMCloud, name: str = "web") -> list[dict[str, Any]]:
    """All differences."""
    return list(cloud.vm(name)["adoption"].get("differences", []))


def phase(cloud: VMCloud, name: str = "web") -> str:
    return str(cloud.vm(name)["adoption"]["phase"])


async def found(cloud: VMCloud, extra: str = "", networks: str = "{name: front, network: front}", **different: object) -> None:
    """A VM of somebody else, and an object that names it."""
    await ready(cloud)
    foreign(cloud, like(cloud, **different))  # type: ignore[arg-type]
    cloud.apply(adopting(extra=extra, networks=networks))
    await cloud.settle(10)


async def taken(cloud: VMCloud, extra: str = "", **different: object) -> None:
    """A VM that was adopted."""
    await found(cloud, extra, **different)
    cloud.edit(adopt={"instanceID": ID, "mode": "Adopt"})
    await cloud.settle(20)
    assert phase(cloud) == "Adopted", cloud.vm()
