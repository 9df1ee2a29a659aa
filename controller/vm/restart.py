"""Restarts: `spec.restartedAt` asks for one, at that time, and it is served once."""

from __future__ import annotations

from controller.runtime.context import Context
from crds.fields import Timestamp
from crds.v1alpha1.virtualmachine import VirtualMachine

SCHEDULED = "RestartScheduled"

_SOONEST = 0.1


def due(ctx: Context[VirtualMachine]) -> bool:
    """Whether it is time for a restart that was asked for after the one last carried out, or after the object was made."""
    return _asked(ctx.object) and _left(ctx) <= 0


def wait(ctx: Context[VirtualMachine]) -> float | None:
    """Say when a restart is to come that was asked for a later time. Returns the seconds until then, None if there is none."""
    left = _left(ctx) if _asked(ctx.object) else 0.0
    if left <= 0:
        ctx.conditions.remove(SCHEDULED)
        return None
    ctx.conditions.set(SCHEDULED, True, SCHEDULED, f"the VM is restarted at {ctx.object.spec.restarted_at}")
    return max(_SOONEST, left)


def served(ctx: Context[VirtualMachine]) -> None:
    """Count the restart that is asked for as carried out, unless it is for a later time."""
    if _left(ctx) <= 0:
        ctx.object.status.applied_restart_at = ctx.object.spec.restarted_at


def _asked(vm: VirtualMachine) -> bool:
    asked = vm.spec.restarted_at
    since = vm.status.applied_restart_at or Timestamp(vm.metadata.creation_timestamp)
    return asked is not None and asked.datetime > since.datetime


def _left(ctx: Context[VirtualMachine]) -> float:
    """Seconds until the time that the spec names."""
    asked = ctx.object.spec.restarted_at
    return (asked.datetime - ctx.clock.now()).total_seconds() if asked else 0.0
