"""Bringing a VM to power off: asking the guest, waiting, cutting the power."""

from __future__ import annotations

from collections.abc import Callable

from controller.inventory import HostLink
from controller.runtime import jobs
from controller.runtime.context import Context
from controller.runtime.results import Result, failed, requeue
from controller.vm import job
from controller.vm.job import Command
from controller.vm.plan import Why
from crds.v1alpha1.virtualmachine import StopMode as Declared
from crds.v1alpha1.virtualmachine import VirtualMachine
from crds.v1alpha1.virtualmachinestatus import VirtualMachineState
from drivers.types import Capability, ObservedVM, Power, Started, StopMode

_LOOK_AGAIN = 2.0
_ASK_AGAIN = 15.0


class Stopping:
    """Remembers when each job last asked its guest. A guest that still boots hears nothing: it is asked again, not too often."""

    def __init__(self, new_id: Callable[[], str]) -> None:
        self._new_id = new_id
        self._asked: dict[str, tuple[str, float]] = {}

    def forget(self, uid: str) -> None:
        """The VM is gone."""
        self._asked.pop(uid, None)

    async def take(self, ctx: Context[VirtualMachine], link: HostLink, have: ObservedVM, why: Why) -> Result | None:
        """Stop the VM the way its stopMode says. None: look at it again at once."""
        command = Command.REBOOT if why is Why.RESTART else Command.STOP
        if not _possible(ctx.object.spec.stop_mode, have, link):
            text = "the hypervisor can't ask this guest to stop; use stopMode TrySoft or Hard"
            job.fail(ctx, text)
            return failed("SoftStopUnsupported", text, terminal=True)
        running = await job.begin(ctx, command, self._new_id, VirtualMachineState.STOPPING)
        if isinstance(running, Result):
            return running
        ctx.object.status.state = VirtualMachineState.STOPPING
        left = ctx.object.spec.stop_timeout.timedelta.total_seconds() - job.elapsed(ctx, running)
        mode = _mode(ctx.object.spec.stop_mode, have, link, left)
        if mode is StopMode.SOFT and self._asked_lately(ctx, running.id):
            return requeue(min(_LOOK_AGAIN, left) if left > 0 else _LOOK_AGAIN, "Stopping", _patience(ctx.object, left))
        outcome = await link.stop(have.instance, mode)
        self._asked[ctx.uid] = running.id, ctx.clock.monotonic()
        if isinstance(outcome, Started):
            jobs.started(running, outcome.op)
            text = f"{running.command} is under way"
            await ctx.save("Stopping", text)
            return requeue(1.0, "Stopping", text)
        return None

    def _asked_lately(self, ctx: Context[VirtualMachine], job_id: str) -> bool:
        asked, at = self._asked.get(ctx.uid, ("", 0.0))
        return asked == job_id and ctx.clock.monotonic() - at < _ASK_AGAIN


def _possible(declared: Declared, have: ObservedVM, link: HostLink) -> bool:
    """Whether the declared way is to be had; a crashed or paused guest need not be asked."""
    return declared is not Declared.SOFT or have.power is not Power.ON or Capability.SOFT_STOP in link.capabilities


def _mode(declared: Declared, have: ObservedVM, link: HostLink, left: float) -> StopMode:
    """How to stop now. A crashed or paused guest can't be asked."""
    if declared is Declared.HARD or have.power is not Power.ON or Capability.SOFT_STOP not in link.capabilities:
        return StopMode.HARD
    return StopMode.HARD if declared is Declared.TRY_SOFT and left <= 0 else StopMode.SOFT


def _patience(vm: VirtualMachine, left: float) -> str:
    if vm.spec.stop_mode is Declared.SOFT:
        return "the guest was asked to stop; stopMode Soft waits for it" + (" and its stopTimeout is over" if left <= 0 else "")
    return "the guest was asked to stop; its power is cut at the end of stopTimeout"
