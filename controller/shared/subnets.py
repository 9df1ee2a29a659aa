"""The subnet of a Network object, checked."""

from __future__ import annotations

from controller.ipam import InvalidSubnet, Subnet, parse_subnet
from crds.v1alpha1.network import Network


def subnet_of(network: Network) -> Subnet:
    """The checked subnet of a network. Raises InvalidSubnet if it can't be used or there is none."""
    spec = network.spec.subnet
    if spec is None:
        raise InvalidSubnet(["the network has no subnet"])
    return parse_subnet(spec.cidr, spec.gateway, [(each.start, each.end) for each in spec.ranges])
