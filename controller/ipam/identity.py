"""Deterministic identities: the same object has the same UUID and MAC addresses before and after any loss of state."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Final
from uuid import UUID, uuid5

from drivers.types import InstanceID, SnapshotID, VolumeID

__all__ = ["instance_id", "mac_address", "snapshot_id", "volume_id"]

_NAMESPACE: Final = UUID("9d1f5c1e-6a52-4f0e-8b6c-3a6a7f2d9c04")
"""Namespace of our UUIDv5 identities. Changing it would orphan every VM, volume and snapshot."""

_TAP_PREFIX: Final = 0xFE
"""First octet that libvirt and Xen give to the host's side of a guest interface."""


@lru_cache(maxsize=1024)  # a look at a VM asks for it several times
def instance_id(uid: str) -> InstanceID:
    """UUID of the VM made for the VirtualMachine with this uid: UUIDv5 (RFC 9562, 5.5), lower case with dashes."""
    return InstanceID(str(uuid5(_NAMESPACE, uid)))


def volume_id(uid: str) -> VolumeID:
    """UUID of the volume made for the Volume with this uid, derived as `instance_id` is: uids differ between kinds too."""
    return VolumeID(str(uuid5(_NAMESPACE, uid)))


def snapshot_id(uid: str) -> SnapshotID:
    """UUID of the snapshot taken for the Snapshot with this uid, derived as `instance_id` is."""
    return SnapshotID(str(uuid5(_NAMESPACE, uid)))


def mac_address(uid: str, nic: str) -> str:
    """MAC address of NIC `nic` of the VirtualMachine `uid`, lower case with colons.

    Unicast and locally administered (IEEE 802, 8.2.2): the two low bits of the first octet are 10. 46 bits of a SHA-256 make a
    collision within a segment of 4,000 NICs a matter of one in nine million. Never begins with fe, which libvirt refuses.
    """
    octets = bytearray(hashlib.sha256(f"{uid}\0{nic}".encode()).digest()[:6])
    octets[0] = octets[0] & 0xFC | 0x02
    if octets[0] == _TAP_PREFIX:
        octets[0] = 0x02
    return octets.hex(":")
