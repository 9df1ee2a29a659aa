"""Bad input: refused by the API server, or told in a condition that a person can act on.

Nothing half made stays behind, and once the cause is mended the VM becomes ready without being touched.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from controller.ipam import instance_id
from drivers.types import Credentials
from tests.support import kstatus
from tests.support.files import Served, etag
from tests.support.live import LiveCloud, Refused, live_cloud
from tests.support.live import manifests as make
from tests.support.live.audit import findings
from tests.support.simulator import SimulatorProcess

HTML = b"<!DOCTYPE html><html><body>please log in</body></html>" + b" " * 4096
MIB = 1 << 20


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveCloud]:
    with live_cloud(tmp_path_factory.mktemp("cloud"), hosts=3) as running:
        running.controller.start()
        running.basics(3)
        running.api.apply(make.vm("good", [{"name": "front", "network": "front", "ip": "10.1.0.10"}]))  # tests pin other ones
        running.await_current(names=["good"])
        running.await_current("Host")
        yield running


@pytest.fixture(autouse=True)
def nothing_left(cloud: LiveCloud) -> Iterator[None]:
    """Each test ends with exactly what is declared, and a controller that lives."""
    yield
    assert cloud.controller.alive
    for vm in cloud.api.list("VirtualMachine"):
        if vm["metadata"]["name"] != "good":
            cloud.api.delete("VirtualMachine", vm["metadata"]["name"])
    cloud.until(lambda: len(cloud.api.list("VirtualMachine")) == 1, "VMs are deleted")
    assert findings(cloud.api, cloud.control.census()) == []


@dataclass(frozen=True)
class Missing:
    """A reference of a VM to something that is not there; `made` mends it."""

    spec: dict[str, Any]
    reason: str
    message: str
    made: Callable[[LiveCloud], make.Manifest]


MISSING = {
    "offering": Missing(
        {"offering": "gigantic"},
        "OfferingNotFound",
        "service offering gigantic does not exist",
        lambda _: make.offering("gigantic", 2, "2Gi"),
    ),
    "template": Missing(
        {"template": {"name": "plan9"}},
        "TemplateNotFound",
        "template shop/plan9 does not exist or does not allow this namespace",
        lambda cloud: make.template(cloud.image_url, cloud.checksum, "plan9"),
    ),
    "network": Missing(
        {"networks": [{"name": "eth0", "network": "moon"}]},
        "NetworkNotFound",
        "network shop/moon does not exist or does not allow this namespace",
        lambda _: make.network("moon", "10.9.0.0/24"),
    ),
    "secret": Missing(
        {"userData": {"secretRef": {"name": "boot", "key": "user-data"}}},
        "SecretNotFound",
        "Secret boot does not exist",
        lambda _: make.secret("boot", **{"user-data": "#cloud-config\n"}),
    ),
}


@pytest.mark.parametrize("missing", MISSING.values(), ids=list(MISSING))
def test_what_a_vm_refers_to_is_waited_for(cloud: LiveCloud, missing: Missing) -> None:
    cloud.api.apply(make.vm("bad", **missing.spec))
    found = cloud.await_reason("VirtualMachine", "bad", missing.reason, missing.message)
    assert kstatus.compute(found) == kstatus.IN_PROGRESS
    nothing_of(cloud, found)
    cloud.api.apply(missing.made(cloud))
    cloud.await_current(names=["bad"])


def test_an_unknown_zone_and_a_host_that_is_down_at_first_contact(cloud: LiveCloud) -> None:
    """The VM waits for its zone, then for the zone's only host, which comes up later."""
    cloud.api.apply(make.vm("bad", [], zone="far"))
    nothing_of(cloud, cloud.await_reason("VirtualMachine", "bad", "ZoneNotFound", "zone far does not exist"))
    with SimulatorProcess(["--hosts", "9", "--boot", "0"]) as late:
        late.stop()
        cluster = make.manifest("Cluster", "far", zone="far", pod="far", hypervisor="Simulator", endpoint={"url": late.url})
        pool = make.manifest("StoragePool", "far", zone="far", scope="Zone", type="Directory", path="/pools/far")
        cloud.api.apply(
            make.zone("far"), make.manifest("Pod", "far", zone="far"), cluster, pool, make.host("host-00009", cluster="far")
        )
        down = cloud.await_reason("Host", "host-00009", "HypervisorUnavailable", "the server can't be reached")
        assert (down["status"]["state"], kstatus.compute(down)) == ("Alert", kstatus.IN_PROGRESS)
        waits = cloud.await_reason("VirtualMachine", "bad", "NoFittingHost", "0 of 1 hosts fit")
        assert waits["status"]["placementReport"]["rejected"] == {"HostDown": 1}
        late.start()
        cloud.await_current("Host", ["host-00009"])
        cloud.await_current(names=["bad"])
        cloud.api.delete("VirtualMachine", "bad")
        cloud.await_gone("VirtualMachine", "bad")
        for kind, name in (("Host", "host-00009"), ("StoragePool", "far"), ("Cluster", "far"), ("Pod", "far"), ("Zone", "far")):
            cloud.api.delete(kind, name)
        cloud.await_gone("Zone", "far")


