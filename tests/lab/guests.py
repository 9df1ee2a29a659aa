"""Guests for the lab's own tests: a domain on a host, its seed, its agent."""

import base64
import json
import subprocess
import time
import uuid
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

import libvirt
import libvirt_qemu

from tests.lab.guest import image
from tests.lab.host import Host
from tests.lab.shell import run

Found = TypeVar("Found")
MIB = 1024 * 1024
# Emulated guests share two cores with everything else that runs.
PATIENCE = 400.0
ANSWER = 60
"""Seconds for an answer of a guest's agent that is connected."""
UNKNOWN = "Invalid parameter 'pid'"
"""What the agent says of a script that it did not start: it was started anew itself."""
TERMINATED = 128 + 15
"""Exit code of a shell whose program was ended by SIGTERM."""
LOGS = Path("/var/log/libvirt")
WORDS = 3000
"""Characters of a console that are shown where a guest does not come up."""

BIOS = "<os><type arch='x86_64' machine='pc'>hvm</type></os>"
UEFI = (
    "<os firmware='efi'><type arch='x86_64' machine='q35'>hvm</type>"
    "<firmware><feature enabled='no' name='secure-boot'/></firmware></os>"
)


class Interrupted(Exception):
    """The guest went down, as for a reboot, while it ran a script."""


def eventually(look: Callable[[], Found | None], what: str, limit: float = PATIENCE, more: Callable[[], str] = str) -> Found:
    """What `look` returns once that is true; an error of libvirt or Interrupted means: not yet. `more` is told in the end."""
    deadline = time.monotonic() + limit
    while True:
        complaint: object = "it returned nothing"
        try:
            if found := look():
                return found
        except (libvirt.libvirtError, Interrupted) as error:
            complaint = error
        assert time.monotonic() < deadline, f"{what}: not within {limit:g} s; last: {complaint}\n{more()}"
        time.sleep(0.05)


@contextmanager
def connection(host: Host) -> Iterator[libvirt.virConnect]:
    connected = libvirt.open(host.uri)
    try:
        yield connected
    finally:
        connected.close()


def domain_type(connected: libvirt.virConnect) -> str:
    """kvm where the host offers it, else qemu."""
    return "kvm" if "<domain type='kvm'" in connected.getCapabilities() else "qemu"


def blank(connected: libvirt.virConnect, name: str) -> libvirt.virDomain:
    """A started guest without a disk, for tests where its operating system does not matter."""
    return connected.createXML(
        f"<domain type='{domain_type(connected)}'><name>{name}</name><memory unit='MiB'>16</memory><vcpu>1</vcpu>"
        "<os><type arch='x86_64' machine='pc'>hvm</type></os><devices/></domain>"
    )


@dataclass
class Seed:
    """The files of a NoCloud seed by name."""

    files: Mapping[str, str] = field(default_factory=dict)

    def write(self, path: Path) -> Path:
        source = path.with_suffix(".d")
        source.mkdir(parents=True, exist_ok=True)
        for name, text in self.files.items():
            (source / name).write_text(text)
        run("genisoimage", "-quiet", "-V", "cidata", "-J", "-r", "-o", str(path), str(source))
        return path


@dataclass
class Guest:
    """A real guest from the image, with a disk on the host's local directory."""

    host: Host
    name: str
    seed: Seed
    port: str = ""
    mac: str = "52:54:00:00:00:01"
    disk_mib: int = 200
    memory_mib: int = 96
    uefi: bool = False

    def define(self, connected: libvirt.virConnect) -> libvirt.virDomain:
        disk = self.host.local / f"{self.name}.qcow2"
        backing = ["-b", str(image().path), "-F", "qcow2"]
        run("qemu-img", "create", "-q", "-f", "qcow2", *backing, str(disk), f"{self.disk_mib}M")
        iso = self.seed.write(self.host.local / f"{self.name}.iso")
        return connected.defineXML(self._xml(domain_type(connected), disk, iso))

    def _xml(self, kind: str, disk: Path, iso: Path) -> str:
        nic = f"<interface type='bridge'>{self.port}<mac address='{self.mac}'/><model type='virtio'/></interface>"
        return f"""
<domain type='{kind}'>
  <name>{self.name}</name>
  <uuid>{uuid.uuid5(uuid.NAMESPACE_OID, self.name)}</uuid>
  <memory unit='MiB'>{self.memory_mib}</memory>
  <vcpu current='1'>2</vcpu>
  {UEFI if self.uefi else BIOS}
  <features><acpi/></features>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2' cache='unsafe'/><source file='{disk}'/><target dev='vda' bus='virtio'/>
    </disk>
    <disk type='file' device='cdrom'>
      <driver name='qemu' type='raw'/><source file='{iso}'/><target dev='sda' bus='scsi'/><readonly/>
    </disk>
    <controller type='scsi' model='virtio-scsi'/>
    {nic if self.port else ""}
    <serial type='file'><source path='/var/log/libvirt/{self.name}.console'/></serial>
    <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
    <rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
  </devices>
</domain>"""


