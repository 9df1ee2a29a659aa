"""The drawing of the cloud: every VM is on it once."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from controller.tree import HOSTS_WITHOUT_VMS, Cloud, draw
from crds.v1alpha1 import Cluster, Host, Pod, VirtualMachine, Zone


def meta(name: str, namespace: str = "") -> dict[str, Any]:
    return {"name": name, "namespace": namespace, "uid": f"uid-{name}", "resourceVersion": "1", "generation": 1}


def zone(name: str = "z1") -> Zone:
    return Zone.model_validate({"metadata": meta(name), "spec": {}})


def pod(name: str = "p1", zone: str = "z1") -> Pod:
    return Pod.model_validate({"metadata": meta(name), "spec": {"zone": zone, "managementCIDR": "10.0.0.0/24"}})


def cluster(name: str = "c1", pod: str = "p1") -> Cluster:
    spec = {"zone": "z1", "pod": pod, "hypervisor": "Simulator"}
    return Cluster.model_validate({"metadata": meta(name), "spec": spec, "status": {"hostsUp": 1, "hostsTotal": 2}})


def host(name: str = "h1", cluster: str = "c1", state: str | None = "Up") -> Host:
    status = {"state": state} if state else {}
    return Host.model_validate({"metadata": meta(name), "spec": {"cluster": cluster}, "status": status})


def vm(name: str, on: str | None = None, **status: Any) -> VirtualMachine:
    spec = {"zone": "z1", "offering": "small", "template": {"name": "debian"}}
    placed = {"host": on} if on else {}
    return VirtualMachine.model_validate({"metadata": meta(name, "shop"), "spec": spec, "status": placed | status})


def drawn(cloud: Cloud) -> list[str]:
    return [line for tree in draw(cloud) for line in tree.lines()]


def test_whole_cloud() -> None:
    vms = [vm("web", "h1", state="Running", ipAddress="10.1.0.5"), vm("db", "h1", state="Stopped"), vm("late")]
    cloud = Cloud([zone()], [pod()], [cluster()], [host(), host("h2", state=None)], vms)
    assert drawn(cloud) == [
        "zone z1",
        "└─ pod p1",
        "   └─ cluster c1 (Simulator, 1 of 2 hosts up)",
        "      ├─ host h1 Up",
        "      │  ├─ vm shop/web Running 10.1.0.5",
        "      │  └─ vm shop/db Stopped",
        "      └─ host h2 unknown",
        "on no host",
        "└─ vm shop/late Pending",
    ]


def test_idle_hosts_are_counted_not_listed() -> None:
    hosts = [host(f"h{number}") for number in range(HOSTS_WITHOUT_VMS + 4)]
    lines = drawn(Cloud([zone()], [pod()], [cluster()], hosts, [vm("web", "h8")]))
    assert sum("host h" in line for line in lines) == HOSTS_WITHOUT_VMS + 1
    assert lines[-1].endswith("… and 3 more hosts without VMs")


def test_vms_on_hosts_that_hang_nowhere_are_shown() -> None:
    cloud = Cloud([zone()], [pod("p2", "gone")], [cluster(pod="p2")], [host()], [vm("a", "h1"), vm("b", "unknown")])
    assert drawn(cloud) == ["zone z1", "on hosts of no zone", "├─ vm shop/a Pending", "└─ vm shop/b Pending"]


def test_empty_cloud() -> None:
    assert drawn(Cloud([], [], [], [], [])) == []


PLACES = st.sampled_from(["h1", "h2", "h3", "unknown", None])


@given(
    places=st.lists(PLACES, max_size=8),
    clusters=st.lists(st.sampled_from(["c1", "c2", "gone"]), min_size=3, max_size=3),
    pods=st.lists(st.sampled_from(["p1", "p2", "gone"]), min_size=2, max_size=2),
    zones=st.lists(st.sampled_from(["z1", "gone"]), min_size=2, max_size=2),
)
def test_every_vm_is_shown_once(places: list[str | None], clusters: list[str], pods: list[str], zones: list[str]) -> None:
    cloud = Cloud(
        [zone()],
        [pod(f"p{n}", of) for n, of in enumerate(zones, 1)],
        [cluster(f"c{n}", of) for n, of in enumerate(pods, 1)],
        [host(f"h{n}", of) for n, of in enumerate(clusters, 1)],
        [vm(f"vm{n}", on) for n, on in enumerate(places)],
    )
    shown = [line.split("vm shop/")[1].split()[0] for line in drawn(cloud) if "vm shop/" in line]
    assert sorted(shown) == sorted(f"vm{n}" for n in range(len(places)))
