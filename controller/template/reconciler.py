"""Drives one Template: downloaded and checked once, its copies in pools shown, gone only when no VM is made from it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from controller.images import Image, ImageError
from controller.runtime import jobs
from controller.runtime.context import Context
from controller.runtime.keys import Key
from controller.runtime.reconciler import Watch
from controller.runtime.results import Result, done, failed, requeue
from controller.runtime.store import Store
from controller.shared import operation
from controller.shared.deletion import blocked
from controller.shared.errands import Broken, Finished, Working
from controller.shared.library import Library, source_of
from controller.shared.lookups import qualified, vms_by_template
from controller.template.pools import PoolCopies
from crds.fields import Quantity
from crds.status import Job
from crds.v1alpha1.template import Template, TemplateState
from crds.v1alpha1.virtualmachine import VirtualMachine

_LOOK = 2.0
_SETTLE = 2.0
_REGISTER = "RegisterTemplate"


def _of_vm(vm: VirtualMachine, _store: Store) -> Iterable[Key]:
    if template := vm.spec.template:
        yield Key(Template.KIND, template.namespace or vm.metadata.namespace, template.name)


class TemplateReconciler:
    """Keeps templates downloaded and tells where their images are."""

    kind = Template
    watches: Sequence[Watch] = (
        Watch(VirtualMachine, _of_vm, of=lambda vm: [disk.pool for disk in vm.status.disks], settle=_SETTLE),
    )

    def __init__(self, library: Library, copies: PoolCopies, new_id: Callable[[], str]) -> None:
        self._library = library
        self._copies = copies
        self._new_id = new_id

    async def reconcile(self, ctx: Context[Template]) -> Result:
        """Drive one Template one step towards its spec."""
        if ctx.deleting:
            return await self._delete(ctx)
        try:
            source_of(ctx.object)
        except ImageError as error:
            return failed(error.reason, error.message, terminal=True)
        await ctx.add_finalizer()
        if ctx.object.status.state != TemplateState.DOWNLOADED:
            unfinished = self._download(ctx)
            if unfinished:
                return unfinished
        self._copies.show(ctx.object, ctx.store)
        return done("Downloaded")

    def forget(self, key: Key, uid: str) -> None:
        """Stop the download of a Template that is gone."""
        self._library.forget(uid)

    def _download(self, ctx: Context[Template]) -> Result | None:
        status = ctx.object.status
        if not jobs.running(status.job):
            status.job = jobs.begin(Job, ctx.conditions, id=self._new_id(), command=_REGISTER, at=operation.now(ctx))
        match self._library.download(ctx.object):
            case Finished(image):
                self._downloaded(ctx, image)
                return None
            case Working(phase, percent):
                status.state, status.progress = TemplateState.DOWNLOAD_IN_PROGRESS, percent
                if status.job:
                    jobs.progressed(status.job, progress=percent, phase=phase)
                return requeue(_LOOK, "Downloading", phase)
            case Broken() as broken:
                return self._broken(ctx, broken)

    def _downloaded(self, ctx: Context[Template], image: Image) -> None:
        status = ctx.object.status
        status.state, status.progress = TemplateState.DOWNLOADED, None
        status.checksum = image.checksum
        status.virtual_size = Quantity.of(image.file.virtual_size)
        status.physical_size = Quantity.of(image.file.physical_size)
        operation.finish(ctx)
        ctx.event("Normal", "Downloaded", f"{image.file.physical_size} bytes, {image.checksum}")

    def _broken(self, ctx: Context[Template], broken: Broken) -> Result:
        status = ctx.object.status
        status.state, status.progress = TemplateState.DOWNLOAD_ERROR, None
        if broken.terminal:
            operation.fail(ctx, broken.message)
        ctx.event("Warning", broken.reason, broken.message)
        if broken.retry_at is None:
            return failed(broken.reason, broken.message, terminal=True)
        return failed(broken.reason, broken.message, retry_after=max(0.1, broken.retry_at - ctx.clock.monotonic()))

    async def _delete(self, ctx: Context[Template]) -> Result:
        if waiting_for := blocked(ctx, _users(ctx)):
            return waiting_for
        if unfinished := await self._copies.remove(ctx):
            return unfinished
        await ctx.remove_finalizer()
        return done("Deleted")


def _users(ctx: Context[Template]) -> list[Key]:
    """VMs with a disk made from it. One that still waits for it waits for the next of that name, or a broken one could not go."""
    vms = vms_by_template.of(ctx.store, qualified(ctx.key.namespace, ctx.key.name))
    return [Key.of(vm) for vm in vms if vm.status.disks]
