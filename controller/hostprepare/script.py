"""The shell script that makes a machine a host. It may be run again. Pure; all values in it are checked (`wanted`)."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from controller.hostprepare.authority import CLIENT
from controller.hostprepare.login import OWNER
from controller.hostprepare.wanted import Distribution, Wanted

PORT = 16514
"""libvirt's port for TLS."""

PLACE = "/etc/libvirt/vireo"
"""Where the host keeps its certificate."""

UPLINK_SERVICE = "vireo-uplink.service"

_PACKAGES = {
    Distribution.DEBIAN: "libvirt-daemon-system libvirt-clients qemu-system-x86 qemu-utils ovmf",
    Distribution.ROCKY: "libvirt-daemon-kvm libvirt-client qemu-kvm qemu-img edk2-ovmf policycoreutils-python-utils",
}
_SWITCH = {Distribution.DEBIAN: "openvswitch-switch", Distribution.ROCKY: "openvswitch"}
"""Services of Open vSwitch. On Debian the package has the same name."""

_FIREWALL = {Distribution.DEBIAN: "nftables", Distribution.ROCKY: "firewalld"}


def script(wanted: Wanted, login_key: str) -> str:
    """For root on the host, beside the certificates. `login_key`: the public key to let in over SSH; empty for none."""
    rocky = wanted.distribution is Distribution.ROCKY
    parts = [
        _head(wanted),
        _packages(wanted),
        _certificates(),
        _configuration("virtproxyd" if rocky else "libvirtd"),
        *_login(wanted, login_key),
        _pool(wanted),
        *_bridge(wanted),
        *(_firewalld(wanted) if rocky else _nftables(wanted)),
        _daemons_of_rocky() if rocky else _daemons_of_debian(),
    ]
    return "\n\n".join(parts) + "\n"


def _head(wanted: Wanted) -> str:
    return f"""\
#!/bin/sh
# Makes this machine {wanted.name}, a KVM host of Vireo. For root; may be run again.
set -eu
cd "$(dirname "$0")\""""


def _packages(wanted: Wanted) -> str:
    names = [_PACKAGES[wanted.distribution]]
    names += [_FIREWALL[wanted.distribution]] if wanted.controllers else []
    if wanted.distribution is Distribution.ROCKY:
        return f"# Packages\ndnf install -y {' '.join(names)}" + (_switch_of_rocky() if wanted.bridge else "")
    names += [_SWITCH[wanted.distribution]] if wanted.bridge else []
    return (
        f"# Packages\napt-get update\nDEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends {' '.join(names)}"
    )


def _switch_of_rocky() -> str:
    """Its packages come from CentOS, each version under a name of its own, such as openvswitch3.3; two don't go together."""
    return """
if ! command -v ovs-vsctl >/dev/null; then
    dnf install -y centos-release-nfv-openvswitch
    newest=$(dnf -q repoquery --qf '%{name}\\n' 'openvswitch*' | grep -xE 'openvswitch[0-9]+\\.[0-9]+' | sort -V | tail -n 1)
    dnf install -y "${newest:-openvswitch}"
fi"""


def _certificates() -> str:
    return f"""\
# The host's certificate and key, and the authority of those that it lets in. The key does not stay here.
install -d -m 700 {PLACE}
install -m 644 ca.pem cert.pem {PLACE}
if [ -e key.pem ]; then
    install -m 600 key.pem {PLACE}
    rm key.pem
fi"""


def _configuration(daemon: str) -> str:
    file = f"/etc/libvirt/{daemon}.conf"
    return f"""\
# TLS: a client must have a certificate of the authority, and be the controller
touch {file}
sed -i '/^# vireo: begin$/,/^# vireo: end$/d' {file}
cat >>{file} <<'END'
# vireo: begin
ca_file = "{PLACE}/ca.pem"
cert_file = "{PLACE}/cert.pem"
key_file = "{PLACE}/key.pem"
tls_no_verify_certificate = 0
tls_allowed_dn_list = ["CN={CLIENT}"]
# vireo: end
END"""


def _login(wanted: Wanted, key: str) -> Iterator[str]:
    """Commands only, from the controller only; lines of others stay as they are."""
    if not key:
        return
    sources = ",".join(wanted.controllers)
    options = f'from="{sources}",restrict' if sources else "restrict"
    labelled = "\nrestorecon -R /root/.ssh" if wanted.distribution is Distribution.ROCKY else ""
    yield f"""\
# The controller's SSH login: what libvirt has no call for, such as rules on the ports of Open vSwitch
install -d -m 700 /root/.ssh
touch /root/.ssh/authorized_keys
sed -i -e '/ {OWNER}$/d' -e '$a\\' /root/.ssh/authorized_keys
cat >>/root/.ssh/authorized_keys <<'END'
{options} {key}
END
chmod 600 /root/.ssh/authorized_keys{labelled}"""


