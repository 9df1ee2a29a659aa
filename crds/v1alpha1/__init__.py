"""The kinds of vireo.dev/v1alpha1."""

from crds.base import Resource
from crds.v1alpha1.cluster import Cluster
from crds.v1alpha1.host import Host
from crds.v1alpha1.network import Network
from crds.v1alpha1.pod import Pod
from crds.v1alpha1.serviceoffering import ServiceOffering
from crds.v1alpha1.snapshot import Snapshot
from crds.v1alpha1.snapshotrestore import SnapshotRestore
from crds.v1alpha1.storagepool import StoragePool
from crds.v1alpha1.template import Template
from crds.v1alpha1.virtualmachine import VirtualMachine
from crds.v1alpha1.volume import Volume
from crds.v1alpha1.zone import Zone

__all__ = [
    "KINDS",
    "Cluster",
    "Host",
    "Network",
    "Pod",
    "ServiceOffering",
    "Snapshot",
    "SnapshotRestore",
    "StoragePool",
    "Template",
    "VirtualMachine",
    "Volume",
    "Zone",
]

KINDS: tuple[type[Resource], ...] = (
    Zone,
    Pod,
    Cluster,
    Host,
    StoragePool,
    ServiceOffering,
    Template,
    Network,
    VirtualMachine,
    Volume,
    Snapshot,
    SnapshotRestore,
)
"""Every kind, from the datacentre down to the VM, and what it keeps."""
