"""What a run of the demo must know of the one before it."""

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from standalone import ports
from standalone.errors import StandaloneError

OWN_CLUSTER = "standalone"


@dataclass(frozen=True)
class Record:
    """`cluster`: OWN_CLUSTER, or the URL of the API server. Ports are on 127.0.0.1. `image_sha256`: hexadecimal, of the image
    that the template was made with; empty until then.
    """

    cluster: str
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
        raise StandaloneError(f"{path} is damaged: `make demo-down` clears the demo away") from error


def next_record(earlier: Record | None, cluster: str, busy: Callable[[int], bool], pick: Callable[[], int]) -> Record:
    """The record to go on with. `busy`: whether a program that is not the demo's has a port; `pick` finds a free one.

    Raises StandaloneError if the demo lives on another cluster, or when the image's port is taken: it is part of the template,
    which can't be changed.
    """
    if earlier is None:
        return Record(cluster, pick(), pick(), pick())
    if earlier.cluster != cluster:
        raise StandaloneError(
            f"the demo runs on {_shown(earlier.cluster)}, not on {_shown(cluster)}: set KUBECONFIG accordingly, "
            "or end it with `make demo-down`"
        )
    if busy(earlier.image_port):
        raise StandaloneError(
            f"port {earlier.image_port} on {ports.LOOPBACK}, which the demo's template names, is in use by another program: "
            "end that, or start anew with `make demo-down`"
        )
    simulator, probe = (pick() if busy(port) else port for port in (earlier.simulator_port, earlier.probe_port))
    return Record(cluster, earlier.image_port, simulator, probe, earlier.image_sha256)


def _shown(cluster: str) -> str:
    return "its own control plane" if cluster == OWN_CLUSTER else f"the cluster {cluster}"
