"""Labs of the lab's own tests."""

from collections.abc import Iterator
from pathlib import Path

import libvirt
import pytest

from tests.lab import Lab, disposable
from tests.lab.shell import run


@pytest.fixture(scope="session", autouse=True)
def quiet_libvirt() -> None:
    """Its errors are raised; they need not be printed too."""
    libvirt.registerErrorHandler(lambda _context, _error: None, None)


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """A lab of two hosts with Open vSwitch for the tests of one file; leave its hosts on."""
    with disposable() as lab:
        lab.up(hosts=2)
        yield lab


@pytest.fixture
def new_lab() -> Iterator[Lab]:
    """A lab of the test's own, not up yet."""
    with disposable() as lab:
        yield lab


@pytest.fixture(scope="session")
def ssh_key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """File of a private key; the public one is beside it."""
    path = tmp_path_factory.mktemp("ssh") / "key"
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "tester@example", "-f", str(path))
    return path
