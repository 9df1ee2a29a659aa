"""What a lab was asked for, kept in its state directory so that any process can carry on."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from tests.lab.shell import LabError

Backend = Literal["ovs", "vxlan"]
BACKENDS: tuple[Backend, ...] = ("ovs", "vxlan")


@dataclass(slots=True)
class Record:
    """The wanted lab. hosts: how many; gateways: VLAN id to the address with prefix length that the lab has on it."""

    prefix: str
    backend: Backend
    kvm: bool
    hosts: int = 0
    vlans: list[int] = field(default_factory=list)
    gateways: dict[int, str] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Replace the file at once: a reader sees the old or the new one."""
        new = path.with_suffix(".new")
        new.write_text(json.dumps(asdict(self), indent=1) + "\n")
        os.replace(new, path)

    @classmethod
    def load(cls, path: Path) -> Record | None:
        """The record of a lab, None when there is none. Raises LabError when the file is damaged."""
        try:
            raw = json.loads(path.read_text())
            raw["gateways"] = {int(vlan): address for vlan, address in raw["gateways"].items()}
            return cls(**raw)
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise LabError(f"{path} is damaged ({error}); `down` removes it") from error


@contextmanager
def exclusive(directory: Path) -> Iterator[None]:
    """Hold a directory for oneself, waiting for others; works across processes and ends with the process."""
    while True:
        try:
            directory.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except (FileExistsError, FileNotFoundError):
            if directory.exists() and not directory.is_dir():
                raise  # somebody's file
            continue  # the holder removed it just now
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if _still_there(directory, descriptor):
            break
        os.close(descriptor)  # the holder before us removed it: what we locked is not what others lock
    try:
        yield
    finally:
        os.close(descriptor)


def _still_there(directory: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(directory.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
