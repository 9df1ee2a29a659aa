"""Fault files."""

from pathlib import Path
from typing import Any

import pytest

from drivers.errors import Busy, InvalidSpec
from drivers.simulator.engine.actions import Act, Action
from drivers.simulator.engine.faults import Fault, FaultKind
from drivers.simulator.script import action, fault, load_script, run_script

from .world import HOST, World

SCRIPT = """
faults:
  - {kind: error, method: hosts.list, error: Busy, count: 1}
actions:
  - {at: 30, act: crash-host, target: host-00001}
  - {at: 60, act: boot-host, target: host-00001}
  - {at: 10, act: crash-host, target: no-such-host}
"""


def test_a_script_does_what_it_says_when_it_says(tmp_path: Path) -> None:
    path = tmp_path / "faults.yaml"
    path.write_text(SCRIPT)
    world = World()
    run_script(world.service, load_script(path))
    with pytest.raises(Busy):
        world.connection.hosts.list_hosts()
    up = []
    for _ in range(3):
        up.append(world.connection.hosts.list_hosts()[0].up)
        world.let(30)
    assert up == [True, False, True]
    assert world.connection.hosts.list_hosts()[0].host == HOST


def test_fields_may_be_text_as_on_a_command_line() -> None:
    made = fault({"kind": "delay", "seconds": "2.5", "count": "3", "probability": "0.5", "until": "60"})
    assert made == Fault(FaultKind.DELAY, seconds=2.5, count=3, probability=0.5, until=60.0)
    assert action({"act": "lie", "target": "h", "value": "1:2"}) == Action(Act.LIE, "h", "1:2")


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({}, "kind"),
        ({"kind": "explode"}, "kind"),
        ({"kind": "delay", "colour": "red"}, "colour"),
        ({"kind": "delay", "seconds": "soon"}, "seconds"),
        ({"kind": "error", "error": "DriverError"}, "error"),
        ({"kind": "error", "error": "SystemExit"}, "error"),
    ],
)
def test_a_fault_that_makes_no_sense_is_refused(values: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidSpec, match=says):
        fault(values)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "5",
        "[]",
        "faults: 5",
        "faults: [5]",
        "colour: []",
        "faults: [{kind: hang}\n",
        "actions: [{at: soon, act: crash-host}]",
        "actions: [{act: explode}]",
        "actions: [{act: crash-host, when: 5}]",
        "faults: [{kind: hang}]\nactions: [{act: explode}]",
    ],
)
def test_a_script_that_makes_no_sense_is_refused_as_a_whole(tmp_path: Path, text: str) -> None:
    path = tmp_path / "faults.yaml"
    path.write_text(text)
    world = World()
    with pytest.raises(InvalidSpec):
        run_script(world.service, load_script(path))
    assert world.control.list_faults() == {}
