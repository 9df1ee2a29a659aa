"""What VMs of a Cluster would not have on a Host, which therefore gets none."""

from __future__ import annotations

from dataclasses import dataclass

from controller.host import networks
from crds.v1alpha1 import Cluster
from drivers.types import ObservedHost

NO_CPU_MODEL = "CPUModelMissing"


@dataclass(frozen=True, slots=True)
class Lack:
    """`reason` for a condition, `message` in a sentence."""

    reason: str
    message: str


def lack(cluster: Cluster, info: ObservedHost | None) -> Lack | None:
    """The first thing that the host lacks, as far as is known."""
    if info is None:
        return None
    if message := networks.lacking(networks.wanted(cluster, info.networks)):
        return Lack(networks.MISSING, message)
    model = cluster.spec.cpu_model
    if model and info.guests is not None and model not in info.guests.cpu_models:
        return Lack(NO_CPU_MODEL, f"the host can't give its guests the cluster's CPU model {model}; see status.guests.cpuModels")
    return None
