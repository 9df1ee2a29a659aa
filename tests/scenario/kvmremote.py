"""A cloud over lab hosts whose controller sits in the lab's own network, and logs in to the hosts over SSH."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.lab.record import Backend
from tests.lab.sshd import SSHServer, let_in, reboot, serve
from tests.scenario.kvmsite import Site, site
from tests.support.live import manifests as make
from tests.support.live.inside import Inside, port_in


@dataclass(frozen=True)
class Remote:
    """A site, and the SSH servers of its hosts."""

    site: Site
    servers: Sequence[SSHServer]

    def apply(self, guests: Mapping[str, Any]) -> None:
        """Declare the infrastructure: hosts are logged in to as root, each with a key of its own. guests: as of `Site.apply`."""
        secrets = [f"ssh-{server.host.name}" for server in self.servers]
        for name, server in zip(secrets, self.servers, strict=True):
            login = {"ssh-privatekey": server.key.decode(), "known_hosts": server.known_hosts.decode()}
            self.site.cloud.api.apply(make.secret(name, **login))
        self.site.apply([f"qemu+ssh://root@{server.address}/system" for server in self.servers], guests, secrets)

    def reboot(self, name: str) -> None:
        """Cut the power of a host, and boot it."""
        [server] = [server for server in self.servers if server.host.name == name]
        reboot(self.site.lab, server)


@contextmanager
def remote_site(directory: Path, hosts: int, backend: Backend) -> Iterator[Remote]:
    """As `kvmsite.site`."""
    with site(directory / "cloud", hosts, backend) as made, ExitStack() as stack:
        cloud, lab = made.cloud, made.lab
        servers = [serve(host, lab.layout.management_address(host.name)) for host in made.hosts]
        for host in made.hosts:
            let_in(host)
        enter = lab.command("ctl")
        api = yaml.safe_load(cloud.plane.kubeconfig.read_text())["clusters"][0]["cluster"]["server"]
        for name, url in (("api", api), ("files", cloud.files.url)):
            stack.enter_context(port_in(enter, url, directory / f"{name}.sock"))
        old = cloud.controller
        cloud.controller = Inside(old.kubeconfig, old.directory, old.identity, enter=enter)
        stack.callback(cloud.controller.kill)
        yield Remote(made, servers)
