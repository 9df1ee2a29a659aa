"""The configuration files of a lab host's libvirtd. Pure."""

from __future__ import annotations

from tests.lab.layout import MAX_HOSTS, Layout


def libvirtd(layout: Layout, host: str) -> str:
    """libvirtd.conf: an own socket, own hardware UUID, TCP on the management network of the lab.

    The UUID must differ per host: all of them read the machine's DMI, and libvirt refuses to migrate a guest between
    two hosts with one UUID. TCP without authentication is reachable only from inside the lab's namespaces.
    """
    return f"""\
unix_sock_dir = "{layout.run_dir(host)}"
unix_sock_group = "root"
unix_sock_rw_perms = "0700"
auth_unix_rw = "none"
auth_unix_ro = "none"
listen_tls = 0
listen_tcp = 1
listen_addr = "{layout.management_address(host)}"
auth_tcp = "none"
host_uuid = "{layout.host_uuid(host)}"
max_clients = 500
max_workers = 20
max_client_requests = 20
log_outputs = "3:stderr"
"""


def complete(layout: Layout, host: str, address: str) -> str:
    """libvirtd.conf of a host with its own kernel: its sockets are its own, and TCP is the way in."""
    return f"""\
unix_sock_dir = "/run/libvirt"
auth_unix_rw = "none"
auth_unix_ro = "none"
listen_tls = 0
listen_tcp = 1
listen_addr = "{address}"
keepalive_interval = -1
auth_tcp = "none"
host_uuid = "{layout.host_uuid(host)}"
log_outputs = "3:stderr"
"""


def qemu(layout: Layout, host: str) -> str:
    """qemu.conf: guests as root without security driver or private /dev, since the host itself is the sandbox."""
    return f"""\
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
namespaces = [ ]
stdio_handler = "file"
vnc_listen = "127.0.0.1"
migration_address = "{layout.management_address(host)}"
migration_host = "{host}"
"""


def hosts(layout: Layout) -> str:
    """/etc/hosts: every host that the lab could have, by name."""
    names = (f"h{number}" for number in range(1, MAX_HOSTS + 1))
    return "127.0.0.1 localhost\n" + "".join(f"{layout.management_address(name)} {name}\n" for name in names)
