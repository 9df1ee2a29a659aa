"""A host's interfaces and OpenFlow rules in memory, changed by the lines that `ip -batch` and `ovs-ofctl add-flows` would read."""

import json
from dataclasses import dataclass, field
from typing import Any

from drivers.errors import DriverError, Transient
from drivers.kvm.link.shell import Command

Link = dict[str, Any]


def interface(mtu: int = 1500, address: str = "", **more: Any) -> Link:
    """An interface as `ip -json -details address show` tells of it."""
    told = [{"family": "inet", "local": address, "prefixlen": 24}, {"family": "inet6", "local": "fe80::1"}] if address else []
    return {"mtu": mtu, "flags": ["BROADCAST", "UP", "LOWER_UP"], "addr_info": told, **more}


def changed(rules: list[str], lines: list[str]) -> list[str]:
    """The rules after these lines; a rule with the match of another takes its place."""
    kept = {rule.rpartition(",")[0]: rule for rule in rules}
    for line in lines:
        verb, rule = line.split(" ")
        if verb == "add":
            kept[rule.rpartition(",")[0]] = rule
        else:
            _cookie, _, port = rule.partition(",")
            kept = {match: each for match, each in kept.items() if port and port not in match.split(",")}
    return list(kept.values())


@dataclass
class FakeShell:
    """Answers like a host over SSH; `failure` is raised by every command, `breaks_at` once by that line of a change."""

    links: dict[str, Link] = field(default_factory=lambda: {"lo": interface(65536), "eno2": interface(1600, "192.0.2.1")})
    missing: str = ""
    user: str = "0\n"
    switches: str | DriverError = "ovsbr0\n"
    failure: DriverError | None = None
    breaks_at: int | None = None
    ports: str = '{"data": []}'
    tags: dict[str, int | None] = field(default_factory=dict)
    """The VLAN of each port that was added, None for one without."""
    rules: dict[str, list[str]] = field(default_factory=dict)
    """The last lines that a bridge was given."""
    table: dict[str, list[str]] = field(default_factory=dict)
    """The rules that a bridge has."""
    ran: list[Command] = field(default_factory=list)

    def run(self, command: Command, text: str = "", bridge: str = "", port: str = "", vlan: int | None = None) -> str:
        command.text(bridge, port, vlan)
        self.ran.append(command)
        if self.failure:
            raise self.failure
        match command:
            case Command.WHO:
                return self.user
            case Command.LIST_SWITCHES:
                if isinstance(self.switches, DriverError):
                    raise self.switches
                return self.switches
            case Command.LIST_PORTS:
                return self.ports
            case Command.ADD_PORT | Command.ADD_TAGGED_PORT:
                return self._add_port(bridge, port, vlan)
            case Command.CHANGE_FLOWS:
                self.rules[bridge] = text.splitlines()
                self.table[bridge] = changed(self.table.get(bridge, []), self.rules[bridge])
            case Command.COUNT_FLOWS:
                count = len(self.table.get(bridge, []))
                return f"OFPST_AGGREGATE reply (OF1.4) (xid=0x2): packet_count=7 byte_count=294 flow_count={count}\n"
            case Command.SHOW_LINKS:
                return json.dumps([{"ifname": name, **link} for name, link in self.links.items()])
            case Command.CHANGE_LINKS:
                assert text.endswith("\n")
                for number, line in enumerate(text.splitlines()):
                    if number == self.breaks_at:
                        self.breaks_at = None
                        raise Transient("ip failed on the host")
                    self.change(line.split(" "))
        return ""

    def _add_port(self, bridge: str, port: str, vlan: int | None) -> str:
        """As ovs-vsctl(8) with `--may-exist`; `tags` has what was made."""
        if isinstance(self.switches, DriverError) or bridge not in self.switches.split():
            raise Transient(f"ovs-vsctl failed on the host: no bridge named {bridge}")
        known = json.loads(self.ports)["data"]
        if port not in {name for name, _ in known}:
            self.ports = json.dumps({"data": [*known, [port, len(known) + 1]]})
            self.tags[port] = vlan
        return ""

    def change(self, words: list[str]) -> None:
        """As ip(8): what is not there cannot be changed, what is there cannot be added."""
        match words:
            case ["link", "add", *about] if "type" in about:
                name = about[about.index("name") + 1]
                assert name not in self.links
                assert len(name) <= 15
                assert about[:1] == ["name"] or about[1] in self.links
                self.links[name] = {"mtu": 1500, "flags": [], "addr_info": [], "made": " ".join(about[about.index("type") + 1 :])}
            case ["link", "delete", "dev", name]:
                del self.links[name]
                for link in self.links.values():
                    if link.get("master") == name:
                        del link["master"]
            case ["link", "set", "dev", name, *settings]:
                self._set(self.links[name], settings)
            case _:
                raise AssertionError(words)

    def _set(self, link: Link, settings: list[str]) -> None:
        while settings:
            match settings:
                case ["up", *rest]:
                    link["flags"].append("UP")
                case ["alias", text, *rest]:
                    link["ifalias"] = text
                case ["master", name, *rest]:
                    assert name in self.links
                    link["master"] = name
                case ["mtu", number, *rest]:
                    link["mtu"] = int(number)
                case ["arp", "off", *rest]:
                    link["flags"].append("NOARP")
                case ["addrgenmode", "none", *rest]:
                    link["inet6"] = "none"
                case _:
                    raise AssertionError(settings)
            settings = rest
