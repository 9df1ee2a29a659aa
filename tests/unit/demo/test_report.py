"""What is told in the end is true, and works in a shell."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from standalone.demo import report
from standalone.demo.cluster import Cluster
from standalone.demo.laboratory import Address
from standalone.demo.layout import Layout
from standalone.errors import StandaloneError
from tests.unit.demo.fake import FakeKubectl, named, objects

NETWORK = {**named("Network", "front", "demo"), "spec": {"subnet": {"cidr": "10.20.0.0/24", "gateway": "10.20.0.1"}}}


@pytest.mark.parametrize("name", ["demo", "a demo", "it's; a $demo"])
def test_the_shell_file(tmp_path: Path, name: str) -> None:
    """For any directory: the shell must take its name as it is."""
    layout = Layout(tmp_path / name)
    layout.directory.mkdir()
    fake = FakeKubectl(tmp_path, {})
    report.write_environment(layout, Cluster("c", fake.kubectl, layout.directory / "kube config", tmp_path / "unused"))
    script = 'source "$0"; printf "%s\\n" "$KUBECONFIG" "$KUBECACHEDIR"; command -v kubectl; command -v python'
    said = subprocess.run(["bash", "-euc", script, layout.environment], capture_output=True, text=True, check=True)
    config, cache, kubectl, python = said.stdout.splitlines()
    assert [config, cache] == [str(layout.directory / "kube config"), str(layout.kubectl_cache)]
    assert kubectl == str(fake.program)
    assert Path(python).exists()


def test_without_a_libvirt_host_nothing_is_told_of_it() -> None:
    lines = report.how_to_go_on(Layout(Path("/d")), libvirt=False)
    assert "ssh" not in lines
    assert "crash" not in lines
    assert "web-1" not in lines
    assert "patch vvm web-2" in lines
    assert lines.endswith("make demo-down")


def vm(state: str | None, cluster: str = "kvm") -> dict[str, Any]:
    status = {"state": state, "cluster": cluster, "nics": [{"ip": "10.20.0.7", "segment": "vlan-120"}]} if state else {}
    return {**named("VirtualMachine", "web-1", "demo"), "spec": {"networks": [{"network": "front"}]}, "status": status}


def answers(found: dict[str, Any] | str) -> dict[str, tuple[int, Any]]:
    return {"get -n demo virtualmachines.vireo.dev/web-1": (0, found), "get -n demo networks.vireo.dev/front": (0, NETWORK)}


def test_find_address(tmp_path: Path) -> None:
    fake = FakeKubectl(tmp_path, answers(vm("Running")))
    assert report.find_address(fake.kubectl, "web-1") == Address("10.20.0.7", 120, "10.20.0.1/24")


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        ("", "there is no VM web-1 in namespace demo"),
        (objects(), "there is no VM web-1 in namespace demo"),
        (vm(None), "web-1 is not started yet, not Running"),
        (vm("Stopped"), "web-1 is Stopped, not Running"),
        (vm("Running", "simulated"), "web-1 is on cluster simulated: only VMs on kvm really boot"),
    ],
)
def test_no_vm_to_log_in_to(tmp_path: Path, found: dict[str, Any] | str, sentence: str) -> None:
    fake = FakeKubectl(tmp_path, answers(found))
    with pytest.raises(StandaloneError) as caught:
        report.find_address(fake.kubectl, "web-1")
    assert str(caught.value) == sentence
