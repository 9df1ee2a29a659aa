"""docs/how-to/kvm-host.md on a lab host, command by command; then a new authority, and a host whose certificate is of another."""

import base64
import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from standalone.plane import ControlPlane
from tests.e2e.demos import ROOT, commands
from tests.e2e.freshhost import ADDRESS, CONTROLLER, FreshHost, path_with
from tests.kubectl import Kubectl
from tests.lab import disposable
from tests.lab.host import Host, run_in
from tests.lab.shell import run
from tests.lab.sshd import let_in
from tests.support.files import FileServer, Served, etag, file_server
from tests.support.live import manifests as make
from tests.support.live.controller import ControllerProcess
from tests.support.live.inside import Inside, port_in

pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]

PAGE = ROOT / "docs" / "how-to" / "kvm-host.md"
EXAMPLES = {"192.0.2.11": ADDRESS, "192.0.2.2": CONTROLLER}
"""Addresses of the page → those of the lab."""

PATIENCE = 240
"""Seconds that a Host may need where everything needs long: its Secret is looked at twice a minute, and several logins follow."""

STRANGER = "198.18.0.253"
"""An address of the management network that is no controller's; `test_only_the_controller_reaches_the_port` gives it out."""


@dataclass
class Operator:
    """Where somebody sits who follows the page: a directory, and the page's commands on the PATH."""

    directory: Path
    host: FreshHost
    kubectl: Kubectl
    controller: ControllerProcess
    path: str
    files: FileServer

    def run(self, script: str, directory: Path | None = None) -> str:
        """Type a script, up to the first failure; what it printed."""
        environment = {"PATH": self.path, "HOME": str(self.directory)}
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script], cwd=directory or self.directory, env=environment, capture_output=True,
            text=True, timeout=700,
        )  # fmt: skip
        assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-2000:]}\n{self.state()}"
        return done.stdout

    def wait(self, condition: str) -> None:
        """Until the Host is as `kubectl wait --for` says."""
        done = self.kubectl.run("wait", f"--for={condition}", "host.vireo.dev/kvm-1", f"--timeout={PATIENCE}s")
        assert done.returncode == 0, f"{condition}: {done.stderr}\n{self.state()}"

    def state(self) -> str:
        """What the Host says of itself, and the controller's last words."""
        host = self.kubectl.run("get", "host.vireo.dev", "kvm-1", "-o", "jsonpath={.metadata.generation} {.status}")
        return f"{host.stdout}{host.stderr}\n{self.controller.log.read_text()[-3000:]}"


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    directory = tmp_path_factory.mktemp("operator")
    plane = ControlPlane(directory / "plane", durable=False, die_with_parent=True)
    with disposable() as lab, ExitStack() as stack:
        lab.up()
        plane.start()
        stack.callback(plane.delete)
        kubectl = Kubectl(plane.kubectl())
        kubectl("apply", "--server-side", "-f", str(ROOT / "crds" / "manifests"))
        kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=200s")
        files = stack.enter_context(file_server())
        api = yaml.safe_load(plane.kubeconfig.read_text())["clusters"][0]["cluster"]["server"]
        for name, url in (("api", api), ("files", files.url)):
            stack.enter_context(port_in(lab.command("ctl"), url, directory / f"{name}.sock"))
        (directory / "host").mkdir()
        host = FreshHost(lab, directory / "host")
        controller = Inside(plane.controller_kubeconfig, directory / "controller", enter=lab.command("ctl"))
        path = path_with(host.logins, tools(directory / "tools", plane))
        kubectl("create", "namespace", "vireo-system")
        controller.start()
        stack.callback(controller.kill)
        (directory / "work").mkdir()
        yield Operator(directory / "work", host, kubectl, controller, path, files)


def tools(directory: Path, plane: ControlPlane) -> Path:
    """A directory with `kubectl` and `vireo`."""
    directory.mkdir()
    for name, argv in (
        ("kubectl", [*plane.kubectl(), '"$@"']),
        ("vireo", ["env", f"PYTHONPATH={ROOT}", sys.executable, "-m", "controller", '"$@"']),
    ):
        (directory / name).write_text(f"#!/bin/sh\nexec {' '.join(map(str, argv))}\n")
        (directory / name).chmod(0o755)
    return directory


