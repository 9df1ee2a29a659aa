"""What the demo shows in the end, and how to go on."""

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from standalone.cache import Progress
from standalone.demo import laboratory
from standalone.demo.cluster import Cluster
from standalone.demo.commands import Kubectl, Runner
from standalone.demo.display import Display
from standalone.demo.layout import Layout
from standalone.errors import StandaloneError

KINDS = "vzone,vpod,vcluster,vpool,voffering,vtemplate,vnet,vvm"
"""All but the hosts, which are many: the drawing counts them."""

NAMESPACE = "demo"
BOOTED = "web-1"
"""The VM on the libvirt host."""

SHOWN_COMMAND = "hostname; cat /etc/motd"


def write_environment(layout: Layout, cluster: Cluster) -> None:
    """Write the shell file that makes kubectl use the cluster, and puts kubectl, vireo and python on PATH."""
    path = ":".join(str(Path(program).parent) for program in (sys.executable, cluster.kubectl.command[0]))
    lines = (
        f"export KUBECONFIG={shlex.quote(str(cluster.kubeconfig))}",
        f"export KUBECACHEDIR={shlex.quote(str(layout.kubectl_cache))}",
        f'export PATH={shlex.quote(path)}:"$PATH"',
    )
    layout.environment.write_text("".join(f"{line}\n" for line in lines))


def show(display: Display, runner: Runner, layout: Layout, cluster: Cluster, libvirt: bool) -> None:
    """Show the cloud and, with a libvirt host, log in to the VM there. Raises StandaloneError if that fails."""
    transcript = ""
    if libvirt:
        with display.step(f"logging in to {BOOTED}") as progress:
            transcript = _log_in(runner, layout, cluster.kubectl, progress)
    display.say(f"\n$ kubectl get {KINDS} -A\n{cluster.kubectl('show the cloud', 'get', KINDS, '--all-namespaces')}")
    tree = runner.need("draw the cloud", [sys.executable, "-m", "controller", "tree", "--kubeconfig", str(cluster.kubeconfig)])
    display.say(f"$ vireo tree\n{tree}")
    display.say(transcript + how_to_go_on(layout, libvirt))


def find_address(kubectl: Kubectl, name: str) -> laboratory.Address:
    """Where a VM of the demo's namespace is reached. Raises StandaloneError if it doesn't exist, run, or have an address."""
    found = kubectl.objects("find the VM", "-n", NAMESPACE, f"virtualmachines.vireo.dev/{name}")
    if not found:
        raise StandaloneError(f"there is no VM {name} in namespace {NAMESPACE}")
    vm: Mapping[str, Any] = found[0]
    if (state := vm.get("status", {}).get("state")) != "Running":
        raise StandaloneError(f"{name} is {state or 'not started yet'}, not Running")
    if vm["status"].get("cluster") != laboratory.CLUSTER:
        raise StandaloneError(f"{name} is on cluster {vm['status'].get('cluster')}: only VMs on {laboratory.CLUSTER} really boot")
    (network,) = kubectl.objects("find its network", "-n", NAMESPACE, f"networks.vireo.dev/{vm['spec']['networks'][0]['network']}")
    return laboratory.address(vm, network)


def _log_in(runner: Runner, layout: Layout, kubectl: Kubectl, progress: Progress) -> str:
    at = find_address(kubectl, BOOTED)
    said = laboratory.log_in(layout, runner, at, SHOWN_COMMAND, progress)
    return f"$ ssh root@{at.ip} '{SHOWN_COMMAND}'\n{said}\n"


def how_to_go_on(layout: Layout, libvirt: bool) -> str:
    """The last lines: each command works as it stands, after the first one."""
    name = BOOTED if libvirt else "web-2"
    patch = f"kubectl -n {NAMESPACE} patch vvm {name} --type merge -p"
    lines = [
        ("", f"source {shlex.quote(str(layout.environment))}"),
        ("look", "kubectl get vireo -A; kubectl explain vvm.spec; vireo tree"),
        ("log in", f"python -m standalone.demo ssh {BOOTED}") if libvirt else None,
        ("resize", f"""{patch} '{{"spec": {{"offering": "small"}}}}'"""),
        ("stop", f"""{patch} '{{"spec": {{"powerState": "Off"}}}}'"""),
        ("start", f"""{patch} '{{"spec": {{"powerState": "On"}}}}'"""),
        ("break a host", f"python -m standalone.demo lab host crash {laboratory.HOST}") if libvirt else None,
        ("mend it", f"python -m standalone.demo lab host start {laboratory.HOST}") if libvirt else None,
        ("the YAML", f"ls {shlex.quote(str(layout.manifests))}"),
        ("logs", f"ls {shlex.quote(str(layout.log))}"),
        ("end", "make demo-down"),
    ]
    return "How to go on\n" + "\n".join(f"  {what:13} {command}" for what, command in filter(None, lines))
