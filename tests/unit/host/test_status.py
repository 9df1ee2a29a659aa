"""What a hypervisor says of itself → status: pure rules."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from controller.host.status import fill, native_id
from crds.v1alpha1.cluster import Overcommit
from crds.v1alpha1.host import HostStatus
from drivers.types import Capability, Firmware, GuestSupport, HostID, ObservedHost
from tests.support.cloud import CLUSTER, HOST, POD, ZONE, Cloud, play
from tests.support.hypervisors import Hypervisor, host

factors = (
    st.decimals(1, 99, places=2)
    .map(lambda factor: str(factor.normalize()) if factor != 10 else "10")
    .filter(lambda text: "E" not in text)
)
texts = st.text(max_size=400)
names = st.lists(st.text(max_size=100), max_size=200).map(tuple)
guests = st.builds(
    GuestSupport,
    domain_types=names,
    machine_types=names,
    firmwares=st.sampled_from([(), (Firmware.BIOS,), (Firmware.BIOS, Firmware.UEFI)]),
    cpu_model=texts,
    cpu_models=names,
    lacks=names,
)
observed = st.builds(
    ObservedHost,
    host=st.just(HostID("h")),
    native_id=texts,
    hypervisor=texts,
    version=texts,
    cpus=st.integers(-5, 4096),
    memory=st.integers(-5, 2**50),
    guests=st.none() | guests,
)


@given(observed, factors, factors, st.frozensets(st.sampled_from(list(Capability))))
def test_whatever_is_said_fits_the_api(info: ObservedHost, cpu: str, memory: str, capabilities: frozenset[Capability]) -> None:
    status = HostStatus()
    fill(status, info, capabilities, Overcommit(cpu=cpu, memory=memory))
    assert HostStatus.model_validate(status.to_json()).to_json() == status.to_json()
    assert status.capabilities == sorted(status.capabilities)
    assert (status.guests is None) == (info.guests is None)
    assert status.allocatable.cpus <= max(0, info.cpus) * Decimal(cpu) < status.allocatable.cpus + 1
    assert status.allocatable.memory.bytes <= max(0, info.memory) * Decimal(memory) < status.allocatable.memory.bytes + 1


@given(observed)
def test_recorded_identity_is_the_one_that_is_compared(info: ObservedHost) -> None:
    status = HostStatus()
    fill(status, info, frozenset(), Overcommit())
    assert status.native_id == native_id(info)


def test_hypervisors_without_identity_are_not_taken_for_one() -> None:
    async def story(cloud: Cloud) -> None:
        for name in ("h1", "h2"):
            cloud.hypervisors[f"fake://{name}"] = Hypervisor(ObservedHost(HostID(name), "", "fake", "1", 8, 2**34))
        cloud.apply("\n---\n".join([ZONE, POD, CLUSTER, HOST, HOST.replace("h1", "h2")]))
        await cloud.settle()
        assert cloud.kstatus("Host", "h1") == cloud.kstatus("Host", "h2") == "Current"

    play(story)


def test_endless_identity_is_compared_as_it_is_recorded() -> None:
    async def story(cloud: Cloud) -> None:
        cloud.hypervisors["fake://h1"] = Hypervisor(host(native_id="x" * 5000))
        cloud.apply("\n---\n".join([ZONE, POD, CLUSTER, HOST]))
        await cloud.settle()
        assert cloud.status("Host", "h1")["nativeID"] == "x" * 128
        before = cloud.writes
        await cloud.restart()
        await cloud.settle()
        assert cloud.kstatus("Host", "h1") == "Current"
        assert cloud.writes == before

    play(story)
