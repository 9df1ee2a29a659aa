"""Bounds on what a source may cost."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network

__all__ = ["Limits"]


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of a cache, from the settings of the controller.

    max_bytes: of a download, and of the image made from it. max_virtual_bytes: of the disk that an image declares.
    stall: seconds without a byte, or with less than `min_rate` bytes per second, after which a download is given up.
    free_bytes: what must stay free on the cache's file system. concurrent: sources worked on at once.
    forbidden: networks that no image is fetched from; the default keeps users away from a cloud's metadata service.
    """

    max_bytes: int = 100 << 30
    max_virtual_bytes: int = 16 << 40
    stall: float = 30.0
    min_rate: int = 1024
    free_bytes: int = 1 << 30
    concurrent: int = 4
    forbidden: tuple[IPv4Network | IPv6Network, ...] = (ip_network("169.254.0.0/16"), ip_network("fe80::/10"))
