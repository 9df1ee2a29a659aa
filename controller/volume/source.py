"""What a volume is made from: found and usable, or what is missing and why."""

from __future__ import annotations

from dataclasses import dataclass

from controller.ipam import snapshot_id
from controller.runtime import jobs
from controller.runtime.results import Result, failed, waiting
from controller.runtime.store import Store
from controller.shared.grants import granted
from crds.v1alpha1.snapshot import Snapshot, SnapshotState
from crds.v1alpha1.template import Template, TemplateState
from crds.v1alpha1.virtualmachine import TemplateReference
from crds.v1alpha1.volume import Volume
from drivers.types import SnapshotID


@dataclass(frozen=True, slots=True)
class Source:
    """Nothing, a template, or a snapshot of a volume, which lies in `pool`."""

    template: Template | None = None
    snapshot: SnapshotID | None = None
    pool: str = ""


def resolve(volume: Volume, store: Store) -> Source | Result:
    """Find what the volume is made from. What may still come is waited for; a size below the source's is a terminal failure."""
    source = volume.spec.source
    if source is None:
        return Source()
    if source.template is not None:
        return _template(volume, source.template, store)
    return _snapshot(volume, source.snapshot.name if source.snapshot else "", store)


def _template(volume: Volume, named: TemplateReference, store: Store) -> Source | Result:
    namespace = named.namespace or volume.metadata.namespace
    template, shown = store.get(Template, named.name, namespace), f"template {namespace}/{named.name}"
    if template is None or not granted(template, template.spec.allowed_namespaces, volume.metadata.namespace, store):
        return waiting("TemplateNotFound", f"{shown} does not exist or does not allow this namespace")
    if template.deleting:
        return waiting("TemplateNotReady", f"{shown} is being deleted")
    if template.status.state != TemplateState.DOWNLOADED or template.status.virtual_size is None:
        return waiting("TemplateNotReady", f"{shown} is {template.status.state or 'not processed yet'}")
    return _large_enough(volume, template.status.virtual_size.bytes, shown) or Source(template=template)


def _snapshot(volume: Volume, name: str, store: Store) -> Source | Result:
    snapshot, shown = store.get(Snapshot, name, volume.metadata.namespace), f"snapshot {name}"
    if snapshot is None:
        return waiting("SnapshotNotFound", f"{shown} does not exist")
    if snapshot.spec.volume is None:
        return failed("SnapshotNotOfVolume", f"{shown} is one of a VM: only snapshots of volumes can become volumes", terminal=True)
    if snapshot.deleting and not jobs.running(volume.status.job):  # else its deletion waits for this volume
        return waiting("SnapshotNotReady", f"{shown} is being deleted")
    if snapshot.status.state != SnapshotState.BACKED_UP or snapshot.status.pool is None:
        return waiting("SnapshotNotReady", f"{shown} is {snapshot.status.state or 'not processed yet'}")
    least = snapshot.status.size.bytes if snapshot.status.size else 0
    pool, identity = snapshot.status.pool, snapshot_id(snapshot.metadata.uid)
    return _large_enough(volume, least, shown) or Source(snapshot=identity, pool=pool)


def leaving(volume: Volume, store: Store) -> Result | None:
    """Whether its snapshot is being deleted: that waits for those whose job it sees, and they look here once theirs is written."""
    source = volume.spec.source.snapshot if volume.spec.source else None
    snapshot = store.get(Snapshot, source.name, volume.metadata.namespace) if source else None
    if snapshot is None or not snapshot.deleting:
        return None
    return waiting("SnapshotNotReady", f"snapshot {snapshot.metadata.name} is being deleted")


def _large_enough(volume: Volume, least: int, shown: str) -> Result | None:
    if volume.spec.size.bytes >= least:
        return None
    return failed("VolumeTooSmall", f"size {volume.spec.size} is less than the {least} bytes of {shown}", terminal=True)
