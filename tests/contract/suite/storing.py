"""Pools and images."""

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from drivers.base import Connection
from drivers.errors import Conflict, DriverError, InvalidSpec, NotFound
from drivers.types import HostID, ImageFile, PoolSpec

from .base import ContractBase
from .binding import Binding
from .tools import Maker, eventually, raises_ours, settle

HOSTILE_NAMES = ["", ".", "..", "../escape", "a/b", "/etc/passwd", "a\0b", "new\nline", "-rf", "x" * 300]


class Storing(ContractBase):
    @pytest.fixture
    def image(self, binding: Binding, connection: Connection) -> ImageFile:
        """An image that isn't in the pool."""
        image = replace(binding.image, name="contract-other-sha256-1.qcow2")
        connection.storage.delete_image(binding.host, binding.pool, image.name)
        return image

    def test_a_pool_has_a_size(self, binding: Binding, connection: Connection) -> None:
        pool = connection.storage.ensure_pool(binding.host, binding.pool)
        assert pool.name == binding.pool.name
        assert 0 < pool.available <= pool.capacity

    def test_a_pool_that_is_there_stays(self, binding: Binding, connection: Connection) -> None:
        connection.storage.ensure_pool(binding.host, binding.pool)
        assert connection.storage.has_image(binding.host, binding.pool, binding.image.name)

    def test_what_can_t_be_a_pool_is_refused(self, binding: Binding, connection: Connection) -> None:
        for path in ("", "relative/path", "/var/lib/../lib/vireo", *binding.bad_pools):
            with raises_ours(InvalidSpec):
                connection.storage.ensure_pool(binding.host, PoolSpec("contract-bad", path))

    def test_a_refused_pool_is_not_there(self, binding: Binding, connection: Connection, image: ImageFile) -> None:
        pool = PoolSpec("contract-bad", binding.bad_pools[0])
        with raises_ours(InvalidSpec):
            connection.storage.ensure_pool(binding.host, pool)
        assert self._has(connection, binding, pool, image.name) is False
        with raises_ours(NotFound, InvalidSpec):
            settle(connection, lambda: connection.storage.put_image(binding.host, pool, image))

    def test_pools_of_an_unknown_host_are_not_found(self, binding: Binding, connection: Connection) -> None:
        with raises_ours(NotFound):
            connection.storage.ensure_pool(HostID("no-such-host.invalid"), binding.pool)

    def test_an_image_comes_and_goes(self, binding: Binding, connection: Connection, image: ImageFile) -> None:
        assert not self._has(connection, binding, binding.pool, image.name)
        self._put(connection, binding, image)
        assert self._has(connection, binding, binding.pool, image.name)
        self._put(connection, binding, image)
        assert self._has(connection, binding, binding.pool, image.name)
        connection.storage.delete_image(binding.host, binding.pool, image.name)
        assert not self._has(connection, binding, binding.pool, image.name)
        connection.storage.delete_image(binding.host, binding.pool, image.name)

    def test_a_pool_without_the_image_has_no_half_of_it(
        self, binding: Binding, connection: Connection, image: ImageFile, tmp_path: Path
    ) -> None:
        """A file that is shorter than it should be, or gone, as after a cache was cleared."""
        cut = tmp_path / "cut.qcow2"
        cut.write_bytes(Path(image.path).read_bytes()[: image.physical_size // 2])
        for path in (str(cut), str(tmp_path / "gone.qcow2"), str(tmp_path)):
            with pytest.raises(DriverError):
                settle(
                    connection,
                    lambda path=path: connection.storage.put_image(binding.host, binding.pool, replace(image, path=path)),
                )
            assert not self._has(connection, binding, binding.pool, image.name)
        self._put(connection, binding, image)
        connection.storage.delete_image(binding.host, binding.pool, image.name)

    def test_an_image_in_use_stays(self, binding: Binding, connection: Connection, make: Maker, image: ImageFile) -> None:
        self._put(connection, binding, image)
        vm = make.vm()
        vm = make.create(replace(vm, disks=(replace(vm.disks[0], image=image.name),)))
        with raises_ours(Conflict):
            connection.storage.delete_image(binding.host, binding.pool, image.name)
        assert self._has(connection, binding, binding.pool, image.name)
        make.delete(vm)
        connection.storage.delete_image(binding.host, binding.pool, image.name)
        assert not self._has(connection, binding, binding.pool, image.name)

    def test_an_image_is_in_use_by_a_disk_whose_vm_is_gone(
        self, binding: Binding, connection: Connection, make: Maker, image: ImageFile
    ) -> None:
        self._put(connection, binding, image)
        vm = make.vm()
        vm = make.create(replace(vm, disks=(replace(vm.disks[0], image=image.name),)))
        binding.drop_definition(vm.instance)
        with raises_ours(Conflict):
            connection.storage.delete_image(binding.host, binding.pool, image.name)
        make.delete(vm)
        connection.storage.delete_image(binding.host, binding.pool, image.name)

    @pytest.mark.parametrize("name", HOSTILE_NAMES)
    def test_a_hostile_image_name_is_refused(self, binding: Binding, connection: Connection, name: str) -> None:
        with raises_ours(InvalidSpec):
            settle(connection, lambda: connection.storage.put_image(binding.host, binding.pool, replace(binding.image, name=name)))
        with raises_ours(InvalidSpec):
            connection.storage.delete_image(binding.host, binding.pool, name)
        assert connection.storage.has_image(binding.host, binding.pool, binding.image.name)

    def test_two_that_put_one_image_both_succeed(self, binding: Binding, connection: Connection, image: ImageFile) -> None:
        errors: list[BaseException] = []

        def put() -> None:
            try:
                self._put(connection, binding, image)
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=put) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []
        assert self._has(connection, binding, binding.pool, image.name)
        connection.storage.delete_image(binding.host, binding.pool, image.name)

    def test_removing_images_gives_room_back(self, binding: Binding, connection: Connection, image: ImageFile) -> None:
        def lost() -> int:
            before = connection.storage.ensure_pool(binding.host, binding.pool).available
            self._put(connection, binding, image)
            connection.storage.delete_image(binding.host, binding.pool, image.name)
            return before - connection.storage.ensure_pool(binding.host, binding.pool).available

        eventually(lost, lambda room: room < image.physical_size + 64 * 1024**2)  # others may write to the same disk meanwhile

    def _put(self, connection: Connection, binding: Binding, image: ImageFile) -> None:
        settle(connection, lambda: connection.storage.put_image(binding.host, binding.pool, image))

    def _has(self, connection: Connection, binding: Binding, pool: PoolSpec, name: str) -> bool:
        return connection.storage.has_image(binding.host, pool, name)
