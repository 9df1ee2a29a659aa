"""Fixtures of a simulator process."""

from tests.support.simulator import simulator, simulator_control

__all__ = ["simulator", "simulator_control"]
