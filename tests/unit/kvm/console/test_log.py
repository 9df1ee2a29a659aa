"""Which files are a VM's console log, in which order, and how much of them is read."""

from types import SimpleNamespace
from typing import Any

import libvirt
import pytest

from drivers.errors import NotFound
from drivers.kvm import names
from drivers.kvm.console import log
from drivers.types import InstanceID
from tests.unit.kvm.fakes import libvirt_error

VM = InstanceID("6f1d9a3e-52c0-5c1f-9d57-0e4a0c5f7b11")
LOG = f"vireo-{VM}.log"


class FakeHost:
    """A libvirt connection with one directory of logs."""

    def __init__(self, files: dict[str, bytes], *, defined: bool = True) -> None:
        self.files = files
        self.defined = defined
        self.active = False
        self.definitions: list[str] = []

    def storagePoolLookupByName(self, name: str) -> Any:
        if not self.defined:
            raise libvirt_error(libvirt.VIR_ERR_NO_STORAGE_POOL)
        assert name == log.POOL
        return self

    def storagePoolDefineXML(self, document: str, _flags: int) -> None:
        self.definitions.append(document)
        self.defined = True

    def isActive(self) -> bool:
        return self.active

    def create(self, _flags: int) -> None:
        self.active = True

    def refresh(self, _flags: int) -> None:
        assert self.active

    def listVolumes(self) -> list[str]:
        return sorted(self.files)

    def storageVolLookupByName(self, name: str) -> Any:
        if name not in self.files:
            raise libvirt_error(libvirt.VIR_ERR_NO_STORAGE_VOL)
        content = self.files[name]

        def download(stream: Any, start: int, length: int, _flags: int) -> None:
            stream.left = content[start : start + length]

        return SimpleNamespace(
            info=lambda: [0, len(content), len(content)], download=download, delete=lambda _flags: self.files.pop(name)
        )

    def newStream(self, _flags: int) -> Any:
        stream = SimpleNamespace(left=b"", finish=lambda: None)

        def recv(length: int) -> bytes:
            piece, stream.left = stream.left[:length], stream.left[length:]
            return bytes(piece)

        stream.recv = recv
        return stream


def test_older_parts_come_first() -> None:
    host = FakeHost({LOG: b"4", f"{LOG}.0": b"3", f"{LOG}.1": b"2", f"{LOG}.10": b"1", "qemu.log": b"x"})
    assert log.read(host, VM) == b"1234"


def test_files_of_others_are_not_touched() -> None:
    other = VM.replace("6f1d", "7f1d")
    files = {f"vireo-{other}.log": b"a", f"{LOG}.old": b"b", f"x{LOG}": b"c", f"web-{VM[:8]}.log": b"d", f"{LOG}.0.0": b"e"}
    host = FakeHost({**files, LOG: b"ours", f"{LOG}.3": b"ours"})
    log.remove(host, VM)
    assert host.files == files
    log.remove(host, VM)
    with pytest.raises(NotFound, match="no console log"):
        log.read(host, VM)


def test_the_newest_bytes_are_what_is_read() -> None:
    size = log.MOST
    host = FakeHost({LOG: b"n" * (size - 10), f"{LOG}.0": b"x" * 100 + b"o" * 10, f"{LOG}.1": b"never"})
    found = log.read(host, VM)
    assert (len(found), found[:11]) == (size, b"o" * 10 + b"n")
    huge = FakeHost({LOG: b"old" + b"n" * size})
    assert log.read(huge, VM) == b"n" * size


def test_the_directory_becomes_a_pool_when_it_is_first_needed() -> None:
    host = FakeHost({LOG: b"x"}, defined=False)
    assert log.read(host, VM) == b"x"
    assert [names.CONSOLE_LOGS in document for document in host.definitions] == [True]
    assert host.active
    log.read(host, VM)
    assert len(host.definitions) == 1
