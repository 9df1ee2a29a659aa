"""Hosts."""

from drivers.base import Connection

from .base import ContractBase
from .binding import Binding


class Hosts(ContractBase):
    def test_the_binding_s_host_is_listed_once_and_up(self, binding: Binding, connection: Connection) -> None:
        [host] = [host for host in connection.hosts.list_hosts() if host.host == binding.host]
        assert host.up
        assert host.cpus >= 1
        assert host.memory >= 4 * binding.memory

    def test_hosts_are_told_apart(self, connection: Connection) -> None:
        hosts = connection.hosts.list_hosts()
        assert len({host.host for host in hosts}) == len(hosts)
        assert len({host.native_id for host in hosts}) == len(hosts)

    def test_every_host_says_what_it_is(self, connection: Connection) -> None:
        for host in connection.hosts.list_hosts():
            assert host.host
            assert host.native_id
            assert host.hypervisor
            assert host.version
