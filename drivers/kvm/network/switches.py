"""Has the rules of the address guard on a host's Open vSwitch bridges, over SSH (edge of `drivers.kvm.network.flows`).

Open vSwitch gives a number that was free for an hour to another port, and forgets all rules when it is started anew. So rules are
set when a port comes, and all of them afresh whenever the host is connected.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import libvirt

from drivers.errors import Transient
from drivers.kvm import domains, mark
from drivers.kvm.link.shell import Command, Shell
from drivers.kvm.network import flows
from drivers.kvm.network.flows import Port
from drivers.kvm.subject import Subject
from drivers.kvm.xmltext import parse


class Switches:
    """Open vSwitch bridges of one host. `able`: whether rules can be set there; until `sync` has set them all, nothing is run.

    Safe to use from threads: a port that comes while all are looked at has its rules afterwards, by one way or the other.
    """

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._lock = threading.Lock()
        self.able = False

    def guard(self, vm: Subject) -> None:
        """Hold the ports of a running VM to the addresses of its mark. Raises Transient, AuthFailed."""
        with self._lock:
            found = [] if vm.live is None or not self.able else list(flows.ports(vm.live, vm.mark))
            if found:
                self._write(_rules(found, self._numbers()))

    def sync(self, connection: Any, bridges: Iterable[str]) -> None:
        """Hold the ports of all VMs of the host, and remove what was left on `bridges` of others. From then on it is `able`.

        Raises Transient, AuthFailed, Unsupported, InvalidSpec.
        """
        with self._lock:
            self._sync(connection, bridges)
            self.able = True

    def _sync(self, connection: Any, bridges: Iterable[str]) -> None:
        found: list[Port] = []
        for domain in connection.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE):
            with domains.suppress_code(libvirt.VIR_ERR_NO_DOMAIN):
                live = parse(domain.XMLDesc(0))
                told = mark.read(live)
                found += flows.ports(live, told) if told else ()
        numbers = self._numbers() if found else {}
        rules = _rules([port for port in found if port.device in numbers], numbers)
        self._write({bridge: [flows.cleared(), *rules.get(bridge, ())] for bridge in {*bridges, *rules}})

    def _numbers(self) -> Mapping[str, int]:
        return flows.numbers(self._shell.run(Command.LIST_PORTS))

    def _write(self, rules: Mapping[str, list[str]]) -> None:
        for bridge, lines in rules.items():
            self._shell.run(Command.CHANGE_FLOWS, "".join(f"{line}\n" for line in lines), bridge)


def _rules(found: Iterable[Port], numbers: Mapping[str, int]) -> Mapping[str, list[str]]:
    rules: dict[str, list[str]] = defaultdict(list)
    for port in found:
        if port.device not in numbers:
            raise Transient(f"Open vSwitch has not made the port {port.device}")
        rules[port.bridge] += flows.guarded(numbers[port.device], port.nic)
    return rules