def test_refused_credentials_stall_the_host_until_the_secret_is_right(cloud: LiveCloud) -> None:
    right = Credentials("vireo", "correct horse")
    with SimulatorProcess(["--hosts", "8"], right) as guarded:
        access: dict[str, Any] = {"credentials": {"secretRef": {"name": "access", "namespace": "shop"}}}
        cloud.api.apply(make.secret("access", username="vireo", password="battery staple"))
        cloud.api.apply(make.host("host-00008", guarded.url, **access))
        refused = cloud.await_reason("Host", "host-00008", "CredentialsRefused", "the simulator refused the user name or password")
        assert kstatus.compute(refused) == kstatus.FAILED
        assert "battery staple" not in str(refused) + cloud.controller.log.read_text()
        cloud.api.apply(make.secret("access", username="vireo", password="correct horse"))
        cloud.await_current("Host", ["host-00008"])
        cloud.api.delete("Host", "host-00008")
        cloud.await_gone("Host", "host-00008")


BROKEN_IMAGES = {
    "404": ("DownloadRefused", "answers 404"),
    "wrong checksum": ("ChecksumMismatch", "the template says sha256:" + "0" * 64),
    "HTML": ("NotAnImage", "what was downloaded can't be used"),
    "backing file": ("UnsafeImage", "it has a backing file"),
}


@pytest.mark.parametrize("broken", list(BROKEN_IMAGES))
def test_an_image_that_can_not_be_used(cloud: LiveCloud, tmp_path: Path, broken: str) -> None:
    (reason, message), name = BROKEN_IMAGES[broken], broken.lower().replace(" ", "-")
    checksum = "sha256:" + "0" * 64 if broken == "wrong checksum" else ""
    cloud.api.apply(make.template(image_of(cloud, tmp_path, broken), checksum, name), make.vm("bad", template={"name": name}))
    found = cloud.await_reason("Template", name, reason, message)
    assert found["status"]["state"] == "DownloadError"
    nothing_of(cloud, cloud.await_reason("VirtualMachine", "bad", "TemplateNotReady", f"template shop/{name} is DownloadError"))
    replace_template(cloud, make.template(cloud.image_url, cloud.checksum, name))
    cloud.await_current(names=["bad"])


def test_an_image_that_stops_coming_is_asked_for_again(cloud: LiveCloud) -> None:
    image = Served(cloud.image, etag(cloud.image), stalls=[1000])
    cloud.api.apply(
        make.template(cloud.files.serve("/stalls.qcow2", image), name="slow"), make.vm("bad", template={"name": "slow"})
    )
    found = cloud.await_reason("Template", "slow", "DownloadTimeout", "/stalls.qcow2")
    assert kstatus.compute(found) == kstatus.IN_PROGRESS
    cloud.await_current(names=["bad"])


def test_a_vm_larger_than_any_host(cloud: LiveCloud) -> None:
    cloud.api.apply(make.offering("whale", 64, "1Gi"), make.vm("bad", offering="whale"))
    found = cloud.await_reason(
        "VirtualMachine", "bad", "TooLargeForAnyHost", "64 CPUs and 1Gi of memory are more than any of them has"
    )
    assert kstatus.compute(found) == kstatus.FAILED
    assert found["status"]["placementReport"]["rejected"] == {"InsufficientCPU": 3}
    nothing_of(cloud, found)
    cloud.api.patch("VirtualMachine", "bad", {"spec": {"offering": "small"}})
    cloud.await_current(names=["bad"])


def test_of_two_vms_that_pin_one_address_the_older_gets_it(cloud: LiveCloud) -> None:
    pinned = [{"name": "front", "network": "front", "ip": "10.1.0.77"}]
    cloud.api.apply(make.vm("older", pinned))
    cloud.await_current(names=["older"])
    cloud.api.apply(make.vm("younger", pinned))
    found = cloud.await_reason("VirtualMachine", "younger", "AddressInUse", "address 10.1.0.77 is in use by shop/older (front)")
    assert kstatus.compute(found) == kstatus.IN_PROGRESS
    nothing_of(cloud, found)
    cloud.api.delete("VirtualMachine", "older")
    cloud.await_current(names=["younger"])


def test_an_address_outside_the_subnet(cloud: LiveCloud) -> None:
    cloud.api.apply(make.vm("bad", [{"name": "front", "network": "front", "ip": "192.0.2.1"}]))
    found = cloud.await_reason(
        "VirtualMachine", "bad", "AddressOutsideSubnet", "address 192.0.2.1 is outside the subnet 10.1.0.0/24"
    )
    assert kstatus.compute(found) == kstatus.FAILED
    nothing_of(cloud, found)
    cloud.api.patch("VirtualMachine", "bad", {"spec": {"networks": [{"name": "front", "network": "front", "ip": "10.1.0.78"}]}})
    cloud.await_current(names=["bad"])


