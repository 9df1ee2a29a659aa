"""The ways in which a lab host fails are those of a real one."""

import json
import secrets
import subprocess
import sys
import threading
from collections.abc import Iterator

import libvirt
import libvirt_qemu
import pytest

from tests.lab import Lab, LabError, cgroups, kvm
from tests.lab.guests import blank, connection, domain_type, eventually
from tests.lab.host import Host
from tests.lab.host import run_in as run_in_host
from tests.lab.shell import run

pytestmark = pytest.mark.lab


@pytest.fixture
def host(lab: Lab) -> Iterator[Host]:
    """h1, on and answering before and after."""
    host = lab.host("h1")
    yield host
    if host.state == "hung":
        host.unhang()
    if host.state == "no-daemon":
        host.daemon_start()
    lab.start("h1")
    assert host.state == "on"


def domains(host: Host) -> list[str]:
    with connection(host) as connected:
        return sorted(domain.name() for domain in connected.listAllDomains())


def define(host: Host, name: str) -> None:
    with connection(host) as connected:
        connected.defineXML(
            f"<domain type='{domain_type(connected)}'><name>{name}</name><memory unit='MiB'>16</memory><vcpu>1</vcpu>"
            "<os><type arch='x86_64' machine='pc'>hvm</type></os></domain>"
        )


def test_hosts_differ_like_machines(lab: Lab) -> None:
    facts = []
    for host in lab.hosts():
        with connection(host) as connected:
            tree = connected.getCapabilities()
            facts.append((connected.getHostname(), tree[tree.index("<uuid>") : tree.index("</uuid>")]))
    assert [name for name, _ in facts] == ["h1", "h2"]
    assert len({identity for _, identity in facts}) == 2


def test_kvm_is_there_only_if_it_is_usable(lab: Lab, host: Host) -> None:
    offered = run_in_host(host, "sh", "-c", "[ -e /dev/kvm ] && echo yes || echo no").strip()
    with connection(host) as connected:
        kind = domain_type(connected)
    assert (offered, kind) == (("yes", "kvm") if kvm.usable() else ("no", "qemu"))


def test_a_host_sees_nothing_of_the_machine(host: Host) -> None:
    assert run_in_host(host, "sh", "-c", "ls /dev/vd* /dev/sd* /dev/nvme* 2>/dev/null | wc -l").strip() == "0"
    names = run_in_host(host, "sh", "-c", "cat /proc/[0-9]*/comm 2>/dev/null || true").split()  # some end meanwhile
    assert "libvirtd" in names
    assert not any(name.startswith(("python", "pytest")) for name in names)
    assert set(run_in_host(host, "ls", "/sys/class/net").split()) >= {"lo", "mgmt0", "trunk0", "ovsbr0"}
    assert "eth0" not in run_in_host(host, "ls", "/sys/class/net").split()


def test_directories_of_storage(lab: Lab) -> None:
    """The shared one is the same on all hosts, the local ones differ."""
    first, second = lab.hosts()
    (lab.shared / "disk").write_text("shared")
    assert {run_in_host(host, "cat", str(lab.shared / "disk")) for host in lab.hosts()} == {"shared"}
    assert first.local != second.local
    assert first.local.is_dir()


def test_crash_ends_guests_and_keeps_definitions(lab: Lab, host: Host) -> None:
    doomed = f"doomed-{secrets.token_hex(8)}"  # no other lab of this machine has one of that name
    define(host, "kept")
    with connection(host) as connected:
        pid = run("pgrep", "-f", f"guest={doomed}") if blank(connected, doomed).isActive() else ""
    host.crash()
    assert pid
    assert host.state == "off"
    with pytest.raises(libvirt.libvirtError, match="Failed to connect socket"):
        libvirt.open(host.uri)
    assert lab.host("h2").state == "on"
    lab.start("h1")
    assert domains(host) == ["kept"]
    assert subprocess.run(["pgrep", "-f", f"guest={doomed}"], capture_output=True).returncode == 1


def test_reset_forgets_everything(lab: Lab, host: Host) -> None:
    define(host, "forgotten")
    (host.local / "disk").write_text("forgotten")
    host.reset()
    lab.start("h1")
    assert domains(host) == []
    assert list(host.local.iterdir()) == []


@pytest.mark.parametrize("end", [Host.daemon_kill, Host.daemon_stop])
def test_guests_outlive_libvirtd(host: Host, end: object) -> None:
    assert callable(end)
    with connection(host) as connected:
        blank(connected, "survivor")
    before = run_in_host(host, "pgrep", "-f", "guest=survivor")
    end(host)
    assert host.state == "no-daemon"
    with pytest.raises(libvirt.libvirtError, match="Failed to connect socket"):
        libvirt.open(host.uri)
    host.daemon_start()
    with connection(host) as connected:
        survivor = connected.lookupByName("survivor")
        # the new libvirtd waits with this until it has found the guest's monitor again
        status = json.loads(libvirt_qemu.qemuMonitorCommand(survivor, '{"execute": "query-status"}', 0))
        assert status["return"]["running"] is True
        assert run_in_host(host, "pgrep", "-f", "guest=survivor") == before
        survivor.destroy()


