"""Network interfaces made for the VM."""

from __future__ import annotations

from drivers.types import AttachNIC, Change, DesiredNIC, DesiredVM, DetachNIC, ObservedNIC, ObservedVM


def changes(want: DesiredVM, have: ObservedVM) -> list[Change]:
    """Remove what is no longer declared, add what is; one that differs is replaced under its name.

    One that was moved, or is in the air, is put back.
    """
    declared = {nic.name: nic for nic in want.nics}
    present = {nic.name: nic for nic in have.nics}
    wrong = [nic.name for nic in have.nics if nic.name not in declared or not same(declared[nic.name], nic)]
    missing = [nic for nic in want.nics if nic.name not in present or nic.name in wrong or _displaced(present[nic.name])]
    return [*(DetachNIC(name) for name in wrong), *(AttachNIC(nic) for nic in missing)]


def in_vain(want: DesiredVM, have: ObservedVM) -> list[ObservedNIC]:
    """NICs in the air that can't be put back now, for their host lacks what they were plugged in to."""
    declared = {nic.name: nic for nic in want.nics}
    return [nic for nic in have.nics if _lacks_place(nic) and nic.name in declared and same(declared[nic.name], nic)]


def _lacks_place(have: ObservedNIC) -> bool:
    return have.unplugged is not None and have.unplugged.missing


def _displaced(have: ObservedNIC) -> bool:
    return have.moved is not None or have.unplugged is not None


def taken(want: DesiredNIC, have: ObservedVM) -> bool:
    """Whether another NIC of the VM still has one of its addresses: on the wire there must never be two."""
    others = [nic for nic in have.nics if nic.name != want.name]
    return any(nic.mac == want.mac or (want.ip and (nic.network, nic.ip) == (want.network, want.ip)) for nic in others)


def same(want: DesiredNIC, have: ObservedNIC) -> bool:
    """Whether an observed NIC is the declared one."""
    return (want.mac, want.network, want.segment, want.ip) == (have.mac, have.network, have.segment, have.ip)
