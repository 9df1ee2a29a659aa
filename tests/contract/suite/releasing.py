"""Storage.release_pool and list_pools: a host has no pool longer than it is wanted there, and no file is lost with it."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import pytest

from drivers.base import Connection
from drivers.errors import Conflict, InvalidSpec, NotFound
from drivers.types import Done, HostID, PoolSpec

from .base import ContractBase
from .binding import Binding
from .tools import Maker, raises_ours, settle

ONE, OTHER = "a3c1b2de-0000-4000-8000-00000000000a", "a3c1b2de-0000-4000-8000-00000000000b"
"""Two clouds."""


class Releasing(ContractBase):
    """Each test leaves the binding's pool as it found it."""

    @pytest.fixture
    def second(self, binding: Binding, connection: Connection) -> Iterator[PoolSpec]:
        """A pool that the host does not have yet; on NFS it is the same export elsewhere."""
        pool = replace(binding.pool, name="contract-second", path=f"{binding.pool.path}-second")
        connection.storage.release_pool(binding.host, pool)
        yield pool
        connection.storage.release_pool(binding.host, pool)
        settle(connection, lambda: connection.storage.put_image(binding.host, binding.pool, binding.image))

    @pytest.fixture
    def one(self, binding: Binding) -> Iterator[Connection]:
        """A connection of one cloud."""
        with closing(binding.connect(ONE)) as connection:
            yield connection

    @pytest.fixture
    def other(self, binding: Binding) -> Iterator[Connection]:
        """A connection of another cloud to the same endpoint."""
        with closing(binding.connect(OTHER)) as connection:
            yield connection

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

    def test_pools_of_an_unknown_host_are_nowhere(self, binding: Binding, connection: Connection) -> None:
        for call in (
            lambda: connection.storage.release_pool(HostID("no-such-host.invalid"), binding.pool),
            lambda: connection.storage.list_pools(HostID("no-such-host.invalid")),
        ):
            with raises_ours(NotFound):
                call()

    def test_what_was_let_go_is_not_used(self, binding: Binding, connection: Connection, second: PoolSpec) -> None:
        """Whatever is still in it."""
        storage = connection.storage
        storage.ensure_pool(binding.host, second)
        settle(connection, lambda: storage.put_image(binding.host, second, binding.image))
        storage.release_pool(binding.host, second)
        assert not storage.has_image(binding.host, second, binding.image.name)
        for call in (
            lambda: storage.put_image(binding.host, second, binding.image),
            lambda: storage.list_files(binding.host, second),
        ):
            with raises_ours(NotFound):
                call()
        storage.ensure_pool(binding.host, second)
        assert storage.has_image(binding.host, second, binding.image.name)
        storage.delete_image(binding.host, second, binding.image.name)

    def test_a_vm_has_no_disk_in_what_was_let_go(
        self, binding: Binding, connection: Connection, make: Maker, second: PoolSpec
    ) -> None:
        connection.storage.ensure_pool(binding.host, second)
        settle(connection, lambda: connection.storage.put_image(binding.host, second, binding.image))
        connection.storage.release_pool(binding.host, second)
        vm = make.vm()
        with raises_ours(NotFound):
            make.create(replace(vm, disks=tuple(replace(disk, pool=second) for disk in vm.disks)))
        assert vm.instance not in connection.compute.observe_all()
        connection.storage.ensure_pool(binding.host, second)
        connection.storage.delete_image(binding.host, second, binding.image.name)

    def test_a_pool_of_another_cloud_is_used_and_neither_listed_nor_let_go(
        self, binding: Binding, one: Connection, other: Connection, second: PoolSpec
    ) -> None:
        one.storage.ensure_pool(binding.host, second)
        for pool in (second, replace(second, name="contract-third")):
            for _ in range(2):
                other.storage.ensure_pool(binding.host, pool)
                settle(other, lambda pool=pool: other.storage.put_image(binding.host, pool, binding.image))  # type: ignore[misc]
                assert replace(second, shared=False) not in self._listed(binding, other)
                assert other.storage.release_pool(binding.host, pool) == Done()
                assert replace(second, shared=False) in self._listed(binding, one)
                assert one.storage.has_image(binding.host, second, binding.image.name)
        one.storage.delete_image(binding.host, second, binding.image.name)
        one.storage.release_pool(binding.host, second)
        assert replace(second, shared=False) not in self._listed(binding, one)

    def test_a_pool_that_another_cloud_lets_go_is_made_again(
        self, binding: Binding, one: Connection, other: Connection, second: PoolSpec
    ) -> None:
        one.storage.ensure_pool(binding.host, second)
        other.storage.ensure_pool(binding.host, second)
        one.storage.release_pool(binding.host, second)
        other.storage.ensure_pool(binding.host, second)
        assert replace(second, shared=False) in self._listed(binding, other)
        one.storage.release_pool(binding.host, second)
        assert replace(second, shared=False) in self._listed(binding, other)
        other.storage.release_pool(binding.host, second)

    def test_a_name_that_another_cloud_has_elsewhere_is_refused(
        self, binding: Binding, one: Connection, other: Connection, second: PoolSpec
    ) -> None:
        one.storage.ensure_pool(binding.host, second)
        elsewhere = replace(second, path=f"{second.path}-elsewhere", nfs=None)
        for _ in range(2):
            with raises_ours(InvalidSpec) as caught:
                other.storage.ensure_pool(binding.host, elsewhere)
            assert second.name in caught.value.message
        assert replace(second, shared=False) in self._listed(binding, one)
        one.storage.release_pool(binding.host, second)
        other.storage.ensure_pool(binding.host, elsewhere)
        other.storage.release_pool(binding.host, elsewhere)

    def test_a_pool_from_before_clouds_were_told_apart_is_each_cloud_s(
        self, binding: Binding, connection: Connection, one: Connection, other: Connection, second: PoolSpec
    ) -> None:
        """So it is let go as it was then; made again, it is that of the cloud that did so."""
        connection.storage.ensure_pool(binding.host, second)
        place = replace(second, shared=False)
        assert all(place in self._listed(binding, each) for each in (connection, one, other))
        one.storage.ensure_pool(binding.host, second)
        one.storage.release_pool(binding.host, second)
        one.storage.ensure_pool(binding.host, second)
        assert [place in self._listed(binding, each) for each in (connection, one, other)] == [False, True, False]
        one.storage.release_pool(binding.host, second)
