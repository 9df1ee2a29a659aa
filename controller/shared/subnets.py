"""The subnet of a Network object, checked."""

from __future__ import annotations

from functools import lru_cache

from controller.ipam import InvalidSubnet, Subnet, parse_subnet
from crds.v1alpha1.network import Network


def subnet_of(network: Network) -> Subnet:
    """The checked subnet of a network. Raises InvalidSubnet if it can't be used or there is none."""
    spec = network.spec.subnet
    if spec is None:
        raise InvalidSubnet(["the network has no subnet"])
    return _parsed(spec.cidr, spec.gateway, tuple((each.start, each.end) for each in spec.ranges))


@lru_cache(maxsize=1024)
def _parsed(cidr: str, gateway: str | None, ranges: tuple[tuple[str, str], ...]) -> Subnet:
    """Thousands of VMs ask for the few subnets that there are, each twice in a reconcile."""
    return parse_subnet(cidr, gateway, ranges)