def page() -> str:
    text = commands(PAGE.read_text())
    for example, ours in EXAMPLES.items():
        assert example in text
        text = re.sub(rf"\b{re.escape(example)}\b", ours, text)
    return text


def message(operator: Operator) -> str:
    """What the Host says of its readiness."""
    conditions = operator.kubectl.json("get", "host.vireo.dev", "kvm-1")["status"]["conditions"]
    return str(next(each["message"] for each in conditions if each["type"] == "Ready"))


def until_refused(operator: Operator) -> None:
    operator.wait("jsonpath={.status.state}=Error")


def until_ready(operator: Operator) -> None:
    operator.wait("condition=Ready")


def until_guarded(operator: Operator) -> None:
    operator.wait("condition=AddressesGuarded")


def test_the_page_ends_with_a_ready_host(operator: Operator) -> None:
    printed = operator.run(page())
    assert "host.vireo.dev/kvm-1 condition met" in printed
    assert "storagepool.vireo.dev/kvm-1-local condition met" in printed
    status = operator.kubectl.json("get", "host.vireo.dev", "kvm-1")["status"]
    assert (status["state"], status["hypervisor"] in {"KVM", "QEMU"}) == ("Up", True)
    assert "PRIVATE KEY" not in printed
    told = next(each for each in status["networks"] if each["backend"] == "OVS")
    assert (told["available"], told["addressesGuarded"]) == ("True", True), told
    guests = status["guests"]
    assert set(guests["firmwares"]) == {"BIOS", "UEFI"}
    assert guests["machineTypes"][0].startswith("pc-q35-")
    assert "qemu64" in guests["cpuModels"]
    assert (
        (status["hypervisor"] == "KVM")
        == ("kvm" in guests["domainTypes"])
        == (not any("/dev/kvm" in text for text in guests["lacks"]))
    )


def test_the_key_is_on_the_host_alone(operator: Operator) -> None:
    shown = run_in(operator.host.host, "stat", "-c", "%a %U", "/etc/libvirt/vireo/key.pem", "/etc/libvirt/vireo")
    assert shown.splitlines() == ["600 root", "700 root"]
    assert not (operator.directory / "vireo-hosts/kvm-1/key.pem").exists()
    assert run_in(operator.host.host, "sh", "-c", "ls /root/kvm-1").split() == [
        "ca.pem",
        "cert.pem",
        "host.yaml",
        "known_hosts",
        "setup.sh",
    ]


def test_everything_that_it_installs_exists(operator: Operator) -> None:
    [installed] = [line for line in operator.host.asked if " install " in line]
    assert {"libvirt-daemon-system", "qemu-system-x86", "ovmf", "openvswitch-switch"} < set(installed.split())


def test_only_the_controller_reaches_the_port(operator: Operator) -> None:
    """From its address and from the host itself; from another address of the same network packets vanish."""
    lab = operator.host.lab
    enter = lab.command("ctl")
    subprocess.run([*enter, "ip", "address", "add", f"{STRANGER}/24", "dev", "mgmt0"], check=True)
    probe = "import socket,sys; socket.create_connection((sys.argv[1], 16514), 3, (sys.argv[2], 0))"
    outcomes = [subprocess.run([*enter, sys.executable, "-c", probe, ADDRESS, source], capture_output=True).returncode == 0
                for source in (CONTROLLER, STRANGER)]  # fmt: skip
    assert outcomes == [True, False]


def test_the_controller_logs_in_from_its_address_for_commands_alone(operator: Operator) -> None:
    """With the key of the Secret: no login from another address, no forwarding."""
    key, known = (operator.directory / name for name in ("ctl_key", "ctl_known"))
    data = yaml.safe_load((operator.directory / "vireo-hosts" / "secret.yaml").read_text())["data"]
    for path, name in ((key, "ssh-privatekey"), (known, "known_hosts")):
        path.touch(mode=0o600)
        path.write_bytes(base64.b64decode(data[name]))
    login = ["ssh", "-T", "-F", "none", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=yes",
             "-o", f"UserKnownHostsFile={known}", "-o", "GlobalKnownHostsFile=/dev/null", "-i", str(key)]  # fmt: skip
    for more, status, told in (
        ([], 0, ""),
        (["-b", STRANGER], 255, "Permission denied"),
        (["-o", "ExitOnForwardFailure=yes", "-R", "7:127.0.0.1:7"], 255, "forwarding failed"),
    ):
        argv = [*operator.host.lab.command("ctl"), *login, *more, f"root@{ADDRESS}", "id", "-u"]
        done = subprocess.run(argv, capture_output=True, text=True)
        assert (done.returncode, done.stdout, told in done.stderr) == (status, "" if status else "0\n", True), (more, done.stderr)


