"""A connection to the API server that serves Vireo's CRDs."""

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from crds.base import API_VERSION, Resource
from standalone.plane import ControlPlane
from tests.crds.api import Api, Object
from tests.kubectl import Kubectl

Make = Callable[[type[Resource], Any], Object]


@pytest.fixture(scope="session")
def api(plane: ControlPlane, crds: list[str]) -> Iterator[Api]:
    """The administrator's connection, the CRDs being there."""
    connection = Api(plane.kubeconfig)
    yield connection
    connection.close()


@pytest.fixture(scope="session")
def shelf(kubectl: Kubectl, crds: list[str]) -> Iterator[str]:
    """A namespace for the tests here, the CRDs being there: a hundred short-lived objects need no namespace each."""
    name = f"crds-{uuid.uuid4().hex[:10]}"
    kubectl("create", "namespace", name)
    yield name
    kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def make(shelf: str, unique: str) -> Make:
    """Makes manifests by kind and spec, under a name that no other test uses."""

    def manifest(kind: type[Resource], spec: Any) -> Object:
        where = {"namespace": shelf} if kind.DEFINITION.scope == "Namespaced" else {}
        return {"apiVersion": API_VERSION, "kind": kind.KIND, "metadata": {"name": unique, **where}, "spec": spec}

    return manifest
