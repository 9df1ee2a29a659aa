"""`python -m tests.bench.kvm`: guests with an operating system, booted through Vireo and by hand, in pairs within one run.

Both ways start from nothing asked and end when the last guest's agent has opened its port, on the same machine, with the same image
and QEMU's same command line. First by hand and then through Vireo, then the other way round. Nothing is asserted about time.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import libvirt

from tests.bench import byhand
from tests.bench.client import BenchError
from tests.bench.figures import Figure, percentile, rate, table
from tests.bench.record import add_output, circumstances, keep
from tests.lab.guest import image
from tests.lab.host import Host, run_in
from tests.lab.shell import LabError, run
from tests.scenario.kvmsite import Site, site
from tests.support.ending import tidy_end
from tests.support.files import Served
from tests.support.live import manifests as make

VIREO, HAND = "through Vireo", "by hand"
ORDER = (HAND, VIREO, VIREO, HAND)
DISK = "128Mi"
MEMORY = "96Mi"
PATIENCE = 1800.0
_LOOK = 0.05
"""Seconds between two looks at libvirt for agents that have come."""


@dataclass(frozen=True)
class Round:
    """One way once: seconds from the start until the agent of each guest, and MiB of all QEMU processes together (PSS)."""

    way: str
    seconds: Sequence[float]
    memory: float


def figures(rounds: Sequence[Round]) -> list[Figure]:
    """The figures of rounds that were made in pairs, one after the other."""
    found: list[Figure] = []
    for way in (HAND, VIREO):
        mine = [each for each in rounds if each.way == way]
        times = [second for each in mine for second in each.seconds]
        per_minute = [60 * rate(each.seconds, 0.0) for each in mine]
        found += [
            Figure(f"{way}: guests ready", sum(per_minute) / len(mine), "per minute", samples=per_minute),
            Figure(f"{way}: until ready, P50", percentile(times, 50), "s"),
            Figure(f"{way}: until ready, P95", percentile(times, 95), "s", samples=sorted(times)),
            Figure(f"{way}: memory of a guest's QEMU", sum(each.memory for each in mine) / len(times), "MiB"),
        ]
    pairs = [{each.way: each for each in rounds[at : at + 2]} for at in range(0, len(rounds), 2)]
    for name, of in (("rate", _rate), ("P50", _p50), ("P95", _p95)):
        ratios = [of(pair[VIREO]) / of(pair[HAND]) for pair in pairs]
        found.append(Figure(f"{VIREO} / {HAND}: {name}", sum(ratios) / len(ratios), "", samples=ratios))
    return found


def _rate(each: Round) -> float:
    return rate(each.seconds, 0.0)


def _p50(each: Round) -> float:
    return percentile(each.seconds, 50)


def _p95(each: Round) -> float:
    return percentile(each.seconds, 95)


def main(arguments: Sequence[str]) -> int:
    """Run the command line; returns the exit code."""
    options = _parser().parse_args(arguments)
    about = circumstances(datetime.now(UTC))
    try:
        with tidy_end(), tempfile.TemporaryDirectory(prefix="vireo-bench-") as directory:
            found = figures(_measure(Path(directory), options.guests, options.hosts))
    except (BenchError, LabError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    print(table(found))
    keep(found, about, ["python -m tests.bench.kvm", *arguments], "kvm-", options.output)
    return 0


def _measure(directory: Path, guests: int, hosts: int) -> list[Round]:
    rounds = []
    with site(directory / "cloud", hosts) as cloud:
        argv = _prepare(cloud, directory)
        for number, way in enumerate(ORDER):
            if way == VIREO:
                done = _vireo(cloud, [f"round-{number}-{each}" for each in range(guests)])
            else:
                done = _hand(argv, directory / f"hand-{number}", guests)
            print(f"  {way}: {guests} guests in {max(done.seconds):.1f} s", flush=True)
            rounds.append(done)
    return rounds


def _prepare(cloud: Site, directory: Path) -> list[str]:
    """Have the image on every host, by a VM on each that is gone again; returns the command line of one of their guests."""
    built = image()
    url = cloud.cloud.files.serve("/guest.qcow2", Served(built.path.read_bytes(), f'"{built.sha256}"'))
    cloud.apply()
    cloud.cloud.api.apply(make.template(url, f"sha256:{built.sha256}", "guest"), make.offering("guest", 1, MEMORY))
    cloud.cloud.controller.start()
    names = [f"first-{host.name}" for host in cloud.hosts]
    for name, host in zip(names, cloud.hosts, strict=True):
        cloud.cloud.api.apply(_vm(name, placement={"host": host.name}))
    cloud.cloud.await_current(deadline=PATIENCE)
    argv = byhand.keep(_command_line(cloud.hosts[0]), directory)
    _delete(cloud, names)
    return argv


def _vm(name: str, **spec: object) -> make.Manifest:
    guest = {"offering": "guest", "template": {"name": "guest"}, "rootDisk": {"size": DISK}, "stopMode": "Hard"}
    found = make.vm(name)
    return {**found, "spec": {**found["spec"], **guest, **spec}}


def _command_line(host: Host) -> list[str]:
    pid = run_in(host, "pgrep", "-f", "^[^ ]*qemu-system-x86_64 -name guest=").split()[0]
    return run_in(host, "cat", f"/proc/{pid}/cmdline").rstrip("\0").split("\0")


def _delete(cloud: Site, names: Sequence[str]) -> None:
    for name in names:
        cloud.cloud.api.delete("VirtualMachine", name)
    cloud.cloud.until(lambda: not cloud.cloud.api.list("VirtualMachine"), "all VMs are gone", PATIENCE)


def _vireo(cloud: Site, names: Sequence[str]) -> Round:
    began = time.monotonic()
    for name in names:
        cloud.cloud.api.apply(_vm(name))
    seconds = [at - began for at in _agents(cloud.hosts, len(names))]
    pids = [int(pid) for pid in run("pgrep", "-f", "^[^ ]*qemu-system-x86_64 -name guest=shop-round-").split()]
    done = Round(VIREO, seconds, sum(map(_memory, pids)))
    _delete(cloud, names)
    return done


def _agents(hosts: Sequence[Host], count: int) -> list[float]:
    """When each agent was first connected, of so many on these hosts."""
    seen: dict[str, float] = {}
    deadline = time.monotonic() + PATIENCE
    connections = [libvirt.open(host.uri) for host in hosts]
    try:
        while len(seen) < count:
            if time.monotonic() > deadline:
                raise BenchError(f"{len(seen)} of {count} agents came within {PATIENCE:.0f} s")
            for connected in connections:
                for domain in connected.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE):
                    if domain.UUIDString() not in seen and _has_agent(domain):
                        seen[domain.UUIDString()] = time.monotonic()
            time.sleep(_LOOK)
    finally:
        for connected in connections:
            connected.close()
    return sorted(seen.values())


def _has_agent(domain: libvirt.virDomain) -> bool:
    try:
        text = domain.XMLDesc()
    except libvirt.libvirtError:
        return False  # gone meanwhile
    return "name='org.qemu.guest_agent.0' state='connected'" in text


def _hand(argv: Sequence[str], directory: Path, guests: int) -> Round:
    directory.mkdir()
    base = byhand.backing(argv)
    drawn = [byhand.draw(argv, directory, number) for number in range(guests)]
    began = time.monotonic()
    for each in drawn:
        run("qemu-img", "create", "-q", "-f", "qcow2", "-b", str(base), "-F", "qcow2", str(each.disk), DISK.rstrip("i"))
    with byhand.running(drawn) as processes:
        seconds = [at - began for at in byhand.ready(drawn, processes, PATIENCE)]
        return Round(HAND, seconds, sum(_memory(process.pid) for process in processes))


def _memory(pid: int) -> float:
    """MiB of a process, its share of what it has in common with others (PSS)."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.kvm", description="Boot guests through Vireo and by hand.")
    parser.add_argument("--guests", type=int, default=24, help="at once (default 24)")
    parser.add_argument("--hosts", type=int, default=3, help="lab hosts that Vireo has (default 3)")
    add_output(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
