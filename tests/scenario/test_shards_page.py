"""docs/how-to/shards.md, command by command: three controllers that its command starts, on simulated hosts."""

from __future__ import annotations

import hashlib
import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.support import pages
from tests.support.live import LiveCloud, live_cloud
from tests.support.live import manifests as make
from tests.support.pages import Reader

PAGE = "how-to/shards.md"
REPLICAS = ("one", "two", "three")
SHARD = 1
"""Of the VM that the page shows."""


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveCloud]:
    with live_cloud(tmp_path_factory.mktemp("cloud"), hosts=2) as running:
        yield running


@pytest.fixture(scope="module")
def reader(cloud: LiveCloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """Three replicas work, started as the page says; each has a name and a directory of its own."""
    directory = tmp_path_factory.mktemp("somebody")
    reader = Reader(cloud, directory, cloud.plane.controller_kubeconfig)
    [command] = pages.blocks(PAGE, "sh")
    with ExitStack() as stack:
        for name in REPLICAS:
            own = {"VIREO_IDENTITY": name, "VIREO_PROBE_PORT": "0", "VIREO_IMAGE_DIRECTORY": str(directory / name)}
            process = reader.begun(command.partition("#")[0].strip(), directory / f"{name}.log", **own)
            stack.callback(process.wait, 120)
            stack.callback(process.terminate)
        administrator = Reader(cloud, directory / "administrator")
        cloud.until(lambda: holders(administrator) == set(REPLICAS), "each replica has a shard")
        yield administrator


def holders(reader: Reader) -> set[str]:
    """Who holds the Leases, by the page's own command."""
    return {row.partition(" ")[2].strip() for row in leases(reader)[1:]}


def leases(reader: Reader) -> list[str]:
    [command], _ = pages.typed(pages.blocks(PAGE)[0])
    return reader.run(command).splitlines()


def in_shard(cloud: LiveCloud, shard: int) -> str:
    """A cluster of that shard, which only its uid decides, by the page's formula: some are made until one is."""
    assert "`sha256(uid) mod N`, first eight bytes" in pages.text(PAGE)
    for number in range(100):
        cloud.api.apply(make.cluster(cloud.simulator.url, f"c{number}"))
        uid = (cloud.api.get("Cluster", f"c{number}") or {})["metadata"]["uid"]
        if int.from_bytes(hashlib.sha256(uid.encode()).digest()[:8], "big") % len(REPLICAS) == shard:
            return f"c{number}"
    raise AssertionError("no cluster came into the shard")


def test_the_leases_are_those_that_the_page_shows(reader: Reader) -> None:
    _, shown = pages.typed(pages.blocks(PAGE)[0])
    found = leases(reader)
    assert [line.split()[0] for line in found] == [line.split()[0] for line in shown]
    assert found[0].split() == ["SHARD", "REPLICA"]


def test_the_number_in_use_is_on_the_lease(cloud: LiveCloud, reader: Reader) -> None:
    [command], [shown] = pages.typed(pages.blocks(PAGE)[1])
    cloud.until(lambda: reader.run(command).strip() == shown, "the number is written")


def test_whose_a_vm_is(cloud: LiveCloud, reader: Reader) -> None:
    """`vireo why` and the column of `kubectl get` say the same, and that replica's Lease is the one that is shown."""
    cluster = in_shard(cloud, SHARD)
    cloud.api.apply(make.zone(), make.manifest("Pod", "p", zone="z"), make.pool("pool", cluster))
    cloud.api.apply(make.host("host-00001", cluster=cluster), make.template(cloud.image_url, cloud.checksum), make.network())
    cloud.api.apply(make.offering("small", 1, "1Gi"), make.vm("web-1"))
    cloud.await_current(names=["web-1"])
    why = pages.inline(PAGE, "vireo why")
    told = pages.inline(PAGE, "worked on by")
    cloud.until(lambda: told in reader.run(why), "the shard has the VM")
    table = reader.run(pages.inline(PAGE, "kubectl get vvm -A"))
    assert re.search(rf"^web-1 +{SHARD}$", table, re.MULTILINE), table


def test_another_number_is_refused_where_the_page_says_so(reader: Reader) -> None:
    """N is 1 to 16."""
    assert "N is 1 to 16" in pages.text(PAGE)
    for number, accepted in (("0", False), ("17", False)):
        done: subprocess.CompletedProcess[str] = reader.tried(f"vireo run --shards {number}")
        assert (done.returncode == 0) is accepted
        assert "shards" in done.stderr