def agent(domain: libvirt.virDomain, command: str, **arguments: object) -> Any:
    """One command of the guest agent and what it returns."""
    request = {"execute": command, "arguments": arguments}
    return json.loads(libvirt_qemu.qemuAgentCommand(domain, json.dumps(request), ANSWER, 0))["return"]


def last_words(domain: libvirt.virDomain) -> str:
    """What the guest wrote last on its serial console, if its host is one of a lab and keeps that."""
    root = ET.fromstring(domain.XMLDesc())
    named = (*root.iterfind("*/serial/log"), *root.iterfind("*/serial/source"))
    kept = [each.get("file") or each.get("path", "") for each in named]
    logs = [Path(path).relative_to(LOGS) for path in kept if path.startswith(f"{LOGS}/")]
    sockets = parse_qs(urlsplit(domain.connect().getURI()).query).get("socket", [])
    texts = [log for name in logs for socket in sockets if (log := _host_of(Path(socket)) / "log" / name).exists()]
    return "\n".join(f"console of {domain.name()}:\n{log.read_text(errors='replace')[-WORDS:]}" for log in texts)


def _host_of(socket: Path) -> Path:
    """Files of the host whose libvirtd listens there (see Layout)."""
    run_dir = socket.parent
    return run_dir.parent.parent / run_dir.name


def wait_for_agent(domain: libvirt.virDomain) -> None:
    eventually(lambda: agent(domain, "guest-ping") == {}, f"agent of {domain.name()}", more=lambda: last_words(domain))


def execute(domain: libvirt.virDomain, script: str, text: str = "") -> str:
    """Run a shell script in a guest with `text` on its standard input; returns its output. Raises Interrupted."""
    arguments = {"path": "/bin/sh", "arg": ["-c", script], "capture-output": True}
    pid = agent(domain, "guest-exec", **arguments, **{"input-data": base64.b64encode(text.encode()).decode()})["pid"]

    def ended() -> dict[str, Any] | None:
        try:
            status: dict[str, Any] = agent(domain, "guest-exec-status", pid=pid)
        except libvirt.libvirtError as error:
            if UNKNOWN in str(error):
                return {"signal": "unknown"}
            raise
        return status if status["exited"] else None

    status = eventually(ended, f"{script!r} in {domain.name()}", more=lambda: last_words(domain))
    if "signal" in status or status.get("exitcode") == TERMINATED:
        raise Interrupted(f"{script!r} in {domain.name()}")
    output = base64.b64decode(status.get("out-data", "")).decode()
    assert status.get("exitcode") == 0, f"{script!r}: {output}{base64.b64decode(status.get('err-data', '')).decode()}"
    return output


def wait_for_cloud(domain: libvirt.virDomain) -> str:
    """Wait until the guest is done with its seed; returns its last words about that."""
    wait_for_agent(domain)

    def done() -> str | None:
        status = execute(domain, "cloud-lite status")
        return None if "running" in status else status

    return eventually(done, f"seed of {domain.name()}", more=lambda: last_words(domain))


def ssh(argv: list[str], *remote: str) -> str:
    """Run a command over SSH, tried until the guest's SSH server answers; returns its output."""

    def answer() -> subprocess.CompletedProcess[str] | None:
        try:
            done = subprocess.run([*argv, *remote], capture_output=True, text=True, timeout=PATIENCE / 4)
        except subprocess.TimeoutExpired:
            return None
        return None if done.returncode == 255 else done

    done = eventually(answer, f"SSH: {' '.join(argv)}")
    assert done.returncode == 0, done.stderr
    return done.stdout