def _pool(wanted: Wanted) -> str:
    made = f"# Disks of VMs\ninstall -d -m 711 {wanted.pool_path}"
    return made + (_labelled(wanted.pool_path) if wanted.distribution is Distribution.ROCKY else "")


def _labelled(path: str) -> str:
    """SELinux: what libvirt makes there is of the type of its own image directory. A pattern of semanage-fcontext(8) is a regex."""
    pattern = path.replace(".", r"\.").replace("+", r"\+")
    return f"""
if selinuxenabled; then
    semanage fcontext -a -t virt_image_t '{pattern}(/.*)?' || semanage fcontext -m -t virt_image_t '{pattern}(/.*)?'
    restorecon {path}
fi"""


def _bridge(wanted: Wanted) -> Iterator[str]:
    if not wanted.bridge:
        return
    service = _SWITCH[wanted.distribution]
    lines = [
        "# The bridge of the guests; their VLANs are tags on its ports",
        f"systemctl enable --now {service}.service",
        f"ovs-vsctl --may-exist add-br {wanted.bridge}",
        f"ip link set {wanted.bridge} up",
    ]
    if wanted.uplink:
        lines += [f"ovs-vsctl --may-exist add-port {wanted.bridge} {wanted.uplink}", _up_after_boots(wanted.uplink)]
    yield "\n".join(lines)


def _up_after_boots(uplink: str) -> str:
    """Open vSwitch remembers its ports and does not switch them on, and no configuration of the network knows this one."""
    return f"""\
cat >/etc/systemd/system/{UPLINK_SERVICE} <<'END'
[Unit]
Description=Switches on {uplink}, the uplink of the bridge of Vireo's guests
After=network-pre.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=ip link set {uplink} up
Restart=on-failure
RestartSec=2

[Install]
WantedBy=multi-user.target
END
systemctl daemon-reload
systemctl enable {UPLINK_SERVICE}
systemctl restart {UPLINK_SERVICE}"""


def _nftables(wanted: Wanted) -> Iterator[str]:
    if not wanted.controllers:
        return
    yield f"""\
# Only the controller reaches libvirt's port, now and after a boot
install -d /etc/nftables.d
cat >/etc/nftables.d/vireo.nft <<'END'
table inet vireo
delete table inet vireo
table inet vireo {{
    chain input {{
        type filter hook input priority filter - 1; policy accept;
        tcp dport {PORT} jump from-controller
    }}
    chain from-controller {{
        iif lo accept
{_accepted(wanted)}
        drop
    }}
}}
END
nft -f /etc/nftables.d/vireo.nft
grep -qF 'include "/etc/nftables.d/vireo.nft"' /etc/nftables.conf 2>/dev/null ||
    echo 'include "/etc/nftables.d/vireo.nft"' >>/etc/nftables.conf
systemctl enable nftables.service"""


def _accepted(wanted: Wanted) -> str:
    networks = [ipaddress.ip_network(each) for each in wanted.controllers]
    return "\n".join(f"        ip{'6' if each.version == 6 else ''} saddr {each} accept" for each in networks)


def _firewalld(wanted: Wanted) -> Iterator[str]:
    """What firewalld was not told of it keeps out; it runs on every machine that was not set up otherwise."""
    if not wanted.controllers:
        yield f"""\
# libvirt's port
if firewall-cmd --state; then
    firewall-cmd --permanent --add-port={PORT}/tcp
    firewall-cmd --reload
fi"""
        return
    networks = [ipaddress.ip_network(each) for each in wanted.controllers]
    rules = [
        f'rule family="ipv{each.version}" source address="{each}" port port="{PORT}" protocol="tcp" accept' for each in networks
    ]
    lines = [
        "# Only the controller reaches libvirt's port, now and after a boot",
        "systemctl enable --now firewalld.service",
        f"firewall-cmd --permanent --remove-port={PORT}/tcp",
        f"firewall-cmd --permanent --list-rich-rules | grep -F 'port port=\"{PORT}\"' | while read -r rule; do",
        '    firewall-cmd --permanent --remove-rich-rule "$rule"',
        "done",
        *(f"firewall-cmd --permanent --add-rich-rule '{rule}'" for rule in rules),
        "firewall-cmd --reload",
    ]
    yield "\n".join(lines)


def _daemons_of_debian() -> str:
    """A running daemon keeps systemd from opening its socket. VMs run on."""
    return """\
# libvirt with TLS; VMs that run are not touched
systemctl stop libvirtd.service
systemctl enable --now libvirtd.socket libvirtd-tls.socket
systemctl enable --now virtlogd.socket libvirtd.service"""


def _daemons_of_rocky() -> str:
    return """\
# libvirt's daemons, and the one that takes connections with TLS
systemctl stop virtproxyd.service
for daemon in virtqemud virtstoraged virtnetworkd virtnodedevd virtnwfilterd virtinterfaced virtsecretd virtlogd; do
    systemctl enable --now "$daemon.socket"
done
systemctl enable --now virtproxyd.socket virtproxyd-tls.socket"""
