"""What tests of KVM hosts begin with; each module has a `binding` of its own, for the host that it connects to."""

from collections.abc import Iterator

import pytest

from drivers.base import Connection
from tests.contract.kvm_binding import KVMBinding, making, stocked
from tests.contract.suite.tools import Maker
from tests.lab import Lab, disposable


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """Two hosts, for what both of them reach."""
    with disposable() as lab:
        lab.up(hosts=2)
        yield lab


@pytest.fixture(scope="module")
def connection(binding: KVMBinding) -> Iterator[Connection]:
    """A connection to the host, whose pool has the template image."""
    with stocked(binding) as connection:
        yield connection


@pytest.fixture
def make(binding: KVMBinding, connection: Connection) -> Iterator[Maker]:
    """A maker whose VMs are gone after the test."""
    with making(binding, connection) as make:
        yield make
