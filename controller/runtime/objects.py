"""What the runtime expects of an API object: pydantic models of Kubernetes objects satisfy these protocols as they are.

Attribute names are snake_case; JSON is read and written by alias (camelCase).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Protocol, Self

ConditionStatus = Literal["True", "False", "Unknown"]


class Metadata(Protocol):
    """The part of metav1.ObjectMeta that the runtime reads."""

    @property
    def name(self) -> str:
        """Name, unique in its namespace."""
        ...

    @property
    def namespace(self) -> str | None:
        """Namespace; None or "" for a cluster-scoped object."""
        ...

    @property
    def uid(self) -> str:
        """Identity in time: differs after delete and create under the same name."""
        ...

    @property
    def generation(self) -> int:
        """Counts changes of spec."""
        ...

    @property
    def resource_version(self) -> str:
        """Version for optimistic concurrency."""
        ...

    @property
    def finalizers(self) -> Sequence[str]:
        """Who must let go before the object disappears."""
        ...

    @property
    def annotations(self) -> Mapping[str, str]:
        """Annotations."""
        ...

    @property
    def labels(self) -> Mapping[str, str]:
        """Labels."""
        ...

    @property
    def deletion_timestamp(self) -> str | None:
        """When deletion was asked for (RFC 3339), else None."""
        ...


class Condition(Protocol):
    """metav1.Condition."""

    type: str
    status: ConditionStatus
    reason: str
    message: str
    observed_generation: int | None
    last_transition_time: str


class ConditionFactory(Protocol):
    """Makes a condition of the model's own class, so that the runtime needn't know it."""

    def __call__(
        self,
        *,
        type: str,
        status: ConditionStatus,
        reason: str,
        message: str,
        observed_generation: int | None,
        last_transition_time: str,
    ) -> Condition:
        """Return a new condition."""
        ...


class Status(Protocol):
    """The status of an object: also the draft that a reconciler fills."""

    observed_generation: int

    @property
    def conditions(self) -> list[Any]:
        """Conditions, a list-map keyed by type; changed in place."""
        ...

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form, without what is unset or empty."""
        ...

    @classmethod
    def model_validate_json(cls, json_data: str | bytes | bytearray, /) -> Self:
        """Parse the JSON form.  Raises ValueError when it doesn't fit the model."""
        ...


class Resource(Protocol):
    """One API object: a class per kind, named by `KIND`."""

    KIND: ClassVar[str]

    @property
    def metadata(self) -> Metadata:
        """Object metadata."""
        ...

    @property
    def status(self) -> Status:
        """Status; an empty one when the API has none."""
        ...

    @classmethod
    def model_validate_json(cls, json_data: str | bytes | bytearray, /) -> Self:
        """Parse the JSON form.  Raises ValueError when it doesn't fit the model."""
        ...
