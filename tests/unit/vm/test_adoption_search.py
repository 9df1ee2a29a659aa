"""Which VM an object may adopt: exactly one, on a host that answers, that belongs to nobody else, where the cluster allows it."""

from __future__ import annotations

import pytest

from drivers.simulator.engine.actions import Act
from drivers.simulator.engine.faults import FaultKind
from drivers.simulator.engine.settings import Settings
from drivers.types import Capability
from tests.support import cloud as base
from tests.support.adoption import ID, MAC, adopting, foreign, like, opened, phase, ready, report, there, told
from tests.support.vms import GIB, VMCloud, play, site, vm

H1 = "placement: {host: h1}"


def test_one_that_is_nowhere_is_waited_for() -> None:
    async def story(cloud: VMCloud) -> None:
        await ready(cloud)
        cloud.apply(adopting(mode="Adopt"))
        await cloud.settle(10)
        assert (phase(cloud), cloud.reason()) == ("NotFound", ("False", "AdoptionNotFound"))
        assert not cloud.datacentre.vms
        foreign(cloud, like(cloud))
        await cloud.settle(60)
        assert phase(cloud) == "Adopted"

    play(story)


def test_one_that_is_on_two_hosts_is_refused_until_a_host_is_named() -> None:
    async def story(cloud: VMCloud) -> None:
        await ready(cloud, hosts=2)
        for host in ("host-00001", "host-00002"):
            foreign(cloud, like(cloud), host)
        cloud.apply(adopting(mode="Adopt"))
        await cloud.settle(20)
        assert (phase(cloud), cloud.reason()) == ("Refused", ("False", "AdoptionRefused"))
        assert "h1, h2" in cloud.text()
        cloud.edit(placement={"host": "h2"})
        await cloud.settle(20)
        assert cloud.vm()["host"] == "h2"
        owners = {each.host: each.owner for each in cloud.datacentre.census.vms}
        assert owners["host-00001"] == ""
        assert owners["host-00002"] != ""

    play(story)


def test_a_host_that_does_not_answer_may_have_it_too() -> None:
    async def story(cloud: VMCloud) -> None:
        await ready(cloud, hosts=2)
        foreign(cloud, like(cloud))
        cloud.datacentre.act(Act.CUT_HOST, "host-00002")
        await cloud.settle(60)
        cloud.apply(adopting(mode="Adopt"))
        await cloud.settle(20)
        assert phase(cloud) == "Refused"
        assert "h2" in cloud.text()
        cloud.edit(placement={"host": "h1"})
        await cloud.settle(20)
        assert phase(cloud) == "Adopted"

    play(story)


def test_a_named_host_that_does_not_answer() -> None:
    async def story(cloud: VMCloud) -> None:
        await ready(cloud)
        foreign(cloud, like(cloud))
        cloud.datacentre.act(Act.CUT_HOST, "host-00001")
        await cloud.settle(60)
        cloud.apply(adopting(mode="Adopt", extra=H1))
        await cloud.settle(20)
        assert phase(cloud) == "Refused"
        assert "does not answer" in cloud.text()
        cloud.datacentre.act(Act.HEAL_HOST, "host-00001")
        await cloud.settle(90)
        assert phase(cloud) == "Adopted"

    play(story)


def test_one_of_another_object_of_vireo_is_refused() -> None:
    async def story(cloud: VMCloud) -> None:
        await ready(cloud)
        cloud.apply(vm("first"))
        await cloud.settle(30)
        before = cloud.datacentre.census
        cloud.apply(adopting("second", mode="Adopt", instance=cloud.vm("first")["instanceID"]))
        await cloud.settle(30)
        assert phase(cloud, "second") == "Refused"
        assert "shop/first" in cloud.text("second")
        cloud.delete("VirtualMachine", "shop/second")
        await cloud.settle(30)
        assert not cloud.exists("VirtualMachine", "shop/second")
        assert cloud.datacentre.census == before

    play(story)


def test_of_two_that_name_it_the_older_gets_it_and_the_younger_after_it() -> None:
    async def story(cloud: VMCloud) -> None:
        await ready(cloud)
        foreign(cloud, like(cloud))
        cloud.apply(adopting("second", mode="Report"))
        cloud.apply(adopting("third", mode="Adopt"))
        await cloud.settle(30)
        assert (phase(cloud, "second"), phase(cloud, "third")) == ("Matches", "Refused")
        assert "shop/second" in cloud.text("third")
        cloud.delete("VirtualMachine", "shop/second")
        await cloud.settle(60)
        assert phase(cloud, "third") == "Adopted"

    play(story)


def test_one_that_may_not_adopt_it_does_not_keep_others_from_it() -> None:
    async def story(cloud: VMCloud) -> None:
        cloud.namespace("shop", team="web")
        cloud.namespace("other")
        await ready(cloud)
        selector = "adopters: {from: Selector, selector: {matchLabels: {team: web}}}"
        cloud.apply(opened().replace("adopters: {from: All}", selector))
        foreign(cloud, like(cloud))
        cloud.apply(adopting("first").replace("namespace: shop", "namespace: other"))
        await cloud.settle(5)
        cloud.apply(adopting("second", mode="Adopt"))
        await cloud.settle(30)
        assert phase(cloud, "second") == "Adopted"
        assert cloud.status("VirtualMachine", "other/first")["adoption"] == {"phase": "NotFound"}

    play(story)


