"""The composition: one reconciler for each kind, and who is woken by a Secret."""

from __future__ import annotations

from typing import cast

import pytest

from controller import app
from controller.inventory.secrets import SecretCache
from controller.runtime.keys import Key
from controller.runtime.manager import Manager
from crds.v1alpha1 import KINDS
from tests.support.cloud import BASE
from tests.support.vms import VMCloud, play, vm


def test_every_kind_has_one_reconciler() -> None:
    async def story(cloud: VMCloud) -> None:
        made = app.make_reconcilers(cloud.controller.parts, cloud.controller.secrets)
        assert sorted(each.kind.KIND for each in made) == sorted(kind.KIND for kind in KINDS)
        watched = {watch.kind.KIND for each in made for watch in each.watches}
        assert watched <= {kind.KIND for kind in KINDS}

    play(story)


def test_secret_wakes_the_hosts_and_vms_that_read_it() -> None:
    async def story(cloud: VMCloud) -> None:
        cloud.apply(BASE.replace('"fake://h1"', '"fake://h1", credentials: {secretRef: {name: init, namespace: shop}}'))
        cloud.apply(vm("reader", extra="userData: {secretRef: {name: init, key: data}}"))
        cloud.apply(vm("other"))
        await cloud.settle(5)
        woken: list[Key] = []
        secrets = cast("SecretCache", cloud.controller.secrets)
        app._secret_changed(secrets, cloud.controller.store, woken.append, "shop", "init")
        assert woken == [Key("Host", "", "h1"), Key("VirtualMachine", "shop", "reader")]
        woken.clear()
        app._secret_changed(secrets, cloud.controller.store, woken.append, "elsewhere", "init")
        assert woken == []

    play(story)


def test_waker_waits_for_its_manager() -> None:
    class Enqueued:
        def __init__(self) -> None:
            self.keys: list[Key] = []

        def enqueue(self, key: Key) -> None:
            self.keys.append(key)

    wake, manager = app.Waker(), Enqueued()
    wake(Key("Host", "", "early"))
    wake.manager = cast("Manager", manager)
    wake(Key("Host", "", "h1"))
    assert manager.keys == [Key("Host", "", "h1")]


def test_identity_is_the_pods_name_in_a_cluster_and_unique_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app.socket, "gethostname", lambda: "node")
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    assert app._identity() != app._identity()
    assert app._identity().startswith("node-")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    assert app._identity() == "node"
