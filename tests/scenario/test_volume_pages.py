"""docs/how-to/volumes.md, snapshots.md and console.md, command by command, on the simulated hosts of "getting started"."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from drivers.simulator.engine.actions import Act
from drivers.simulator.engine.census import CensusVM, CensusVolume
from drivers.types import Power
from tests.support import pages
from tests.support.live import LiveCloud, live_cloud
from tests.support.pages import Reader

MANIFESTS = (
    "10-zone.yaml", "20-simulator.yaml", "21-simulated-hosts.yaml", "40-images-and-networks.yaml", "51-web-2-simulated.yaml",
)  # fmt: skip
GIB = 1 << 30


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveCloud]:
    with live_cloud(tmp_path_factory.mktemp("cloud"), hosts=200) as running:
        running.controller.start()
        yield running


@pytest.fixture(scope="module")
def reader(cloud: LiveCloud, tmp_path_factory: pytest.TempPathFactory) -> Reader:
    somebody = Reader(cloud, tmp_path_factory.mktemp("somebody"))
    somebody.apply_first_cloud(MANIFESTS)
    somebody.run("kubectl -n demo wait --for=condition=Ready vvm/web-2")
    return somebody


def vm(cloud: LiveCloud, name: str) -> CensusVM:
    [found] = [each for each in cloud.control.census().vms if each.name == f"demo-{name}"]
    return found


def volume(cloud: LiveCloud, name: str) -> CensusVolume:
    [found] = [each for each in cloud.control.census().volumes if each.name == f"demo-{name}"]
    return found


def users(cloud: LiveCloud, name: str) -> set[str]:
    """Names of the VMs that have a volume on the hypervisor."""
    found = volume(cloud, name).users
    return {each.name.removeprefix("demo-") for each in cloud.control.census().vms if f"{each.host}/{each.instance}" in found}


def root(cloud: LiveCloud, name: str) -> str:
    """What is on the root disk of a VM."""
    instance = vm(cloud, name).instance
    [content] = [each.content for each in cloud.control.census().disks if each.instance == instance]
    return content


def write(cloud: LiveCloud, name: str, content: str) -> None:
    """The guest writes to its root disk and its volume."""
    found = vm(cloud, name)
    cloud.control.act(Act.WRITE_DISK, f"{found.host}/{found.instance}", f"root={content}")


def condition(reader: Reader, name: str, type: str) -> dict[str, Any]:
    """A condition of an object of the demo, such as vvol/db-data; empty if it has none."""
    status = json.loads(reader.run(f"kubectl -n demo get {name} -o json")).get("status", {})
    found: list[dict[str, Any]] = [each for each in status.get("conditions", []) if each["type"] == type]
    return found[0] if found else {}


def begun(reader: Reader, command: str, tmp_path: Path) -> tuple[subprocess.Popen[bytes], Callable[[], bool]]:
    """A command that waits, and whether it has ended well."""
    process = reader.begun(command, tmp_path / "log")
    return process, lambda: process.poll() == 0


def test_volumes(cloud: LiveCloud, reader: Reader, tmp_path: Path) -> None:
    make, attach, grow, delete = pages.blocks("how-to/volumes.md")
    reader.run(make)
    table = "kubectl -n demo get volumes"
    cloud.until(lambda: "db-1" in reader.run(table), "the VM that has it is shown")
    row = reader.run(table).splitlines()[1]
    assert [word for word in ("db-data", "db-1", "10Gi", "simulated-shared") if word not in row] == []
    assert users(cloud, "db-data") == {"db-1"}

    reader.run(attach)
    cloud.until(lambda: users(cloud, "db-data") == {"web-2"}, "the other VM has it")
    reader.run("kubectl -n demo wait --for=condition=Ready vvm/db-1 vvm/web-2 vvol/db-data")

    reader.run(grow)
    cloud.until(lambda: volume(cloud, "db-data").size == 20 * GIB, "it grows where it is")

    process, done = begun(reader, delete.strip(), tmp_path)
    cloud.until(lambda: "web-2" in condition(reader, "vvol/db-data", "DeletionBlocked").get("message", ""), "the user is named")
    assert process.poll() is None
    reader.run("""kubectl -n demo patch vvm web-2 --type merge -p '{"spec":{"volumes":[]}}'""")
    cloud.until(done, "it is deleted")
    assert [each.name for each in cloud.control.census().volumes] == []


def test_sources_of_volumes(cloud: LiveCloud, reader: Reader) -> None:
    """Both ways that the page shows in one fragment of YAML."""
    [fragment] = pages.blocks("how-to/volumes.md", "yaml")
    [other] = re.findall(r"# or (\{.*\})$", fragment, re.MULTILINE)
    base = {"apiVersion": "vireo.dev/v1alpha1", "kind": "Volume"}
    first = {**base, "metadata": {"name": "of-template", "namespace": "demo"}, **yaml.safe_load(fragment)}
    first["spec"]["pool"] = "simulated-shared"  # else it waits for a VM, as the page says
    second = {**first, "metadata": {"name": "of-snapshot", "namespace": "demo"}}
    second["spec"] = {**first["spec"], "source": yaml.safe_load(other)}
    snapshot = second["spec"]["source"]["snapshot"]["name"]
    taken = {**base, "kind": "Snapshot", "metadata": {"name": snapshot, "namespace": "demo"}, "spec": {"volume": "of-template"}}
    for manifest in (first, taken, second):
        reader.run(f"kubectl apply -f - <<'END'\n{json.dumps(manifest)}\nEND")
    reader.run(f"kubectl -n demo wait --for=condition=Ready vvol/of-template vsnap/{snapshot} vvol/of-snapshot")
    assert volume(cloud, "of-snapshot").content == volume(cloud, "of-template").content != ""
    reader.run(f"kubectl -n demo delete vsnap/{snapshot} vvol/of-template")
    assert volume(cloud, "of-snapshot").size == 10 * GIB, "it depends on neither"
    reader.run("kubectl -n demo delete vvol/of-snapshot")


def test_snapshots(cloud: LiveCloud, reader: Reader) -> None:
    before, back, single, look, clean = pages.blocks("how-to/snapshots.md")
    reader.run(pages.blocks("how-to/volumes.md")[0])
    cloud.until(lambda: users(cloud, "db-data") == {"db-1"}, "the VM has its volume")
    write(cloud, "db-1", "before")
    starts = vm(cloud, "db-1").starts
    reader.run(before)
    assert (vm(cloud, "db-1").power, vm(cloud, "db-1").starts) == (Power.ON, starts), "it runs on"

    write(cloud, "db-1", "upgraded")
    reader.run(back)
    reader.run("kubectl -n demo wait --for=condition=Ready vvm/db-1")
    assert (root(cloud, "db-1"), vm(cloud, "db-1").power, vm(cloud, "db-1").restores) == ("before", Power.ON, 1)

    reader.run(single)
    reader.run("kubectl -n demo wait --for=condition=Ready vvol/db-copy")
    assert users(cloud, "db-copy") == set()

    snapshots, restores, description = (reader.run(command) for command in look.strip().splitlines())
    assert [name for name in ("STATE", "PARENT", "HOST", "before-upgrade", "db-nightly") if name not in snapshots] == []
    assert "undo-upgrade" in restores
    assert "db-1" in description

    reader.run(clean)
    assert vm(cloud, "db-1").snapshots == ()
    reader.run("""kubectl -n demo patch vvm db-1 --type merge -p '{"spec":{"volumes":[]}}'""")
    copied = (pages.ROOT / "examples/snapshots/20-back.yaml").read_text().replace("undo-upgrade", "volume-back")
    reader.run(f"kubectl apply -f - <<'END'\n{copied.replace('before-upgrade', 'db-nightly')}\nEND")
    reader.run("kubectl -n demo wait --for=condition=Ready vrestore/volume-back")


RIGHTS = re.compile(r"^\| get \| (.*) \|$", re.MULTILINE)


def rules(page: str) -> list[dict[str, Any]]:
    """The table of rights: `PLURAL.GROUP` is read from it, and the Secret of an endpoint."""
    found = RIGHTS.findall(page)
    named = [name.split(".", 1) for row in found for name in re.findall(r"`(\w+\.vireo\.dev)`", row)]
    assert any("Secret" in row for row in found)
    return [
        *({"apiGroups": [group], "resources": [plural], "verbs": ["get"]} for plural, group in named),
        {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]},
    ]


def await_rights(cloud: LiveCloud, reader: Reader, user: str, resources: Sequence[str]) -> None:
    """The API server heeds a grant some time after it was made."""
    for each in resources:
        question = f"kubectl -n demo auth can-i get {each} --as={user}"
        cloud.until(lambda question=question: reader.tried(question).returncode == 0, question)  # type: ignore[misc]


@pytest.mark.parametrize("missing", [None, 0, 1, 2])
def test_who_may_use_the_console(cloud: LiveCloud, reader: Reader, tmp_path: Path, missing: int | None) -> None:
    """With the rights of the table one gets as far as the hypervisor, which has no console; without one of them not that far."""
    name = f"operator-without-{missing}".lower()
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": name},
        "rules": [rule for number, rule in enumerate(rules(pages.text("how-to/console.md"))) if number != missing],
    }
    reader.run(f"kubectl apply -f - <<'END'\n{json.dumps(role)}\nEND")
    reader.run(f"kubectl -n demo create serviceaccount {name}")
    reader.run(f"kubectl create clusterrolebinding {name} --clusterrole={name} --serviceaccount=demo:{name}")
    token = reader.run(f"kubectl -n demo create token {name}").strip()
    access = yaml.safe_load(cloud.plane.kubeconfig.read_text())
    access["users"][0]["user"] = {"token": token}
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(access))
    granted = [f"{resource}.{rule['apiGroups'][0]}".rstrip(".") for rule in role["rules"] for resource in rule["resources"]]
    await_rights(cloud, reader, f"system:serviceaccount:demo:{name}", granted)
    operator = Reader(cloud, tmp_path, tmp_path / "kubeconfig")
    [session] = [block for block in pages.blocks("how-to/console.md") if block.startswith("$ ")]
    [command] = pages.typed(session)[0]
    done = operator.tried(command.replace("shop/web-1", "demo/web-2"))
    assert done.returncode == 1
    assert ("forbidden" in done.stderr, "console" in done.stderr) == (missing is not None, missing is None), done.stderr
