"""The cloud-init NoCloud seed: an ISO 9660 image with the label `cidata`.

https://cloudinit.readthedocs.io/en/latest/reference/datasources/nocloud.html. It is made in memory: user data may hold secrets.
"""

from __future__ import annotations

from io import BytesIO

from pycdlib import PyCdlib

from drivers.types import Seed

LABEL = "cidata"

PADDING = 150 * 2048
"""Zeros at the end, as mkisofs adds them: programs that look for a label read past the end of a small image, and give up then."""


def image(seed: Seed) -> bytes:
    """The bytes of the image. A document that is empty is left out, except those that cloud-init needs."""
    documents = {
        "meta-data": seed.meta_data.encode(),
        "user-data": seed.user_data,
        "network-config": seed.network_config.encode(),
    }
    iso = PyCdlib()
    iso.new(interchange_level=3, vol_ident=LABEL, joliet=3, rock_ridge="1.09")
    for name, content in documents.items():
        if content or name != "network-config":
            short = name.upper().replace("-", "_")
            iso.add_fp(BytesIO(content), len(content), f"/{short}.;1", rr_name=name, joliet_path=f"/{name}")
    target = BytesIO()
    iso.write_fp(target)
    iso.close()
    return target.getvalue() + bytes(PADDING)
