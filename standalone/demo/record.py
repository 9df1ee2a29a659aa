"""What a run of the demo must know of the one before it."""

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from standalone import ports
from standalone.errors import StandaloneError

OWN_CLUSTER = "standalone"


@dataclass(frozen=True)
class Record:
    """What was decided when the demo was started first.

    `cluster`: OWN_CLUSTER, or the URL of the API server. Ports are on 127.0.0.1. `boots`: whether the template's image is one that
    boots. `image_sha256`: its hash, hexadecimal; empty until there is an image.
    """

    cluster: str
    boots: bool
    image_port: int
    simulator_port: int
    probe_port: int
    image_sha256: str = ""

    def save(self, path: Path) -> None:
        """Replace the file as a whole."""
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(asdict(self), indent=2) + "\n")
        os.replace(fresh, path)


def load(path: Path) -> Record | None:
    """The record of an earlier run, None if there was none. Raises StandaloneError if it is damaged."""
    try:
        return Record(**json.loads(path.read_text()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise StandaloneError(f"{path} is damaged: clear the demo away with `make demo-down`") from error


def next_record(
    earlier: Record | None, cluster: str, libvirt: bool, busy: Callable[[int], bool], pick: Callable[[], int]
) -> Record:
    """The record to go on with. `busy`: whether a program that is not the demo's has a port; `pick` finds a free one.

    A template can't be changed, so neither can its image nor the port in its URL. Raises StandaloneError for what doesn't go
    together with the running demo.
    """
    if earlier is None:
        return Record(cluster, libvirt, pick(), pick(), pick())
    if earlier.cluster != cluster:
        there, here = (_shown(each) for each in (earlier.cluster, cluster))
        raise StandaloneError(
            f"the demo runs on {there}, not on {here}: set KUBECONFIG accordingly, or end it with `make demo-down`"
        )
    if libvirt and not earlier.boots:
        raise StandaloneError("the demo was started with the simulator only: end it with `make demo-down` to have a libvirt host")
    if busy(earlier.image_port):
        port = f"port {earlier.image_port} on {ports.LOOPBACK}"
        raise StandaloneError(
            f"{port}, where the demo offers its image, is in use: end the program that has it, or `make demo-down`"
        )
    simulator, probe = (pick() if busy(port) else port for port in (earlier.simulator_port, earlier.probe_port))
    return replace(earlier, simulator_port=simulator, probe_port=probe)


def _shown(cluster: str) -> str:
    return "its own control plane" if cluster == OWN_CLUSTER else f"the cluster {cluster}"
