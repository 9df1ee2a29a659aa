"""The whole demo on a real cluster: VIREO_TEST_CLUSTER names the kubeconfig of one that may be written to, as its administrator."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from standalone.demo import services
from standalone.demo.cluster import kubectl_command
from tests.e2e.accounts import account
from tests.e2e.demos import NOTHING, machine, pids
from tests.kubectl import Kubectl

pytestmark = [pytest.mark.slow, pytest.mark.lab, pytest.mark.timeout(900)]

VARIABLE = "VIREO_TEST_CLUSTER"


@pytest.fixture
def admin() -> Kubectl:
    path = os.environ.get(VARIABLE)
    if not path:
        pytest.skip(f"{VARIABLE} does not name the kubeconfig of a cluster for tests")
    return Kubectl([*kubectl_command(lambda _: None), f"--kubeconfig={path}"])


@pytest.fixture
def kubeconfig(admin: Kubectl, tmp_path: Path) -> Iterator[str]:
    """One with the rights of rights.yaml only."""
    path = tmp_path / "account"
    with account(admin, admin("config", "view", "--raw", "--flatten", "--minify", "-o", "json")) as text:
        path.write_text(text)
        yield str(path)


def objects(admin: Kubectl) -> list[str]:
    """Names of all CRDs, and of all namespaces and what Vireo would make in them."""
    return admin("get", "customresourcedefinitions,namespaces,leases,secrets", "--all-namespaces", "-o", "name").splitlines()


def test_the_demo_comes_and_goes(admin: Kubectl, kubeconfig: str) -> None:
    before = objects(admin)
    with machine() as made:
        first = made.demo("up", KUBECONFIG=kubeconfig)
        assert first.returncode == 0, first.stdout + first.stderr
        assert re.search(r"^web-1\nHello from Vireo\.$", first.stdout, re.MULTILINE)
        assert "cluster simulated (Simulator, 200 of 200 hosts up)" in first.stdout
        assert admin.json("get", "-n", "demo", "virtualmachines.vireo.dev/web-1")["status"]["state"] == "Running"
        running = pids(made)
        assert set(running) == set(services.NAMES), "no control plane of its own"
        again = made.demo("up", KUBECONFIG=kubeconfig)
        assert again.returncode == 0, again.stdout + again.stderr
        assert pids(made) == running
        down = made.demo("down")
        assert down.returncode == 0, down.stderr
        assert made.remains() == NOTHING
    assert objects(admin) == before
