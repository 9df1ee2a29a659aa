"""Network interfaces made for the VM."""

from __future__ import annotations

from drivers.types import AttachNIC, Change, DesiredNIC, DesiredVM, DetachNIC, ObservedNIC, ObservedVM


def changes(want: DesiredVM, have: ObservedVM) -> list[Change]:
    """Remove what is no longer declared, add what is; one that differs is replaced under its name, one that was moved put back."""
    declared = {nic.name: nic for nic in want.nics}
    present = {nic.name: nic for nic in have.nics}
    wrong = [nic.name for nic in have.nics if nic.name not in declared or not same(declared[nic.name], nic)]
    missing = [nic for nic in want.nics if nic.name not in present or nic.name in wrong or present[nic.name].moved]
    return [*(DetachNIC(name) for name in wrong), *(AttachNIC(nic) for nic in missing)]


def same(want: DesiredNIC, have: ObservedNIC) -> bool:
    """Whether an observed NIC is the declared one."""
    return (want.mac, want.network, want.segment, want.ip) == (have.mac, have.network, have.segment, have.ip)
