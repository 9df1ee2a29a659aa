"""The demo without a libvirt host: started, mended, interrupted, on clusters that are not its own, and in adversity."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from standalone.demo import record, services
from standalone.demo.cluster import LABEL
from standalone.plane import ControlPlane
from tests.conftest import MANIFESTS
from tests.e2e.accounts import account
from tests.e2e.demos import LIMIT, NOTHING, ROOT, Machine, machine, pids, remains_of_killed, sentence
from tests.kubectl import Kubectl

UP = ("up", "--simulator-only")
LOUD = "SIMULATOR ONLY: no libvirt host, no VM that really boots: it was asked for"


@pytest.fixture
def own_machine() -> Iterator[Machine]:
    with machine() as made:
        yield made


@pytest.fixture
def foreign(new_plane: Callable[[str], ControlPlane]) -> ControlPlane:
    """A cluster that is not the demo's."""
    made = new_plane("foreign")
    made.start()
    return made


def started(made: Machine, **environment: str) -> str:
    done = made.demo(*UP, **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def instance(kubectl: Kubectl) -> str:
    found: str = kubectl.json("get", "-n", "demo", "virtualmachines.vireo.dev/web-2")["status"]["instanceID"]
    return found


def test_it_mends_what_was_killed(own_machine: Machine) -> None:
    shown = started(own_machine)
    assert shown.splitlines()[0] == LOUD
    assert "vm demo/web-2 Running 10.20.0." in shown
    assert "web-1" not in shown
    kubectl = Kubectl(ControlPlane(own_machine.layout.plane).kubectl())
    before, vm = pids(own_machine), instance(kubectl)
    assert set(before) == {"etcd", "kube-apiserver", "kube-controller-manager", *services.NAMES}
    for name in services.NAMES:
        os.kill(int(before[name]), signal.SIGKILL)
    assert own_machine.demo("status").returncode == 1
    started(own_machine)
    after = pids(own_machine)
    assert {name for name in before if before[name] != after[name]} == set(services.NAMES)
    assert instance(kubectl) == vm
    refused = sentence(own_machine.demo("ssh", "web-2"))
    assert refused == "web-2 is on cluster simulated: only VMs on kvm really boot"
    image_port_in_use(own_machine)
    for path in own_machine.layout.directory.rglob("*.pid"):
        path.unlink()  # what runs is found all the same
    assert own_machine.remains()["processes"]
    assert own_machine.demo("down").returncode == 0
    assert own_machine.remains() == NOTHING


def image_port_in_use(made: Machine) -> None:
    """The one port that can't change: refused in a sentence, and everything goes on when it is free again."""
    known = record.load(made.layout.record)
    assert known is not None
    services.process(made.layout, "image server").stop(0)
    with socket.create_server(("127.0.0.1", known.image_port)):
        said = sentence(made.demo(*UP))
    assert said.startswith(f"port {known.image_port} on 127.0.0.1, where the demo offers its image, is in use")
    started(made)


def test_runs_that_were_killed_half_way(own_machine: Machine) -> None:
    layout = own_machine.layout
    for milestone in (layout.plane / "run" / "etcd.pid", layout.run / "simulator.pid", layout.manifests):
        killed_when(milestone.exists, own_machine)
    assert "vm demo/web-2 Running" in started(own_machine)


def test_down_after_a_run_that_was_killed_half_way(own_machine: Machine) -> None:
    killed_when((own_machine.layout.run / "simulator.pid").exists, own_machine)
    assert own_machine.demo("down").returncode == 0
    assert remains_of_killed(own_machine) == NOTHING


def killed_when(reached: Callable[[], bool], made: Machine) -> None:
    argv = [sys.executable, "-m", "standalone.demo", *UP]
    with subprocess.Popen(argv, cwd=ROOT, env=made.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + LIMIT
        while not reached() and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.kill()


def test_a_cluster_that_knows_nothing_of_vireo(own_machine: Machine, foreign: ControlPlane, tmp_path: Path) -> None:
    """With the rights of rights.yaml and no others."""
    kubectl = Kubectl(foreign.kubectl())
    kubeconfig = tmp_path / "account"
    with account(kubectl, foreign.kubeconfig.read_text()) as text:
        kubeconfig.write_text(text)
        assert "vm demo/web-2 Running" in started(own_machine, KUBECONFIG=str(kubeconfig))
        look_at_a_foreign_clusters_demo(own_machine, kubectl)
        assert own_machine.demo("down").returncode == 0
    assert own_machine.remains() == NOTHING
    assert kubectl("get", "customresourcedefinitions", "-o", "name") == ""
    assert not {"demo", "vireo-system"} & set(kubectl("get", "namespaces", "-o", "jsonpath={.items[*].metadata.name}").split())


def look_at_a_foreign_clusters_demo(own_machine: Machine, kubectl: Kubectl) -> None:
    assert kubectl.json("get", "-n", "demo", "virtualmachines.vireo.dev/web-2")["status"]["state"] == "Running"
    assert set(pids(own_machine)) == set(services.NAMES), "no control plane of its own"
    said = sentence(own_machine.demo(*UP))
    assert "not on its own control plane: set KUBECONFIG accordingly, or end it with `make demo-down`" in said
    source = f"source {own_machine.layout.environment}; kubectl get vvm -A; python -m standalone.demo up --simulator-only"
    again = own_machine.shell(source)
    assert again.returncode == 0, again.stderr


def test_a_cluster_with_vireo_objects_of_its_own(own_machine: Machine, foreign: ControlPlane) -> None:
    kubectl = Kubectl(foreign.kubectl())
    kubectl("apply", "--server-side", "-f", str(MANIFESTS))
    kubectl.define(name.partition("/")[2] for name in kubectl("get", "-f", str(MANIFESTS), "-o", "name").split())
    kubectl.apply({"apiVersion": "vireo.dev/v1alpha1", "kind": "Zone", "metadata": {"name": "theirs"}, "spec": {}})
    started(own_machine, KUBECONFIG=str(foreign.kubeconfig))
    assert own_machine.demo("down").returncode == 0
    left = kubectl("get", "vireo", "--all-namespaces", "-o", "name").split()
    assert left == ["zone.vireo.dev/theirs"]
    assert LABEL not in kubectl("get", "customresourcedefinitions", "-o", "yaml")


def test_clusters_that_cannot_be_used(own_machine: Machine, foreign: ControlPlane, tmp_path: Path) -> None:
    kubectl = Kubectl(foreign.kubectl())
    access = json.loads(foreign.kubeconfig.read_text())
    kubectl("create", "serviceaccount", "weak")
    access["users"][0]["user"] = {"token": kubectl("create", "token", "weak").strip()}
    weak = tmp_path / "weak"
    weak.write_text(json.dumps(access))
    access["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:9"
    dead = tmp_path / "dead"
    dead.write_text(json.dumps(access))
    kubectl("create", "namespace", "demo")
    expected = {
        "/absent": "cannot use KUBECONFIG=/absent: ",
        str(dead): "cannot reach the cluster of KUBECONFIG: The connection to the server 127.0.0.1:9 was refused",
        str(weak): "the demo lacks rights in the cluster of KUBECONFIG: get customresourcedefinitions",
        str(foreign.kubeconfig): "the cluster of KUBECONFIG has a namespace demo that is not the demo's: use another cluster",
    }
    for kubeconfig, beginning in expected.items():
        assert sentence(own_machine.demo(*UP, KUBECONFIG=kubeconfig)).startswith(beginning)
    assert own_machine.demo("down").returncode == 0
    assert kubectl("get", "namespaces", "demo", "-o", "name") == "namespace/demo\n"
    assert own_machine.remains() == NOTHING


def test_without_qemu_img(own_machine: Machine, tmp_path: Path) -> None:
    for program in ("setpriv", "go", "ssh-keygen"):
        if found := shutil.which(program):
            (tmp_path / program).symlink_to(found)
    said = sentence(own_machine.demo(*UP, PATH=str(tmp_path)))
    assert said == "qemu-img is missing, which makes and converts images: install it (Debian: apt install qemu-utils)"


@pytest.mark.lab
def test_a_full_disk(own_machine: Machine) -> None:
    """The demo's directory is a file system of one MiB, in a mount namespace that ends with the run."""
    own_machine.layout.directory.mkdir()
    script = 'mount -t tmpfs -o size=1m none "$0" && exec "$@"'
    argv = [
        "unshare",
        "--mount",
        "sh",
        "-c",
        script,
        str(own_machine.layout.directory),
        sys.executable,
        "-m",
        "standalone.demo",
        *UP,
    ]
    said = sentence(own_machine.run(*argv))
    assert "the disk is full" in said or "No space left on device" in said


def test_an_unwritable_cache(own_machine: Machine) -> None:
    said = sentence(own_machine.demo(*UP, VIREO_CACHE="/proc/absent"))
    assert said == "cannot create /proc/absent: No such file or directory"


def test_nothing_to_see(own_machine: Machine) -> None:
    status = own_machine.demo("status")
    assert (status.returncode, status.stdout) == (1, "there is no demo: start it with `make demo`\n")
    assert sentence(own_machine.demo("ssh", "web-1")) == "the demo does not run: start it with `make demo`"
