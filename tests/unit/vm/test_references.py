"""What a VM refers to: each missing thing is named and waited for, each impossible one is said to be so."""

from __future__ import annotations

import pytest
import yaml

from controller.vm.userdata import LIMIT
from tests.support.vms import NETWORK, TEMPLATE, VMCloud, play, site, vm

MISSING = [
    ("Zone", "z1", "ZoneNotFound"),
    ("ServiceOffering", "small", "OfferingNotFound"),
    ("Template", "shop/debian", "TemplateNotFound"),
    ("Network", "shop/front", "NetworkNotFound"),
    ("StoragePool", "s1", "NoFittingHost"),
    ("Host", "h1", "NoHosts"),
]


def documents(without: tuple[str, str]) -> tuple[str, str]:
    """The site without one object, and that object."""
    found = list(yaml.safe_load_all(site()))
    name = without[1].rpartition("/")[2]
    held = [each for each in found if (each["kind"], each["metadata"]["name"]) == (without[0], name)]
    return yaml.safe_dump_all([each for each in found if each not in held]), yaml.safe_dump_all(held)


@pytest.mark.parametrize(("kind", "name", "reason"), MISSING)
def test_missing_reference_is_named_and_waited_for(kind: str, name: str, reason: str) -> None:
    async def story(cloud: VMCloud) -> None:
        rest, missing = documents((kind, name))
        cloud.apply(rest)
        cloud.apply(vm())
        await cloud.settle(60)
        assert cloud.reason() == ("False", reason)
        assert cloud.kstatus("VirtualMachine", "shop/web") == "InProgress"
        assert not cloud.datacentre.vms
        cloud.apply(missing)
        await cloud.settle(90)
        assert cloud.reason() == ("True", "Running")

    play(story)


def test_any_order_of_apply_ends_alike() -> None:
    async def story(cloud: VMCloud) -> None:
        cloud.apply(vm())
        for document in reversed(list(yaml.safe_load_all(site()))):
            cloud.apply(yaml.safe_dump(document))
            await cloud.settle(1)
        await cloud.settle(90)
        assert cloud.reason() == ("True", "Running")

    play(story)


