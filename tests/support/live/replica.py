"""A controller that has its own way to the API server: what it asks for is recorded, and can be disturbed."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass

from tests.support.apiproxy import ApiProxy, api_proxy
from tests.support.live.cloud import LiveCloud
from tests.support.live.controller import ControllerProcess


@dataclass(frozen=True)
class Replica:
    """A controller, and its own way to the API server."""

    process: ControllerProcess
    proxy: ApiProxy

    def led_at(self) -> float:
        """When it took the lease (monotonic): its first write of it that the API server accepted, after others had it."""
        return next(each.at for each in self.proxy.asked if each.about_lease and each.writes and each.status in (200, 201))

    def looks(self, since: float) -> int:
        """How often it has looked who leads."""
        return sum(each.about_lease and not each.writes and each.at >= since for each in list(self.proxy.asked))


def add_replica(stack: ExitStack, cloud: LiveCloud, name: str) -> Replica:
    """One of these, not started; it is killed with the stack."""
    plane = cloud.plane
    proxy = stack.enter_context(api_proxy(plane.controller_kubeconfig, plane.directory, cloud.directory / name))
    process = cloud.replica(name, proxy.kubeconfig)
    stack.callback(process.kill)
    return Replica(process, proxy)
