"""What status looks like in every kind: conditions, the job slot, and tolerance for states that a newer version wrote."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal, TypeAlias, TypeVar

from pydantic import BeforeValidator, Field

from crds.base import Model
from crds.fields import ListType, Percent, Timestamp, TimestampText

__all__ = ["Condition", "Conditions", "Job", "JobState", "Known", "Status"]

_LONGEST = 32768

EnumT = TypeVar("EnumT", bound=StrEnum)
Known: TypeAlias = Annotated[EnumT | Annotated[str, Field(max_length=64)], Field(union_mode="left_to_right")]
"""`Known[State]`: one of the states this version knows, or the text that a newer one wrote. The schema allows only the former."""


def _cut(text: object) -> object:
    """A hypervisor's message may be longer than the API takes; its start says most."""
    return text[: _LONGEST - 1] + "…" if isinstance(text, str) and len(text) > _LONGEST else text


ResultText = Annotated[str, Field(max_length=_LONGEST), BeforeValidator(_cut)]


class Condition(Model):
    """metav1.Condition."""

    type: Annotated[str, Field(max_length=316)]
    """What the condition is about: Ready, Reconciling, Stalled, or a facet of the kind."""
    status: Literal["True", "False", "Unknown"]
    """True, False or Unknown."""
    reason: Annotated[str, Field(min_length=1, max_length=1024, pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$")]
    """Why, in one CamelCase word for programs."""
    message: Annotated[str, Field(max_length=_LONGEST)] = ""
    """Why, in a sentence for people."""
    last_transition_time: TimestampText
    """When status last changed; RFC 3339 UTC."""
    observed_generation: Annotated[int, Field(ge=0)] | None = None
    """metadata.generation that the condition speaks about."""


Conditions = Annotated[list[Condition], Field(max_length=32), ListType("map", ("type",))]
"""Conditions by type."""


class JobState(StrEnum):
    """State of a job, CloudStack's JobInfo.Status."""

    IN_PROGRESS = "InProgress"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    CANCELLED = "Cancelled"


class Job(Model):
    """The running or last job on an object."""

    id: Annotated[str, Field(max_length=64)]
    """Identifier of the job, a UUID; the task in the hypervisor is tagged with it."""
    command: Annotated[str, Field(max_length=64)]
    """CloudStack's name of the operation, such as DeployVirtualMachine."""
    status: Known[JobState]
    """InProgress, Succeeded, Failed or Cancelled."""
    phase: Annotated[str, Field(max_length=64)] | None = None
    """Step that the job is at."""
    progress: Percent | None = None
    """Percent done, where the hypervisor tells."""
    result_code: int | None = None
    """CloudStack's API code of a failure, such as 533 for insufficient capacity; absent otherwise."""
    result_text: ResultText | None = None
    """What went wrong, with the hypervisor's own code and text."""
    native_ref: Annotated[str, Field(max_length=512)] | None = None
    """The hypervisor's reference to its task; a restarted controller follows it."""
    started_at: Timestamp | None = None
    """When the job began; RFC 3339 UTC."""
    completed_at: Timestamp | None = None
    """When the job ended; RFC 3339 UTC."""


class Status(Model):
    """What every status holds."""

    observed_generation: Annotated[int, Field(ge=-1)] = -1
    """metadata.generation that was last processed; -1 before the first time."""
    conditions: Conditions = Field(default_factory=list)
    """State as conditions: Ready, Reconciling while work goes on, Stalled when it cannot, and facets of the kind."""
