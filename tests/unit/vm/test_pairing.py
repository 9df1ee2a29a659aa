"""Whether an interface of a VM that is to be adopted is on the segment that is declared, however segments are carried."""

from __future__ import annotations

import pytest

from controller.vm.pairing import Pair, misplaced
from controller.vm.references import Interface
from crds.v1alpha1.network import Network
from crds.v1alpha1.virtualmachine import NetworkInterface
from crds.v1alpha1.virtualmachinestatus import NICStatus
from drivers.adoption import FoundNIC
from drivers.types import Attachment, DesiredNIC, NetworkBackend, Segment

MAC = "02:00:00:00:00:01"
OVS = Attachment(NetworkBackend.OVS, "guests")
BRIDGE = Attachment(NetworkBackend.BRIDGE, "br120")
VLAN = Attachment(NetworkBackend.LINUX, uplink="eth1")
VXLAN = Attachment(NetworkBackend.LINUX, uplink="eth1", group="239.1.1.1")
FRONT = Interface(
    NetworkInterface.model_validate({"name": "front", "network": "front"}),
    Network.model_validate({"metadata": {"name": "front", "namespace": "shop"}, "spec": {"zone": "z1", "type": "L2"}}),
    True,
)


def trouble(there: Attachment | None, vlan: int | None, wanted: Attachment) -> list[str]:
    """What is in the way of the segment 120 on `wanted`."""
    status = NICStatus(name="front", mac=MAC, network="shop/front")
    pair = Pair(FRONT, FoundNIC(MAC, Segment(vlan), there), status)
    return [each.field for each in misplaced(pair, DesiredNIC("front", MAC, "shop/front", Segment(120), wanted))]


@pytest.mark.parametrize(
    ("there", "vlan", "wanted", "fits"),
    [
        (None, 120, OVS, True),
        (None, 7, OVS, False),
        (OVS, 120, OVS, True),
        (OVS, 7, OVS, False),
        (Attachment(NetworkBackend.OVS, "other"), 120, OVS, False),
        (BRIDGE, None, BRIDGE, True),
        (Attachment(NetworkBackend.BRIDGE, "br7"), None, BRIDGE, False),
        (VLAN, 120, VLAN, True),
        (VLAN, 7, VLAN, False),
        (VLAN, 120, VXLAN, False),
        (VXLAN, 120, VXLAN, True),
        (BRIDGE, 120, VXLAN, False),
        (VXLAN, 120, OVS, False),
    ],
)
def test_it_must_be_there_already(there: Attachment | None, vlan: int | None, wanted: Attachment, fits: bool) -> None:
    assert trouble(there, vlan, wanted) == ([] if fits else ["spec.networks[front]"])