def test_a_zone_whose_vlans_are_used_up(cloud: LiveCloud) -> None:
    cloud.api.apply(make.zone("tight", 10, 10))
    cloud.api.apply(make.manifest("Network", "first", zone="tight", type="L2"))
    cloud.await_current("Network", ["first"])
    cloud.api.apply(make.manifest("Network", "second", zone="tight", type="L2"))
    found = cloud.await_reason("Network", "second", "SegmentsExhausted", "of zone tight: all 1 in use")
    assert kstatus.compute(found) == kstatus.IN_PROGRESS
    cloud.api.apply(make.zone("tight", 10, 11))
    cloud.await_current("Network", ["second"])
    assert {each["status"]["segment"]["vlan"] for each in cloud.api.list("Network") if each["spec"]["zone"] == "tight"} == {10, 11}


IMMUTABLE = [
    ("VirtualMachine", "good", {"zone": "other"}, "spec.zone"),
    ("VirtualMachine", "good", {"template": {"name": "other"}}, "spec.template"),
    ("Template", "tiny", {"source": {"url": "http://192.0.2.1/other"}}, "spec.source"),
    ("Network", "front", {"zone": "other"}, "spec.zone"),
    ("Host", "host-00001", {"cluster": "other"}, "spec.cluster"),
    ("Cluster", "c", {"hypervisor": "KVM", "guestNetwork": {"backend": "OVS", "bridge": "b"}}, "spec.hypervisor"),
    ("StoragePool", "shared", {"path": "/elsewhere"}, "spec.path"),
    ("ServiceOffering", "small", {"cpus": 9}, "spec"),
]


@pytest.mark.parametrize(("kind", "name", "change", "field"), IMMUTABLE)
def test_an_immutable_field_is_not_changed(cloud: LiveCloud, kind: str, name: str, change: dict[str, Any], field: str) -> None:
    with pytest.raises(Refused, match="immutable") as refused:
        cloud.api.patch(kind, name, {"spec": change})
    assert field in str(refused.value)


def test_user_data_of_one_mib(cloud: LiveCloud) -> None:
    """Inline the API server refuses it; in a Secret a condition tells, and a smaller Secret mends it."""
    with pytest.raises(Refused, match=r"userData\.inline"):
        cloud.api.apply(make.vm("bad", userData={"inline": "#" * MIB}))
    cloud.api.apply(make.secret("big", data="#" * MIB))
    cloud.api.apply(make.vm("bad", userData={"secretRef": {"name": "big", "key": "data"}}))
    found = cloud.await_reason(
        "VirtualMachine", "bad", "UserDataTooLarge", f"key data of Secret big has {MIB} bytes, at most 262144"
    )
    assert kstatus.compute(found) == kstatus.FAILED
    nothing_of(cloud, found)
    cloud.api.apply(make.secret("big", data="#cloud-config\n"))
    cloud.await_current(names=["bad"])


def test_names_of_253_characters(cloud: LiveCloud) -> None:
    name = "n" + ".x" * 126
    assert len(name) == 253
    cloud.api.apply(
        make.template(cloud.image_url, cloud.checksum, name), make.network(name, "10.8.0.0/24"), make.offering(name, 1, "1Gi")
    )
    spec = {"template": {"name": name}, "offering": name}
    cloud.api.apply(make.vm(name, [{"name": "eth0", "network": name}], **spec))
    cloud.await_current(names=[name])


@pytest.mark.parametrize("field", ["powerstate", "cpus", "status"])
def test_a_field_that_does_not_exist_is_refused(cloud: LiveCloud, field: str) -> None:
    with pytest.raises(Refused, match=field):
        cloud.api.apply(make.vm("bad", **{field: "On"}))


def nothing_of(cloud: LiveCloud, vm: make.Manifest) -> None:
    """Nothing of a VM exists on the hypervisor, no disk, no host and no address is recorded."""
    instance, census = instance_id(vm["metadata"]["uid"]), cloud.control.census()
    assert instance not in {each.instance for each in census.vms} | {disk.instance for disk in census.disks}
    assert not {"host", "nics", "disks", "ipAddress"} & {name for name, value in vm["status"].items() if value}


def image_of(cloud: LiveCloud, directory: Path, broken: str) -> str:
    """The URL of such an image."""
    match broken:
        case "404":
            return f"{cloud.files.url}/nothing-here.qcow2"
        case "wrong checksum":
            return cloud.image_url
        case "HTML":
            return cloud.files.serve("/login.qcow2", Served(HTML, etag(HTML)))
    base, image = directory / "base.qcow2", directory / "layered.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", base, "1M"], check=True, timeout=200)
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", base, "-F", "qcow2", image], check=True, timeout=200)
    return cloud.files.serve("/layered.qcow2", Served(image.read_bytes(), etag(image.read_bytes())))


def replace_template(cloud: LiveCloud, template: make.Manifest) -> None:
    """A template's source never changes: another one of the same name takes its place."""
    name = template["metadata"]["name"]
    cloud.api.delete("Template", name)
    cloud.await_gone("Template", name)
    cloud.api.apply(template)
