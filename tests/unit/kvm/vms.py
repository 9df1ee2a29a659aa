"""Descriptions of VMs for properties: everything that the contract lets a caller ask for."""

from hypothesis import strategies as st

from drivers.kvm.carrier import Carrier
from drivers.types import (
    Attachment,
    DesiredDisk,
    DesiredNIC,
    DesiredVM,
    DiskLimits,
    Firmware,
    InstanceID,
    NetworkBackend,
    NFSExport,
    Owner,
    PoolSpec,
    Seed,
    Segment,
)

XML_TEXT = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cs", "Cc", "Cn")) | st.sampled_from("<>&'\"]\t\n\r"), max_size=40
)
"""Whatever XML can carry, markup and line ends included."""

LABELS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,14}[a-z0-9])?", fullmatch=True)
INSTANCES = st.uuids().map(lambda value: InstanceID(str(value)))
MACS = st.integers(0, 2**40 - 1).map(
    lambda number: "02:" + ":".join(f"{number >> shift & 255:02x}" for shift in (32, 24, 16, 8, 0))
)
EXPORTS = st.builds(NFSExport, st.sampled_from(["192.0.2.7", "nfs.example"]), LABELS.map(lambda name: f"/exports/{name}"))
POOLS = st.builds(PoolSpec, LABELS, LABELS.map(lambda name: f"/srv/{name}"), st.booleans(), st.none() | EXPORTS)
SEGMENTS = st.builds(Segment, st.none() | st.integers(1, 4094))
INTERFACES = st.from_regex(r"[a-z][a-z0-9.-]{0,14}", fullmatch=True)
ATTACHMENTS = st.builds(Attachment, st.sampled_from([NetworkBackend.OVS, NetworkBackend.BRIDGE]), INTERFACES)
GROUPS = st.just("") | st.ip_addresses(v=4, network="224.0.0.0/4").map(str)
MADE = st.builds(Attachment, st.just(NetworkBackend.LINUX), uplink=INTERFACES, group=GROUPS)
BOUNDS = st.just(0) | st.integers(1, 10**15)
LIMITS = st.builds(DiskLimits, BOUNDS, BOUNDS, BOUNDS, BOUNDS)
DISKS = st.builds(DesiredDisk, LABELS, POOLS, st.integers(1 << 20, 1 << 45), LABELS | st.just(""), LIMITS)
ADDRESSES = st.just("") | st.ip_addresses(v=4).map(str)
NICS = st.builds(DesiredNIC, XML_TEXT, MACS, XML_TEXT, SEGMENTS, ATTACHMENTS, ADDRESSES) | st.builds(
    DesiredNIC, XML_TEXT, MACS, XML_TEXT, st.builds(Segment, st.integers(1, 4094)), MADE, ADDRESSES
)
SEEDS = st.builds(Seed, XML_TEXT, XML_TEXT, st.binary(max_size=64))
OWNERS = st.builds(Owner, st.uuids().map(str), XML_TEXT, XML_TEXT)


def _unique(items: st.SearchStrategy[object], *by: str, size: int) -> st.SearchStrategy[tuple[object, ...]]:
    keys = tuple((lambda item, name=name: getattr(item, name)) for name in by)
    return st.lists(items, max_size=size, unique_by=keys).map(tuple)


VMS = st.builds(
    DesiredVM,
    instance=INSTANCES,
    name=XML_TEXT,
    owner=OWNERS,
    cpus=st.integers(1, 240),
    memory=st.integers(1 << 20, 1 << 43),
    disks=_unique(DISKS, "name", size=30),
    nics=_unique(NICS, "name", "mac", size=6),
    firmware=st.sampled_from(Firmware),
    seed=st.none() | SEEDS,
)

CARRIERS = st.builds(Carrier, st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}", fullmatch=True), GROUPS)
