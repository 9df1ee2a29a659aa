"""Storage.release_pool and list_pools: a host has no pool longer than it is wanted there, and no file is lost with it."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from drivers.base import Connection
from drivers.errors import Conflict, NotFound
from drivers.types import Done, HostID, PoolSpec

from .base import ContractBase
from .binding import Binding
from .tools import Maker, raises_ours, settle


class Releasing(ContractBase):
    """Each test leaves the binding's pool as it found it."""

    @pytest.fixture
    def second(self, binding: Binding, connection: Connection) -> Iterator[PoolSpec]:
        """A pool that the host does not have yet."""
        pool = replace(binding.pool, name="contract-second", path=f"{binding.pool.path}-second")
        connection.storage.release_pool(binding.host, pool)
        yield pool
        connection.storage.release_pool(binding.host, pool)

    def _listed(self, binding: Binding, connection: Connection) -> list[PoolSpec]:
        found = list(connection.storage.list_pools(binding.host))
        assert len({pool.name for pool in found}) == len(found)
        return found

    def test_what_was_made_is_listed_until_it_is_released(self, binding: Binding, connection: Connection, second: PoolSpec) -> None:
        before = self._listed(binding, connection)
        for _ in range(2):
            connection.storage.ensure_pool(binding.host, second)
            [made] = [pool for pool in self._listed(binding, connection) if pool not in before]
            assert made == replace(second, shared=False)
            assert connection.storage.release_pool(binding.host, made) == Done()
            assert self._listed(binding, connection) == before

    def test_a_pool_that_is_not_there_is_let_go_already(self, binding: Binding, connection: Connection, second: PoolSpec) -> None:
        before = self._listed(binding, connection)
        for path in (second.path, "", "relative/path", "/", *binding.bad_pools):
            for name in ("contract-second", "contract-bad"):
                assert connection.storage.release_pool(binding.host, PoolSpec(name, path)) == Done()
        assert self._listed(binding, connection) == before

    def test_files_stay_and_are_found_again(self, binding: Binding, connection: Connection, make: Maker) -> None:
        vm = make.created()
        binding.drop_definition(vm.instance)
        left = binding.leftovers(vm.instance)
        connection.storage.release_pool(binding.host, binding.pool)
        assert binding.leftovers(vm.instance) == left
        connection.storage.ensure_pool(binding.host, binding.pool)
        assert connection.storage.has_image(binding.host, binding.pool, binding.image.name)
        assert left

    @pytest.mark.parametrize("running", [False, True])
    def test_a_vm_keeps_the_pool_of_its_disk(self, binding: Binding, connection: Connection, make: Maker, running: bool) -> None:
        vm = make.running() if running else make.created()
        seen = make.observe(vm)
        with raises_ours(Conflict):
            connection.storage.release_pool(binding.host, binding.pool)
        assert replace(binding.pool, shared=False) in self._listed(binding, connection)
        now = make.observe(vm)
        assert (now.power, now.disks) == (seen.power, seen.disks)
        make.delete(vm)
        connection.storage.release_pool(binding.host, binding.pool)
        assert replace(binding.pool, shared=False) not in self._listed(binding, connection)
        connection.storage.ensure_pool(binding.host, binding.pool)

    def test_after_that_it_is_as_new(self, binding: Binding, connection: Connection, second: PoolSpec) -> None:
        for _ in range(2):
            connection.storage.ensure_pool(binding.host, second)
            settle(connection, lambda: connection.storage.put_image(binding.host, second, binding.image))
            connection.storage.delete_image(binding.host, second, binding.image.name)
            connection.storage.release_pool(binding.host, second)
        settle(connection, lambda: connection.storage.put_image(binding.host, binding.pool, binding.image))

    def test_pools_of_an_unknown_host_are_nowhere(self, binding: Binding, connection: Connection) -> None:
        for call in (
            lambda: connection.storage.release_pool(HostID("no-such-host.invalid"), binding.pool),
            lambda: connection.storage.list_pools(HostID("no-such-host.invalid")),
        ):
            with raises_ours(NotFound):
                call()
