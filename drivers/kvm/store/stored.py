"""What lies in a pool under our names."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from typing import Any

import libvirt

from drivers.kvm import domains, names
from drivers.kvm.xmltext import parse
from drivers.types import StoredFile


def read(pool: Any) -> tuple[StoredFile, ...]:
    """The files. Its directory must have been read just now; one that goes meanwhile is left out."""
    documents = list(_documents(pool))
    below = {document.findtext("backingStore/path", "") for document in documents}
    found = []
    for document in documents:
        known, path = names.stored(document.findtext("name", "")), document.findtext("target/path", "")
        if known is not None:
            found.append(StoredFile(*known, path, int(document.findtext("allocation", "0")), path in below))
    return tuple(found)


def _documents(pool: Any) -> Iterator[ET.Element]:
    for volume in pool.listAllVolumes(0):
        with domains.suppress_code(libvirt.VIR_ERR_NO_STORAGE_VOL):
            yield parse(volume.XMLDesc(0))
