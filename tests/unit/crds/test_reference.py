"""Reference pages: each construct of a schema as a reader sees it."""

from typing import Annotated, Any, ClassVar

import pytest
from pydantic import Field

from crds.base import Column, Definition, Model, Resource
from crds.cel import IMMUTABLE, Rule
from crds.fields import VLAN, Duration, IPv4, Label, ListType, Name, Quantity, Tags, Timestamp
from crds.reference import index, page
from crds.references import AllocationState
from crds.status import Status


class Wheel(Model):
    """A wheel."""

    RULES = (Rule("self.spokes > 0 || self.name == 'disc'", "spokes are needed", ".spokes"),)

    name: Label
    """Its place."""
    spokes: Annotated[int, Field(ge=0, le=64)] = 32
    """How many spokes."""


class CartSpec(Model):
    """What a cart is."""

    RULES = (Rule("has(self.axle)", "an axle is needed"),)

    owner: Annotated[Name, IMMUTABLE]
    """Who has it."""
    axle: Annotated[str, Field(min_length=2, max_length=9, pattern=r"^(a|b)+$")] | None = None
    """Its axle."""
    state: AllocationState = AllocationState.ENABLED
    """Whether it may go."""
    load: Quantity | None = None
    """What it carries."""
    pause: Duration = Duration("5s")
    """How long it rests."""
    since: Timestamp | None = None
    """When it began."""
    lanes: Annotated[list[VLAN], Field(max_length=4), ListType("atomic")] = Field(default_factory=list)
    """Where it goes."""
    tags: Tags = Field(default_factory=list)
    """What it is called."""
    wheels: Annotated[list[Wheel], Field(max_length=4), ListType("map", ("name",))] = Field(default_factory=list)
    """What it rolls on."""
    spare: Wheel | None = None
    """What it rolls on when one breaks."""
    stops: Annotated[list[IPv4], Field(max_length=4), ListType("atomic")] = Field(default_factory=list)
    """Where it halts."""
    weights: Annotated[dict[str, int], Field(max_length=8)] = Field(default_factory=dict)
    """What weighs how much."""


class CartStatus(Status):
    """How it is."""


class Cart(Resource):
    """A cart | with wheels."""

    KIND: ClassVar[str] = "Cart"
    DEFINITION: ClassVar[Definition] = Definition(
        plural="carts",
        scope="Namespaced",
        short_names=("vcart",),
        columns=(Column("Owner", ".spec.owner"), Column("State", ".spec.state", wide=True)),
        selectable=(".spec.owner", ".spec.state"),
    )

    spec: CartSpec
    """What it is."""
    status: CartStatus = Field(default_factory=CartStatus)
    """How it is."""


def rows(text: str) -> dict[str, list[str]]:
    """Cells of the tables' rows, by the name in the first."""
    found = {}
    for line in text.splitlines():
        if line.startswith("| `"):
            cells = [cell.strip().replace("\\|", "|") for cell in line[1:-1].replace("\\|", "\0").split("|")]
            cells = [cell.replace("\0", "|") for cell in cells]
            found[cells[0]] = cells[1:]
    return found


FIELDS = [
    ("`owner` (required)", ["string", "Who has it.", "DNS subdomain (RFC 1123), at most 253 characters"]),
    ("`axle`", ["string", "Its axle.", "at most 9 characters; matches `^(a|b)+$`"]),
    ("`state`", ["string", "Whether it may go.", "default `Enabled`; one of `Enabled`, `Disabled`"]),
    ("`load`", ["quantity", "What it carries.", "such as `512Mi`, `10Gi`, `1.5G` or a number of bytes"]),
    ("`pause`", ["string", "How long it rests.", "default `5s`; such as `90s` or `1h30m`"]),
    ("`since`", ["time", "When it began.", "such as `2026-11-20T10:00:00Z`"]),
    ("`lanes`", ["list of integer", "Where it goes.", "at most 4 items"]),
    (
        "`tags`",
        ["set of string", "What it is called.", "at most 32 items; each letters, digits and `._-`, at most 63 characters"],
    ),
    ("`wheels`", ["list by name of object", "What it rolls on.", "at most 4 items"]),
    ("`wheels[].name` (required)", ["string", "Its place.", "DNS label (RFC 1123), at most 63 characters"]),
    ("`wheels[].spokes`", ["integer", "How many spokes.", "default `32`; ≥ 0; ≤ 64"]),
    ("`spare`", ["object", "What it rolls on when one breaks.", ""]),
    ("`spare.name` (required)", ["string", "Its place.", "DNS label (RFC 1123), at most 63 characters"]),
    ("`stops`", ["list of string", "Where it halts.", "at most 4 items; each at most 15 characters"]),
    ("`weights`", ["map of integer", "What weighs how much.", "at most 8 entries"]),
    (
        "`observedGeneration`",
        ["integer", "metadata.generation that was last processed; -1 before the first time.", "default `-1`; ≥ -1"],
    ),
]


@pytest.mark.parametrize(("field", "cells"), FIELDS, ids=lambda value: value if isinstance(value, str) else "")
def test_a_field(field: str, cells: list[str]) -> None:
    assert rows(page(Cart))[field] == cells


RULES = [
    ("`spec`", "an axle is needed", "`has(self.axle)`"),
    ("`spec.owner`", "is immutable", "`self == oldSelf`"),
    ("`spec.wheels[].spokes`", "spokes are needed", "`self.spokes > 0 || self.name == 'disc'`"),
    ("`spec.spare.spokes`", "spokes are needed", "`self.spokes > 0 || self.name == 'disc'`"),
]


@pytest.mark.parametrize(("field", "message", "rule"), RULES)
def test_a_rule(field: str, message: str, rule: str) -> None:
    assert rows(page(Cart))[field] == [message, rule]


def test_the_head_of_a_page() -> None:
    text = page(Cart)
    assert text.startswith("<!-- Generated by `python -m crds docs`")
    assert "# Cart\n\nA cart | with wheels.\n" in text
    assert "`vireo.dev/v1alpha1`, in a namespace. `kubectl get carts.vireo.dev` or `kubectl get vcart`." in text
    assert "| Owner | `.spec.owner` |" in text
    assert "| State | `.spec.state` (with `-o wide`) |" in text
    assert "Usable in `--field-selector`: `spec.owner`, `spec.state`." in text


def test_fields_are_in_the_order_of_the_model() -> None:
    listed = [name.split("`")[1] for name in rows(page(Cart)) if "." not in name and "[" not in name]
    properties = [field.alias for field in CartSpec.model_fields.values()]
    assert [name for name in listed if name in properties] == properties


def test_the_index() -> None:
    text = index((Cart,))
    assert "| [Cart](cart.md) | Namespaced | `vcart` | A cart \\| with wheels. |" in text


def test_a_kind_without_rules_or_selectors_has_no_such_section() -> None:
    class BareSpec(Model):
        """Nothing."""

    class Bare(Resource):
        """A bare kind."""

        KIND: ClassVar[str] = "Bare"
        DEFINITION: ClassVar[Definition] = Definition(
            "bares", "Cluster", ("vbare",), (Column("Age", ".metadata.creationTimestamp", "date"),)
        )

        spec: BareSpec
        """Nothing."""
        status: CartStatus = Field(default_factory=CartStatus)
        """How it is."""

    text = page(Bare)
    assert "not in a namespace" in text
    assert "## Rules" not in text
    assert "--field-selector" not in text


def test_the_page_says_nothing_that_depends_on_where_it_is_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    before = page(Cart)
    monkeypatch.chdir(tmp_path)
    assert page(Cart) == before
