"""What the demo shows in the end, and how to go on."""

import shlex
import sys
from pathlib import Path

from standalone.demo import laboratory
from standalone.demo.cluster import Cluster
from standalone.demo.commands import Runner
from standalone.demo.display import Display
from standalone.demo.layout import Layout
from standalone.errors import StandaloneError

KINDS = (
    "zones.vireo.dev,pods.vireo.dev,clusters.vireo.dev,storagepools,serviceofferings,templates,networks.vireo.dev,virtualmachines"
)
"""All but the hosts, which are many: the drawing counts them."""

BOOTED = ("demo", "web-1")
"""Namespace and name of the VM on the libvirt host."""


def write_environment(layout: Layout, cluster: Cluster) -> None:
    """Write the shell file that sets KUBECONFIG, and PATH so that kubectl and vireo are found."""
    directories = [Path(sys.executable).parent, Path(cluster.kubectl.command[0]).parent]
    path = ":".join(map(str, directories))
    layout.environment.write_text(
        f'export KUBECONFIG={shlex.quote(str(cluster.kubeconfig))}\nexport PATH={shlex.quote(path)}:"$PATH"\n'
    )


def show(display: Display, runner: Runner, layout: Layout, cluster: Cluster, libvirt: bool) -> None:
    """Show the cloud and, with a libvirt host, log in to the VM there. Raises StandaloneError if that fails."""
    display.say(f"\n$ kubectl get {KINDS} -A\n{cluster.kubectl('show the cloud', 'get', KINDS, '--all-namespaces')}")
    tree = runner.need("draw the cloud", [sys.executable, "-m", "controller", "tree", "--kubeconfig", str(cluster.kubeconfig)])
    display.say(f"$ vireo tree\n{tree}")
    if libvirt:
        _log_in(display, runner, layout, cluster)
    display.say(how_to_go_on(layout, libvirt))


def _log_in(display: Display, runner: Runner, layout: Layout, cluster: Cluster) -> None:
    namespace, name = BOOTED
    (vm,) = cluster.kubectl.objects("find the VM", "-n", namespace, f"virtualmachines/{name}")
    if vm["status"].get("state") != "Running":
        display.say(f"{name} is {vm['status'].get('state')}: not logging in")
        return
    (network,) = cluster.kubectl.objects("find its network", "-n", namespace, "networks.vireo.dev/front")
    at = laboratory.address(vm, network)
    if at is None:
        raise StandaloneError(f"{name} runs but has no address on a VLAN: {vm['status'].get('nics')}")
    command = ["hostname; cat /etc/motd"]
    with display.step(f"logging in to {name} at {at.ip}") as progress:
        said = laboratory.log_in(layout, runner, at, command, progress)
    display.say(f"\n$ ssh root@{at.ip} '{command[0]}'\n{said}")


def how_to_go_on(layout: Layout, libvirt: bool) -> str:
    """The last lines."""
    return f"go on with: source {shlex.quote(str(layout.environment))}" + (f" {laboratory.HOST}" if libvirt else "")
