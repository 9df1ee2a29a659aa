"""Identities, addresses and segments: who holds which UUID, MAC, IP address and VLAN. Pure and in memory.

Nothing here talks to an API server or a hypervisor. The allocators are rebuilt at start from what statuses and hypervisors say
(`adopt`), and are used from one thread.
"""

from __future__ import annotations

from controller.ipam.addresses import Address, AddressAllocator, address_of, former_owner
from controller.ipam.identity import instance_id, mac_address, snapshot_id, volume_id
from controller.ipam.ledger import Conflict, Owner
from controller.ipam.macs import PinnedMACs
from controller.ipam.refusal import Reason, Refusal
from controller.ipam.segments import SegmentAllocator, VLANRange
from controller.ipam.subnets import AddressRange, InvalidSubnet, Subnet, parse_subnet

__all__ = [
    "Address",
    "AddressAllocator",
    "AddressRange",
    "Conflict",
    "InvalidSubnet",
    "Owner",
    "PinnedMACs",
    "Reason",
    "Refusal",
    "SegmentAllocator",
    "Subnet",
    "VLANRange",
    "address_of",
    "former_owner",
    "instance_id",
    "mac_address",
    "parse_subnet",
    "snapshot_id",
    "volume_id",
]
