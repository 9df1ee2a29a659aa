"""Hosts by what the filters look at: those that differ in nothing but their names are judged as one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from controller.scheduler.views import Usage

if TYPE_CHECKING:
    from controller.scheduler.index import Candidate

__all__ = ["Alike", "Shapes"]

Alike = Mapping[Usage, Mapping[str, "Candidate"]]
"""Hosts of one shape, never none, by what their VMs have, then by name."""

_Shape = tuple[str, int, int, bool, bool, frozenset[str], bool, bool]


class Shapes:
    """The hosts of a zone: of a shape are those of one cluster, size, state, abilities and tags."""

    def __init__(self) -> None:
        self._hosts: dict[_Shape, dict[Usage, dict[str, Candidate]]] = {}

    def add(self, each: Candidate) -> None:
        """Count a host in."""
        self._hosts.setdefault(_shape(each), {}).setdefault(each.usage, {})[each.view.name] = each

    def remove(self, each: Candidate) -> None:
        """Count a host out."""
        shape = _shape(each)
        alike = self._hosts[shape]
        del alike[each.usage][each.view.name]
        if not alike[each.usage]:
            del alike[each.usage]
        if not alike:
            del self._hosts[shape]

    def of(self, cluster: str) -> Iterator[Alike]:
        """All shapes of a cluster; of all clusters if it is empty."""
        return (alike for shape, alike in self._hosts.items() if cluster in ("", shape[0]))


def _shape(each: Candidate) -> _Shape:
    view = each.view
    return each.cluster.name, view.cpus, view.memory, view.enabled, view.connected, view.tags, view.uefi, view.disk_limits
