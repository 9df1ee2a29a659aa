"""What a Host must have for its Cluster to place VMs there, beside a backend for networks."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controller.host.lacks import lack
from crds.v1alpha1 import Cluster
from drivers.types import GuestSupport, NetworkBackend, NetworkSupport
from tests.support.cloud import CLUSTER, HOST, POD, ZONE, Cloud, play
from tests.support.hypervisors import Hypervisor, host

GUESTS = GuestSupport(cpu_models=("Nehalem", "Westmere"))
PLACE = "\n---\n".join([ZONE, POD, CLUSTER.replace("hypervisor: Simulator", "hypervisor: Simulator, cpuModel: Nehalem"), HOST])


def made(**spec: object) -> Cluster:
    guests = {"backend": "Linux", "uplink": "eno2"}
    metadata = {"name": "c", "uid": "u", "resourceVersion": "1", "generation": 1}
    full = {"zone": "z", "pod": "p", "hypervisor": "KVM", "guestNetwork": guests, **spec}
    return Cluster.model_validate({"metadata": metadata, "spec": full})


@pytest.mark.parametrize(
    ("model", "guests", "missing"),
    [
        (None, GUESTS, False),
        ("Nehalem", GUESTS, False),
        ("EPYC", GUESTS, True),
        ("nehalem", GUESTS, True),
        ("EPYC", GuestSupport(), True),
        ("EPYC", None, False),
    ],
)
def test_the_cpu_model_of_the_cluster(model: str | None, guests: GuestSupport | None, missing: bool) -> None:
    found = lack(made(cpuModel=model), replace(host(), guests=guests))
    assert (found.reason if found else None) == ("CPUModelMissing" if missing else None)
    assert found is None or str(model) in found.message


def test_the_backend_for_networks_comes_first() -> None:
    missing = NetworkSupport(NetworkBackend.LINUX, False, True, "no login")
    found = lack(made(cpuModel="EPYC"), replace(host(), guests=GUESTS, networks=(missing,)))
    assert found is not None
    assert (found.reason, "no login" in found.message) == ("NetworkBackendMissing", True)


def test_nothing_is_known_before_the_first_contact() -> None:
    assert lack(made(cpuModel="EPYC"), None) is None


def test_a_host_gets_vms_as_soon_as_it_can_give_the_model() -> None:
    async def story(cloud: Cloud) -> None:
        hypervisor = cloud.hypervisors["fake://h1"] = Hypervisor(host())
        hypervisor.set_host("h1", guests=GuestSupport(cpu_models=("Westmere",)))
        cloud.apply(PLACE)
        await cloud.settle()
        assert facet(cloud) == "False CPUModelMissing"
        assert cloud.kstatus("Host", "h1") == "Current", "the host itself is well"
        cloud.apply(PLACE.replace("cpuModel: Nehalem", "cpuModel: Westmere"))
        await cloud.settle()
        assert facet(cloud) == "True Up"

    play(story)


def facet(cloud: Cloud) -> str | None:
    found = cloud.condition("Host", "h1", "Schedulable")
    return f"{found[0]} {found[1]}" if found else None
