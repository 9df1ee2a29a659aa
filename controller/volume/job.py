"""The job slot of a Volume and the CloudStack commands that fill it."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from controller.runtime import jobs
from controller.runtime.context import Context
from controller.shared.operation import begin
from controller.shared.operation import cancel as cancel
from controller.shared.operation import fail as fail
from controller.shared.operation import finish as finish
from crds.status import Job
from crds.v1alpha1.volume import Volume, VolumeState


class Command(StrEnum):
    """CloudStack's names of the operations on a volume (its API reference, "Volume")."""

    CREATE = "CreateVolume"
    RESIZE = "ResizeVolume"
    DELETE = "DeleteVolume"


async def ensure(ctx: Context[Volume], command: Command, new_id: Callable[[], str], state: VolumeState) -> Job:
    """Have a job of this command under way and written down, with the state to show, before the hypervisor is called.

    Raises ApiError: the caller must not go on.
    """
    return await begin(ctx, command, state, new_id, under_way(command))


def under_way(command: str) -> str:
    """The reason to show while a job works."""
    return {Command.CREATE: "Creating", Command.RESIZE: "Resizing"}.get(Command(command), "Expunging")


def current(volume: Volume) -> Job | None:
    """The job under way, None if there is none."""
    return volume.status.job if jobs.running(volume.status.job) else None