def test_the_script_may_run_again(operator: Operator) -> None:
    again = f"ssh root@{ADDRESS} sh kvm-1/setup.sh"
    operator.run(f"{again} && {again}")
    configuration = run_in(operator.host.host, "cat", "/etc/libvirt/libvirtd.conf")
    assert (configuration.count("# vireo: begin"), configuration.count("tls_allowed_dn_list")) == (1, 1)
    assert run_in(operator.host.host, "cat", "/root/.ssh/authorized_keys").count(" vireo-controller\n") == 1
    until_ready(operator)


def cloud_of(operator: Operator) -> Sequence[make.Manifest]:
    """A network, an offering, a template without an operating system, and the VM `web` of them, all in the zone of the page."""
    image = operator.directory / "empty.qcow2"
    run("qemu-img", "create", "-q", "-f", "qcow2", str(image), "4M")
    content = image.read_bytes()
    url = operator.files.serve("/empty.qcow2", Served(content, etag(content)))
    template = make.template(url, f"sha256:{hashlib.sha256(content).hexdigest()}")
    placed = [{**each, "spec": {**each["spec"], "zone": "zurich"}} for each in (make.network(), make.vm("web"))]
    return [make.offering("small", 1, "32Mi"), template, *placed]


def until_running(operator: Operator) -> Any:
    """Wait for the VM `web`, and return its status."""
    wait = (
        "wait",
        "-n",
        "shop",
        "--for=jsonpath={.status.state}=Running",
        "virtualmachine.vireo.dev/web",
        f"--timeout={PATIENCE}s",
    )
    done = operator.kubectl.run(*wait)
    vm = operator.kubectl.json("get", "-n", "shop", "virtualmachine.vireo.dev", "web")
    assert done.returncode == 0, f"{done.stderr}\n{vm}\n{operator.state()}"
    return vm["status"]


def of_vms(host: Host, mac: str) -> dict[str, list[str]]:
    """What VMs have on the host: QEMU processes, ports of a MAC address, files in the pool's directory."""
    qemu = "pgrep -f '^[^ ]*qemu-system-x86_64 -name guest=' || true"
    ports = ("ovs-vsctl", "--bare", "--columns=name", "find", "interface", f'external_ids:attached-mac="{mac}"')
    files = run_in(host, "ls", "/var/lib/vireo").split()
    return {
        "processes": run_in(host, "sh", "-c", qemu).split(),
        "ports": run_in(host, *ports).split(),
        "files": [each for each in files if not each.startswith("vireo-image-")],
    }


def test_a_vm_runs_on_the_host_and_goes(operator: Operator) -> None:
    """On the bridge, in the directory and by the login that the page's commands prepared; it runs on while they run again."""
    host, kubectl = operator.host.host, operator.kubectl
    kubectl("create", "namespace", "shop")
    kubectl.apply(*cloud_of(operator))
    status = until_running(operator)
    instance, [nic] = status["instanceID"], status["nics"]
    segment = kubectl.json("get", "-n", "shop", "network.vireo.dev", "front")["status"]["segment"]["vlan"]
    before = of_vms(host, nic["mac"])
    assert (len(before["processes"]), len(before["ports"])) == (1, 1), before
    assert f"dl_src={nic['mac']},nw_src={nic['ip']}" in run_in(host, "ovs-ofctl", "dump-flows", "ovsbr0"), (
        "it is held to its address"
    )
    assert run_in(host, "ovs-vsctl", "port-to-br", *before["ports"]).strip() == "ovsbr0"
    assert int(run_in(host, "ovs-vsctl", "get", "port", *before["ports"], "tag")) == segment
    assert f"{instance}-root.qcow2" in before["files"]
    operator.run(f"ssh root@{ADDRESS} sh kvm-1/setup.sh")
    until_ready(operator)
    assert of_vms(host, nic["mac"])["processes"] == before["processes"]
    kubectl("delete", "-n", "shop", "virtualmachine.vireo.dev", "web", f"--timeout={PATIENCE}s")
    assert of_vms(host, nic["mac"]) == {"processes": [], "ports": [], "files": []}


