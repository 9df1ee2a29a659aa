"""docs/how-to/adopt.md, command by command, on the cloud of "getting started" with simulated hosts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.support import pages
from tests.support.live import LiveCloud, live_cloud
from tests.support.pages import Reader

MANIFESTS = ("10-zone.yaml", "20-simulator.yaml", "21-simulated-hosts.yaml", "40-images-and-networks.yaml")
EXAMPLE = pages.ROOT / "examples/adoption/10-legacy.yaml"


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[LiveCloud]:
    with live_cloud(tmp_path, hosts=20) as running:
        running.controller.start()
        yield running


def test_every_command_does_what_the_page_says(cloud: LiveCloud, tmp_path: Path) -> None:
    reader = Reader(cloud, tmp_path)
    reader.apply_first_cloud(MANIFESTS)
    reader.run("kubectl wait --for=condition=Ready host/host-00002 storagepool/simulated-shared")
    reader.run("kubectl -n demo wait --for=condition=Ready network/front")
    vlan = reader.run("kubectl -n demo get network front -o jsonpath='{.status.segment.vlan}'")
    allow, somebody, look, adopt, leave, orphans = pages.blocks("how-to/adopt.md")

    reader.run(allow)
    reader.run(somebody.replace("/100/", f"/{vlan}/").replace("oob ", f"oob --url {cloud.simulator.url} "))
    before = cloud.control.census()
    apply, show = look.strip().splitlines()
    reader.run(apply)
    cloud.until(lambda: '"phase":"Matches"' in reader.run(show), "it is found as declared")
    assert cloud.control.census() == before
    reader.run(adopt)
    [mine] = [vm for vm in cloud.control.census().vms if vm.owner]
    assert (mine.name, mine.starts) == ("legacy", 1)
    reader.run(leave)
    assert [(vm.name, vm.owner, vm.starts) for vm in cloud.control.census().vms] == [("legacy", "", 1)]
    take_back(cloud, reader, orphans.strip())


def take_back(cloud: LiveCloud, reader: Reader, orphans: str) -> None:
    """A VM of Vireo's own is kept when its object goes, is listed by the page's command, and given to another object."""
    reader.apply_first_cloud(["51-web-2-simulated.yaml"])
    reader.run("kubectl -n demo wait --for=condition=Ready vvm/web-2")
    reader.run("""kubectl -n demo patch vvm web-2 --type merge -p '{"spec":{"deletionPolicy":"Retain"}}'""")
    [before] = [vm for vm in cloud.control.census().vms if vm.owner]
    reader.run("kubectl -n demo delete vvm web-2")
    cloud.until(lambda: reader.run(orphans).split() == [before.instance, "demo/web-2"], "its Host lists it")

    manifest = yaml.safe_load(EXAMPLE.read_text())
    manifest["metadata"]["name"] = "web-2-again"
    manifest["spec"] |= {"adopt": {"instanceID": str(before.instance), "mode": "Adopt"}, "placement": {"host": str(before.host)}}
    manifest["spec"]["networks"] = [{"name": nic.name, "network": "front"} for nic in before.nics]
    reader.run(f"kubectl apply -f - <<'END'\n{yaml.safe_dump(manifest)}\nEND")
    reader.run("kubectl -n demo wait --for=condition=Ready vvm/web-2-again")
    [after] = [vm for vm in cloud.control.census().vms if vm.owner]
    assert (after.instance, after.starts, after.nics) == (before.instance, before.starts, before.nics)
    assert after.owner != before.owner