def test_one_in_another_zone_or_cluster_is_refused() -> None:
    async def story(cloud: VMCloud) -> None:
        await ready(cloud)
        cloud.apply(base.ZONE.replace("z1", "z2"))
        cloud.apply(base.POD.replace("p1", "p2").replace("z1", "z2"))
        cloud.apply(opened("c2", zone="z2", pod="p2"))
        cloud.apply('kind: Host\nmetadata: {name: far}\nspec: {cluster: c2, endpoint: {url: "simulator://dc/host-00002"}}')
        await cloud.settle(30)
        foreign(cloud, like(cloud), "host-00002")
        cloud.apply(adopting(mode="Adopt"))
        await cloud.settle(20)
        assert phase(cloud) == "Refused"
        assert "zone z2" in cloud.text()
        foreign(cloud, like(cloud), instance=ID.replace("1", "7"))
        cloud.apply(adopting("other", mode="Adopt", extra="placement: {cluster: c2}", instance=ID.replace("1", "7")))
        await cloud.settle(20)
        assert phase(cloud, "other") == "Refused"
        assert "placement.cluster" in cloud.text("other")

    play(story)


@pytest.mark.parametrize("named", ["", H1], ids=["any host", "a named host"])
def test_a_cluster_that_does_not_allow_it_shows_nothing(named: str) -> None:
    async def story(cloud: VMCloud) -> None:
        cloud.apply(site())
        cloud.apply(opened(to="Same"))
        await cloud.settle(30)
        foreign(cloud, like(cloud))
        cloud.apply(adopting(mode="Adopt", extra=named))
        await cloud.settle(20)
        assert cloud.vm()["adoption"] == {"phase": "NotFound"}
        assert "old" not in str(cloud.vm())
        assert there(cloud).owner is None

    play(story)


def test_a_hypervisor_that_cannot_say_so() -> None:
    async def story(cloud: VMCloud) -> None:
        await ready(cloud)
        foreign(cloud, like(cloud))
        cloud.apply(adopting(mode="Adopt", extra=H1))
        await cloud.settle(20)
        assert phase(cloud) == "Refused"
        assert "can't have VMs adopted" in cloud.text()

    can = frozenset(Capability) - {Capability.ADOPTION}
    play(story, settings=Settings(hosts=2, cpus=8, memory=32 * GIB, capabilities=can))


@pytest.mark.parametrize(
    ("disk", "words"),
    [("/mnt/san/old.img:1", "/mnt/san/old.img, is in no StoragePool"), ("", "no disk")],
    ids=["disk outside every pool", "no disk"],
)
def test_one_whose_root_disk_no_pool_has_is_refused(disk: str, words: str) -> None:
    async def story(cloud: VMCloud) -> None:
        await ready(cloud)
        description = like(cloud, disk=disk or "/x/y:1")
        foreign(cloud, description if disk else description.replace("disk=/x/y:1 ", ""))
        cloud.apply(adopting(mode="Adopt"))
        await cloud.settle(20)
        assert phase(cloud) == "Refused"
        assert words in cloud.text()
        assert there(cloud).owner is None

    play(story)


def test_an_interface_on_another_segment_is_refused() -> None:
    async def story(cloud: VMCloud) -> None:
        await ready(cloud)
        foreign(cloud, f"name=old cpus=2 memory={4 * GIB} disk=/srv/vms/a.img:{GIB} nic={MAC}/7/10.1.0.77")
        cloud.apply(adopting(mode="Adopt"))
        await cloud.settle(20)
        assert report(cloud) == {"spec.networks[front]": "Refused"}
        [one] = told(cloud)
        vlan = cloud.status("Network", "shop/front")["segment"]["vlan"]
        assert (one["declared"], one["actual"]) == (f"vlan-{vlan}", "vlan-7")

    play(story)


def test_one_that_changes_before_it_is_marked_is_looked_at_again() -> None:
    """It is found, then it loses its interface, then it is marked: the hypervisor refuses that, and the report is made anew."""

    async def story(cloud: VMCloud) -> None:
        await ready(cloud)
        foreign(cloud, like(cloud))
        cloud.datacentre.fail("adoption.adopt", FaultKind.ERROR, count=None, error="Conflict")
        cloud.apply(adopting(mode="Adopt"))
        await cloud.settle(3)
        assert cloud.reason() == ("False", "HypervisorConflict")
        there(cloud).nics.clear()
        cloud.datacentre.heal()
        await cloud.settle(60)
        assert phase(cloud) == "Adopted"
        assert [nic["name"] for nic in cloud.vm()["nics"]] == ["front"]

    play(story)


def test_an_adoption_that_was_begun_and_can_not_be_gives_all_back() -> None:
    async def story(cloud: VMCloud) -> None:
        await ready(cloud)
        foreign(cloud, like(cloud))
        cloud.datacentre.fail("adoption.adopt", FaultKind.ERROR, count=None, error="Transient")
        cloud.apply(adopting(mode="Adopt"))
        await cloud.settle(1)
        cloud.datacentre.act(Act.DELETE_VM, f"host-00001/{ID}")
        await cloud.settle(60)
        status = cloud.vm()
        assert (phase(cloud), status.get("host"), status.get("nics", [])) == ("NotFound", None, [])
        assert cloud.job() == ("ImportUnmanagedInstance", "Failed")
        assert not cloud.controller.parts.addresses.records("shop/front")
        cloud.delete("VirtualMachine", "shop/web")
        await cloud.settle(30)
        assert not cloud.exists("VirtualMachine", "shop/web")

    play(story)