def test_a_login_that_hangs_is_told_and_the_host_stays_ready(operator: Operator) -> None:
    """As root's start files on a host may make it: only what needs commands on the host has to wait."""
    host, files = operator.host.host, operator.directory / "bashrc"
    files.write_text("sleep 3600\n")
    run_in(host, "sh", "-c", f"touch /root/.bashrc && mount --bind {files} /root/.bashrc")
    operator.controller.kill()
    operator.controller.start()
    try:
        operator.wait("condition=AddressesGuarded=False")
        conditions = operator.kubectl.json("get", "host.vireo.dev", "kvm-1")["status"]["conditions"]
    finally:
        run_in(host, "umount", "/root/.bashrc")
    told = {each["type"]: (each["status"], each["message"]) for each in conditions}
    assert told["Ready"][0] == "True", told
    assert "did not answer over SSH" in told["AddressesGuarded"][1], told
    until_guarded(operator)
    until_ready(operator)


def test_a_new_authority_is_refused_until_the_secret_has_it(operator: Operator) -> None:
    """What the page tells under "Change the authority", and that the peer is named until then."""
    before = operator.kubectl.json("get", "host.vireo.dev", "kvm-1")["status"]["nativeID"]
    later = operator.directory / "later"
    later.mkdir()
    steps = commands(PAGE.read_text().partition("## 2.")[2].partition("## 4.")[0])
    for example, ours in EXAMPLES.items():
        steps = re.sub(rf"\b{re.escape(example)}\b", ours, steps)
    operator.run(steps, later)
    until_refused(operator)
    fingerprint = subprocess.run(
        ["openssl", "x509", "-noout", "-fingerprint", "-sha256", "-in", "vireo-hosts/kvm-1/cert.pem"], cwd=later,
        capture_output=True, text=True, check=True,
    ).stdout.strip().partition("=")[2]  # fmt: skip
    told = message(operator)
    assert ("CN=kvm-1" in told, fingerprint in told) == (True, True), told
    operator.run("kubectl apply --server-side -f vireo-hosts/secret.yaml", later)
    until_ready(operator)
    until_guarded(operator)
    assert operator.kubectl.json("get", "host.vireo.dev", "kvm-1")["status"]["nativeID"] == before


SECRET = """kubectl create secret generic kvm-ssh -n vireo-system --dry-run=client -o yaml \\
  --from-file=ssh-privatekey={directory}/client_key --from-file=known_hosts={known} |
  kubectl apply --server-side --force-conflicts -f -"""


def give_ssh_secret(operator: Operator) -> None:
    server, known = operator.host.server, operator.directory / "known_hosts"
    known.write_bytes(server.known_hosts)
    operator.run(SECRET.format(directory=server.directory, known=known))


def test_the_same_host_over_ssh_with_keys_that_change(operator: Operator) -> None:
    """Another endpoint for the Host; then new keys on both sides, as after a reinstallation, until the Secret has them."""
    host, server = operator.host.host, operator.host.server
    let_in(host)
    give_ssh_secret(operator)
    credentials = {"secretRef": {"namespace": "vireo-system", "name": "kvm-ssh"}}
    endpoint = {"url": f"qemu+ssh://root@{ADDRESS}/system", "credentials": credentials}
    operator.kubectl("patch", "host.vireo.dev", "kvm-1", "--type=merge", "-p", json.dumps({"spec": {"endpoint": endpoint}}))
    generation = operator.kubectl.json("get", "host.vireo.dev", "kvm-1")["metadata"]["generation"]
    operator.wait(f"jsonpath={{.status.observedGeneration}}={generation}")
    until_ready(operator)
    server.stop()
    server.renew_host_key()
    server.renew_client_key()
    server.start()
    host.daemon_stop()
    host.daemon_start()
    until_refused(operator)
    shown = run_in(host, "ssh-keygen", "-lf", str(server.directory / "host_key.pub")).split()[1]
    assert shown in message(operator)
    give_ssh_secret(operator)
    until_ready(operator)
