"""A VM that can't be driven now: for what its spec says, for what it refers to, or since somebody works on it."""

from __future__ import annotations

from controller.runtime.context import Context
from controller.runtime.results import Result
from controller.shared.instances import instance_of
from controller.vm import job, report, room
from controller.vm.drift import hardware_drift, known_drift, leave_hardware, power_by_hand, tell_power
from controller.vm.plan import is_on
from controller.vm.rests import Rests, as_declared
from controller.vm.services import Services
from controller.vm.steps import Steps
from controller.vm.suspension import Suspension
from controller.vm.volumes import show
from crds.v1alpha1.virtualmachine import DriftPolicy, PowerState, VirtualMachine
from crds.v1alpha1.virtualmachinestatus import VirtualMachineState
from drivers.errors import DriverError
from drivers.types import ObservedVM


class Undriven:
    """Shows such a VM as it is, and tells what was done to it by hand. Nothing of that is put right before it is driven again.

    One that an error of a disk has suspended is no work of a hand: it goes on as any other.
    """

    def __init__(self, services: Services, steps: Steps, rests: Rests, suspension: Suspension) -> None:
        self._services = services
        self._steps = steps
        self._rests = rests
        self._suspension = suspension

    async def look(self, ctx: Context[VirtualMachine], why: Result) -> Result:
        """Look at a VM that waits or has failed for what `why` says, and stop it if it is declared off. Raises DriverError."""
        vm = ctx.object
        link = self._services.inventory.link(vm.status.host) if vm.status.host else None
        have = await link.observe(instance_of(vm)) if link and link.up else None
        if link is None or have is None:
            return why
        room.keep(ctx, self._services.placements, have)
        rest = self._rests.waiting(ctx, have)
        changed, power = self._hardware(ctx, have, rest), power_by_hand(ctx, have, rest)
        if _to_be_stopped(vm, have, power):
            if unfinished := await self._steps.stop(ctx, link, have):
                return unfinished
            have = await link.observe(have.instance) or have
        report.observed(vm, have, ctx.conditions, ctx.store)
        self._services.addressing.observed(vm, have)
        show(vm, have, ctx.store)
        report.guest_ready(vm, ctx.conditions)
        if vm.spec.power_state is PowerState.OFF and not is_on(have):
            job.finish(ctx)
        tell_power(ctx, have, power)
        if changed:
            leave_hardware(ctx, have, changed)
        return await self._suspension.beside(ctx, link, have, why)

    async def held(self, ctx: Context[VirtualMachine]) -> None:
        """Tell what was done by hand to a VM while somebody works on it, and that an error of a disk has suspended it.

        After a restore it may run with what it had then: it rests on nothing before it was driven again.
        """
        vm = ctx.object
        if vm.status.state == VirtualMachineState.RESTORING:
            self._rests.forget(ctx.uid)
        link, rest = self._services.inventory.link(vm.status.host) if vm.status.host else None, self._rests.seen(ctx)
        if rest is None or link is None or not link.up:
            return
        try:
            have = await link.observe(instance_of(vm))
        except DriverError as error:  # whoever works on it meets that too, and says so
            ctx.log.info("a VM that is worked on was not looked at", reason=error.reason, error=str(error))
            return
        if have:
            self._suspension.tell(ctx, link, have)
        if have and (changed := hardware_drift(ctx, as_declared(rest), have, rest)):
            leave_hardware(ctx, have, changed)

    def _hardware(self, ctx: Context[VirtualMachine], have: ObservedVM, rest: ObservedVM | None) -> str:
        return hardware_drift(ctx, as_declared(rest), have, rest) if rest else known_drift(ctx)


def _to_be_stopped(vm: VirtualMachine, have: ObservedVM, power: str) -> bool:
    """Whether a VM that is declared off is stopped: not if somebody started it and that is to be reported alone."""
    left = power and vm.spec.drift_policy is DriftPolicy.REPORT
    return vm.spec.power_state is PowerState.OFF and is_on(have) and not left
