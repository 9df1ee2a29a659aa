"""The controller process against a real API server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from standalone.plane import ControlPlane
from tests.kubectl import Kubectl
from tests.unit.runtime.world import Outside, WidgetReconciler

from .kubewidgets import FINALIZER, controller, eventually, manifest, ready, widget


@pytest.fixture
def group(kubectl: Kubectl, unique: str) -> Iterator[str]:
    name = f"{unique}.example.com"
    kubectl.apply(manifest(name))
    kubectl("wait", "--for=condition=Established", "--timeout=60s", f"crd/widgets.{name}")
    yield name
    kubectl("delete", "crd", f"widgets.{name}", "--wait=false")


async def test_a_widget_lives_and_dies(plane: ControlPlane, kubectl: Kubectl, group: str, namespace: str) -> None:
    outside = Outside()
    kind = f"widgets.{group}"

    def get(name: str) -> Any:
        return kubectl.json("get", kind, name, "-n", namespace)

    kubectl.apply(widget(group, namespace, "early", size=1))
    async with controller(plane.kubeconfig, group, lambda _: [WidgetReconciler(outside)], lease=group) as running:
        await eventually(lambda: ready(get("early")))
        kubectl.apply(widget(group, namespace, "late", size=2))
        await eventually(lambda: ready(get("late")))
        late = get("late")
        assert late["metadata"]["finalizers"] == [FINALIZER]
        assert late["status"]["size"] == 2
        assert outside.sizes[late["metadata"]["uid"]] == 2
        assert running.metric("vireo_object_writes_total", kind="Widget", what="status") == 4
        await asyncio.to_thread(kubectl, "delete", kind, "late", "-n", namespace, "--timeout=30s")
        assert late["metadata"]["uid"] not in outside.sizes
        await eventually(lambda: [key.name for key, _ in outside.forgotten] == ["late"])
        await running.finish()
    assert outside.overlaps == 0
