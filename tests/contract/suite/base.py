"""Fixtures that all parts of the suite share."""

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

import pytest

from drivers.base import Connection
from drivers.errors import DriverError
from drivers.types import Capability, DesiredVM

from .binding import Binding
from .tools import Maker, settle


@dataclass(frozen=True)
class CleaningMaker(Maker):
    """Remembers what it described, so that it can be removed after the test."""

    described: list[DesiredVM] = field(default_factory=list)

    def vm(self, *, empty: bool = False) -> DesiredVM:
        made = super().vm(empty=empty)
        self.described.append(made)
        return made


class ContractBase:
    """A connection for each class with pool and image in place, and a maker of VMs for each test."""

    def __init_subclass__(cls) -> None:
        """Refuse a test that another part of the suite would hide by its name."""
        super().__init_subclass__()
        parts = [part for part in cls.__mro__ if part is not cls]
        names = Counter(name for part in parts for name in vars(part) if name.startswith("test_"))
        if hidden := [name for name, count in names.items() if count > 1]:
            raise TypeError(f"{cls.__name__}: more than one test is named {hidden[0]}")

    @pytest.fixture(scope="class")
    @classmethod
    def connection(cls, binding: Binding) -> Iterator[Connection]:
        connection = binding.connect()
        yield connection
        connection.close()

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def image_in_pool(cls, binding: Binding, connection: Connection) -> None:
        if Capability.STORAGE in connection.capabilities:
            connection.storage.ensure_pool(binding.host, binding.pool)
            settle(connection, lambda: connection.storage.put_image(binding.host, binding.pool, binding.image))

    @pytest.fixture
    def make(self, binding: Binding, connection: Connection) -> Iterator[Maker]:
        """Makes VMs; they are gone after the test, and that is checked too."""
        maker = CleaningMaker(binding, connection)
        yield maker
        for vm in maker.described:
            with suppress(DriverError):
                maker.delete(vm)
        assert [vm.instance for vm in maker.described if binding.leftovers(vm.instance)] == []
