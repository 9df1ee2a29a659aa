"""Two small kinds, as the runtime's protocols want them: it must not need Vireo's."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel


class Model(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore")

    def to_json(self) -> dict[str, Any]:
        dumped = self.model_dump(mode="json", by_alias=True, exclude_none=True)
        return {name: value for name, value in dumped.items() if value not in ([], {})}


class Meta(Model):
    name: str
    namespace: str = ""
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    finalizers: list[str] = Field(default_factory=list)
    annotations: dict[str, str] = Field(default_factory=dict)
    labels: dict[str, str] = Field(default_factory=dict)
    deletion_timestamp: str | None = None


class Condition(Model):
    type: str
    status: str
    reason: str
    message: str = ""
    observed_generation: int | None = None
    last_transition_time: str


class Job(Model):
    id: str
    command: str
    status: str
    phase: str | None = None
    progress: int | None = None
    result_code: int | None = None
    result_text: str | None = None
    native_ref: str | None = None
    started_at: str | None = None
    completed_at: str | None = None


class Status(Model):
    observed_generation: int = -1
    conditions: list[Condition] = Field(default_factory=list)
    size: int | None = None
    intent: int | None = None
    note: str | None = None
    job: Job | None = None


class Spec(Model):
    size: int = 0
    parent: str = ""


class Widget(Model):
    KIND: ClassVar[str] = "Widget"
    metadata: Meta
    spec: Spec = Field(default_factory=Spec)
    status: Status = Field(default_factory=Status)

    @classmethod
    def named(cls, name: str, **spec: Any) -> Self:
        return cls(metadata=Meta(name=name, uid=f"uid-{name}", resource_version="1", generation=1), spec=Spec(**spec))


class Parent(Widget):
    KIND: ClassVar[str] = "Parent"