def test_daemon_start_twice_starts_one(host: Host) -> None:
    host.daemon_start()
    # of the host's pid 1: what a libvirtd is just about to start bears its name for a moment too
    assert run_in_host(host, "pgrep", "-c", "-x", "-P", "1", "libvirtd") == "1\n"


def test_hang_holds_calls_until_unhang(host: Host) -> None:
    """A connection opens, since the kernel accepts it; its first call returns only after unhang."""
    returned = threading.Event()

    def call() -> None:
        with connection(host) as connected:
            connected.listAllDomains()
        returned.set()

    host.hang()
    assert host.state == "hung"
    caller = threading.Thread(target=call, daemon=True)
    caller.start()
    assert not returned.wait(1.0)
    host.unhang()
    assert returned.wait(60)
    caller.join()


KEEPALIVE = """
import sys, libvirt
libvirt.virEventRegisterDefaultImpl()
connected = libvirt.open(sys.argv[1])
connected.setKeepAlive(1, 2)
print("open", flush=True)
while True:
    libvirt.virEventRunDefaultImpl()
    if not connected.isAlive():
        sys.exit("lost")
"""


def test_partition_loses_a_connection_over_the_network(lab: Lab, host: Host) -> None:
    """A client at the operator's place notices by its keep-alive, the local socket still answers; heal brings it back."""
    argv = lab.command("ctl", sys.executable, "-c", KEEPALIVE, host.tcp_uri)
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as client:
        assert client.stdout is not None
        assert client.stdout.readline() == "open\n"
        host.partition()
        assert client.communicate(timeout=60)[1].splitlines()[-1] == "lost"
    assert domains(host) == []
    host.heal()
    probe = "import sys, libvirt; print(libvirt.open(sys.argv[1]).getHostname())"
    assert run(*lab.command("ctl", sys.executable, "-c", probe, host.tcp_uri)) == "h1\n"


def test_cgroups_of_guests_are_the_hosts_own(lab: Lab, host: Host) -> None:
    if not cgroups.find(lab.layout.cgroup):
        pytest.skip("this machine has no version 1 cgroups")
    with connection(host) as connected:
        guest = blank(connected, "weighed")
        guest.setSchedulerParametersFlags({"cpu_shares": 77}, libvirt.VIR_DOMAIN_AFFECT_LIVE)
        seen = [int(path.read_text()) for top in cgroups.find(lab.layout.cgroup) for path in (top / "h1").rglob("cpu.shares")]
        assert 77 in seen
        guest.destroy()


def test_a_machine_without_version_1_cgroups(new_lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with the unified hierarchy alone: the host sees no cgroups and its guests run without them."""
    monkeypatch.setattr(cgroups, "controllers", lambda _text: [])
    new_lab.up()
    assert cgroups.find(new_lab.layout.cgroup) == []
    assert "cgroup" not in run_in_host(new_lab.host("h1"), "cat", "/proc/mounts")
    with connection(new_lab.host("h1")) as connected:
        assert blank(connected, "guest").isActive()


def test_actions_on_a_host_that_is_off_say_so(host: Host) -> None:
    host.crash()
    for action in (host.hang, host.daemon_kill, host.daemon_start, lambda: host.command("true")):
        with pytest.raises(LabError, match="h1 "):
            action()
    host.crash()
    assert host.state == "off"


def test_a_host_that_cannot_boot_says_why(
    lab: Lab,
    host: Host,
) -> None:
    """Its last words and the file with all of them; another start after the cause is gone works."""
    host.crash()
    configuration = lab.layout.hosts_file
    text = configuration.read_text()
    configuration.unlink()
    with pytest.raises(LabError, match=r"h1 did not boot: .*hosts.*host\.log"):
        lab.start("h1")
    configuration.write_text(text)
    lab.start("h1")
    eventually(lambda: host.state == "on", "h1 on")


def test_the_router_of_a_vlan_moves_when_its_switch_crashes(lab: Lab, host: Host) -> None:
    lab.add_gateway(30, "10.30.0.1/24")
    lab.add_gateway(31, "10.30.0.1/24")
    host.crash()
    lab.add_gateway(30, "10.30.0.2/24")  # plugs into h2
    assert "10.30.0.2/24" in run(*lab.command("vlan30", "ip", "-o", "address"))
    assert "10.30.0.1/24" not in run(*lab.command("vlan30", "ip", "-o", "address"))
    assert run_in_host(lab.host("h2"), "ovs-vsctl", "get", "port", "vlan30", "tag").strip() == "30"
    lab.start("h1")  # mends the other one
    assert "02:00:00:00:00:1f" in run(*lab.command("vlan31", "ip", "link", "show", "eth0"))
    assert "10.30.0.1/24" in run(*lab.command("vlan31", "ip", "-o", "address"))
