"""docs/how-to/adopt.md, command by command, on the cloud of "getting started" with simulated hosts."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from string import Template

import pytest

from tests.support.live import LiveCloud, live_cloud

ROOT = Path(__file__).parents[2]
FIRST = ROOT / "examples/first-cloud"
BLOCKS = re.findall(r"^```\n(.*?)^```$", (ROOT / "docs/how-to/adopt.md").read_text(), re.MULTILINE | re.DOTALL)
MANIFESTS = ("10-zone.yaml", "20-simulator.yaml", "21-simulated-hosts.yaml", "40-images-and-networks.yaml")


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[LiveCloud]:
    with live_cloud(tmp_path, hosts=20) as running:
        running.controller.start()
        yield running


def run(cloud: LiveCloud, command: str) -> str:
    """As a user would, with this cloud's API server."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = os.environ | {"KUBECONFIG": str(cloud.plane.kubeconfig), "PATH": path}
    done = subprocess.run(["bash", "-ec", command], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, f"{command}\n{done.stderr}"
    return done.stdout


def test_every_command_does_what_the_page_says(cloud: LiveCloud, tmp_path: Path) -> None:
    values = {"SIMULATOR_URL": cloud.simulator.url, "IMAGE_URL": cloud.image_url, "IMAGE_CHECKSUM": cloud.checksum}
    for name in MANIFESTS:
        (tmp_path / name).write_text(Template((FIRST / name).read_text()).safe_substitute(values))
        run(cloud, f"kubectl apply -f {tmp_path / name}")
    run(cloud, "kubectl wait --for=condition=Ready host/host-00002 storagepool/simulated-shared --timeout=120s")
    run(cloud, "kubectl -n demo wait --for=condition=Ready network/front --timeout=120s")
    vlan = run(cloud, "kubectl -n demo get network front -o jsonpath='{.status.segment.vlan}'")
    allow, somebody, look, adopt, leave = BLOCKS

    run(cloud, allow)
    run(cloud, somebody.replace("/100/", f"/{vlan}/").replace("oob ", f"oob --url {cloud.simulator.url} "))
    before = cloud.control.census()
    apply, show = look.strip().splitlines()
    run(cloud, apply)
    cloud.until(lambda: '"phase":"Matches"' in run(cloud, show), "it is found as declared")
    assert cloud.control.census() == before
    run(cloud, adopt)
    [mine] = [vm for vm in cloud.control.census().vms if vm.owner]
    assert (mine.name, mine.starts) == ("legacy", 1)
    run(cloud, leave)
    assert [(vm.name, vm.owner, vm.starts) for vm in cloud.control.census().vms] == [("legacy", "", 1)]