IMPOSSIBLE = [
    ("rootDisk: {size: 1Gi}", "", "RootDiskTooSmall", "rootDisk.size 1Gi"),
    ("", "minDisk: 1Ti", None, ""),
    ("", "minMemory: 64Gi", "OfferingTooSmall", "64Gi"),
    ("userData: {inline: '" + "é" * (LIMIT // 2 + 1) + "'}", "", "UserDataTooLarge", str(LIMIT)),
]


@pytest.mark.parametrize(("spec", "template", "reason", "says"), IMPOSSIBLE)
def test_impossible_reference_stalls(spec: str, template: str, reason: str | None, says: str) -> None:
    async def story(cloud: VMCloud) -> None:
        cloud.apply(site().replace('debian.qcow2"}', 'debian.qcow2"}' + (f", {template}" if template else "")))
        await cloud.settle(30)
        cloud.apply(vm(extra=spec))
        await cloud.settle(30)
        if reason is None:
            assert cloud.datacentre.census.disks[0].size == 1 << 40
            return
        assert cloud.reason() == ("False", reason)
        assert cloud.kstatus("VirtualMachine", "shop/web") == "Failed"
        assert says in cloud.text()
        assert not cloud.datacentre.vms

    play(story)


def test_network_of_another_zone_is_refused() -> None:
    async def story(cloud: VMCloud) -> None:
        cloud.apply(site())
        cloud.apply("kind: Zone\nmetadata: {name: z2}\nspec: {guestVlans: [{start: 5, end: 9}]}")
        cloud.apply(NETWORK.replace("name: front", "name: far").replace("zone: z1", "zone: z2"))
        await cloud.settle(30)
        cloud.apply(vm(networks=["{name: front, network: far}"]))
        await cloud.settle(30)
        assert cloud.reason() == ("False", "NetworkNotInZone")
        assert cloud.kstatus("VirtualMachine", "shop/web") == "Failed"

    play(story)


GRANTS = [
    ("{from: Same}", False),
    ("{from: All}", True),
    ("{from: Selector, selector: {matchLabels: {team: shop}}}", True),
    ("{from: Selector, selector: {matchLabels: {team: bank}}}", False),
    ("{from: Selector, selector: {matchExpressions: [{key: team, operator: In, values: [shop, bank]}]}}", True),
]


@pytest.mark.parametrize(("allowed", "expected"), GRANTS)
def test_template_and_network_of_another_namespace_need_a_grant(allowed: str, expected: bool) -> None:
    async def story(cloud: VMCloud) -> None:
        cloud.namespace("shop", team="shop")
        cloud.apply(site())
        cloud.apply(TEMPLATE.replace("shop", "images").replace("spec: {", f"spec: {{allowedNamespaces: {allowed}, "))
        cloud.apply(NETWORK.replace("shop", "images").replace("spec: {", f"spec: {{allowedNamespaces: {allowed}, "))
        await cloud.settle(30)
        cloud.apply(vm("t").replace("{name: debian}", "{name: debian, namespace: images}"))
        cloud.apply(vm("n", networks=["{name: front, network: front, networkNamespace: images}"]))
        await cloud.settle(60)
        for name, missing in (("t", "TemplateNotFound"), ("n", "NetworkNotFound")):
            assert cloud.reason(name) == (("True", "Running") if expected else ("False", missing))

    play(story)


def secret(key: str = "cloud-init") -> str:
    return f"userData: {{secretRef: {{name: init, key: {key}}}}}"


def test_user_data_from_a_secret_takes_no_place_before_it_is_there() -> None:
    async def story(cloud: VMCloud) -> None:
        cloud.apply(site())
        await cloud.settle(30)
        cloud.apply(vm(extra=secret("data")))
        await cloud.settle(30)
        uid = cloud.raw("VirtualMachine", "shop/web")["metadata"]["uid"]
        assert cloud.reason() == ("False", "SecretNotFound")
        assert cloud.controller.parts.placements.size(uid) is None
        cloud.set_secret("shop", "init", other="x")
        await cloud.settle(60)
        assert cloud.text() == "Secret init has no key data"
        cloud.set_secret("shop", "init", data="#cloud-config\npassword: hunter2")
        await cloud.settle(60)
        assert cloud.reason() == ("True", "Running")
        assert "hunter2" not in str(cloud.api.history) + str(cloud.api.events)

    play(story)


def test_secret_that_is_lost_later_changes_nothing() -> None:
    async def story(cloud: VMCloud) -> None:
        cloud.apply(site())
        cloud.set_secret("shop", "init", data="#cloud-config")
        await cloud.settle(30)
        cloud.apply(vm(extra=secret("data")))
        await cloud.settle(30)
        digest = cloud.datacentre.vm().seed_digest
        cloud.remove_secret("shop", "init")
        cloud.edit(powerState="Off")
        await cloud.settle(30)
        cloud.edit(powerState="On")
        await cloud.settle(30)
        assert cloud.reason() == ("True", "Running")
        assert cloud.datacentre.vm().seed_digest == digest
        cloud.set_secret("shop", "init", data="x" * (LIMIT + 1))
        cloud.edit(hostname="other")
        await cloud.settle(60)
        assert cloud.reason() == ("False", "UserDataTooLarge")

    play(story)


def test_default_interface_is_the_first_unless_another_says_so() -> None:
    async def story(cloud: VMCloud) -> None:
        cloud.apply(site())
        cloud.apply("kind: Network\nmetadata: {name: lan, namespace: shop}\nspec: {zone: z1, type: L2}")
        await cloud.settle(30)
        cloud.apply(vm(networks=["{name: lan, network: lan}", "{name: front, network: front, default: true}"]))
        await cloud.settle(30)
        nics = {nic["name"]: nic for nic in cloud.vm()["nics"]}
        assert "ip" not in nics["lan"]
        assert cloud.vm()["ipAddress"] == nics["front"]["ip"]
        assert nics["lan"]["segment"] != nics["front"]["segment"]

    play(story)
