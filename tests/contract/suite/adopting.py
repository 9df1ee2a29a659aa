"""VMs that others made: found as they are, taken over and let go of without a change to what runs."""

import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from drivers.adoption import AdoptedDisk, Adoption, FoundVM
from drivers.base import Connection
from drivers.errors import Conflict, InvalidSpec, NotFound
from drivers.types import DesiredNIC, DesiredVM, DetachNIC, Firmware, GrowDisk, InstanceID, Owner, Power, Segment, SetCPUs, StopMode

from .base import ContractBase
from .binding import UnmanagedBinding
from .tools import MIB, Maker, raises_ours, settle

MAC = "52:54:00:00:0a:01"
OTHER_MAC = "52:54:00:00:0a:02"
SIZE = 4 * MIB
"""Bytes of the first disk of such a VM."""


class Adopting(ContractBase):
    @pytest.fixture
    def there(self, binding: UnmanagedBinding, connection: Connection) -> Iterator[FoundVM]:
        """A VM that somebody else made, running."""
        instance = InstanceID(str(uuid.uuid4()))
        binding.make_unmanaged_vm(instance, MAC, OTHER_MAC, SIZE)
        yield self.look(connection, instance)
        binding.remove_unmanaged_vm(instance)

    def look(self, connection: Connection, instance: InstanceID) -> FoundVM:
        [found] = connection.adoption.find(instance)
        return found

    def adoption(self, binding: UnmanagedBinding, found: FoundVM, uid: str = "uid-1") -> Adoption:
        """The first disk in the pool, all others noted, the first NIC."""
        first, *others = found.disks
        disks = [AdoptedDisk("root", first.device, first.path, binding.pool.name, first.size)]
        disks += [AdoptedDisk(disk.device, disk.device, disk.path, "", disk.size) for disk in others]
        nic = DesiredNIC("front", MAC, "shop/front", Segment(10), binding.attachment, "10.1.0.20")
        return Adoption(Owner(uid, "shop", "web"), tuple(disks), (nic,))

    @pytest.fixture
    def adopted(self, binding: UnmanagedBinding, connection: Connection, there: FoundVM) -> FoundVM:
        """The same, taken over."""
        self.adopt(binding, connection, there)
        return there

    def adopt(self, binding: UnmanagedBinding, connection: Connection, found: FoundVM, uid: str = "uid-1") -> None:
        wanted = self.adoption(binding, found, uid)
        settle(connection, lambda: connection.adoption.adopt(binding.host, found.instance, wanted))

    def disown(self, binding: UnmanagedBinding, connection: Connection, found: FoundVM, uid: str = "uid-1") -> None:
        settle(connection, lambda: connection.adoption.disown(binding.host, found.instance, uid))

    def test_a_vm_is_found_as_it_is(self, binding: UnmanagedBinding, there: FoundVM) -> None:
        assert (there.host, there.power, there.owner, there.firmware) == (binding.host, Power.ON, None, Firmware.BIOS)
        assert (there.cpus, there.memory, there.running_cpus, there.running_memory) == (1, binding.memory, 1, binding.memory)
        first, second, *_ = there.disks
        assert (first.size, first.exclusive, first.path.rpartition("/")[0]) == (SIZE, True, binding.pool.path)
        assert second.path.rpartition("/")[0] != binding.pool.path
        assert [nic.mac for nic in there.nics] == [MAC, OTHER_MAC]
        assert there.nics[0].segment == Segment(10)
        assert there.nics[0].attachment in (None, binding.attachment)

    def test_one_that_vireo_made_is_found_with_its_owner(self, connection: Connection, make: Maker) -> None:
        vm = make.created()
        found = self.look(connection, vm.instance)
        assert (found.owner, found.power) == (vm.owner, Power.OFF)

    def test_one_that_is_nowhere_is_not_found(self, connection: Connection) -> None:
        assert not connection.adoption.find(InstanceID(str(uuid.uuid4())))

    @pytest.mark.parametrize("text", ["", "web", "../../etc", "5F3C0000-0000-5000-8000-000000000000"])
    def test_text_that_is_no_uuid_is_refused(self, connection: Connection, text: str) -> None:
        with raises_ours(InvalidSpec):
            connection.adoption.find(InstanceID(text))

    def test_only_the_mark_comes(self, binding: UnmanagedBinding, connection: Connection, there: FoundVM) -> None:
        before = binding.essence(there.instance)
        self.adopt(binding, connection, there)
        assert binding.essence(there.instance) == before
        seen = connection.compute.observe(binding.host, there.instance)
        assert (seen.owner, seen.power, seen.cpus) == (Owner("uid-1", "shop", "web"), Power.ON, 1)
        root = next(disk for disk in seen.disks if disk.name == "root")
        assert (root.pool, root.volume_id, root.size) == (binding.pool.name, there.disks[0].path, SIZE)
        assert [(nic.name, nic.mac, nic.network, nic.segment, nic.ip) for nic in seen.nics] == [
            ("front", MAC, "shop/front", Segment(10), "10.1.0.20")
        ]
        assert seen.foreign_devices == (OTHER_MAC,)
        assert connection.compute.observe_all()[there.instance].owner == seen.owner
        assert self.look(connection, there.instance).owner == seen.owner

    def test_again_is_success_and_another_owner_is_not(
        self, binding: UnmanagedBinding, connection: Connection, adopted: FoundVM
    ) -> None:
        self.adopt(binding, connection, adopted)
        with raises_ours(Conflict):
            connection.adoption.adopt(binding.host, adopted.instance, self.adoption(binding, adopted, "uid-2"))
        assert connection.compute.observe(binding.host, adopted.instance).owner.uid == "uid-1"

    def test_one_that_vireo_made_is_not_adopted_by_another(
        self, binding: UnmanagedBinding, connection: Connection, make: Maker
    ) -> None:
        vm = make.created()
        with raises_ours(Conflict):
            connection.adoption.adopt(binding.host, vm.instance, Adoption(Owner("uid-2", "shop", "other")))
        with raises_ours(Conflict):
            connection.adoption.disown(binding.host, vm.instance, vm.owner.uid)
        assert make.observe(vm).owner == vm.owner

    def test_a_mark_is_swapped_for_the_one_that_it_is_said_to_be_and_for_no_other(
        self, binding: UnmanagedBinding, connection: Connection, there: FoundVM
    ) -> None:
        before, wanted = binding.essence(there.instance), self.adoption(binding, there, "uid-2")
        with raises_ours(Conflict):
            connection.adoption.adopt(binding.host, there.instance, replace(wanted, replaces="uid-1"))
        assert self.look(connection, there.instance).owner is None
        self.adopt(binding, connection, there)
        for other in ("", "uid-3"):
            with raises_ours(Conflict):
                connection.adoption.adopt(binding.host, there.instance, replace(wanted, replaces=other))
        assert self.look(connection, there.instance).owner == Owner("uid-1", "shop", "web")
        wanted = replace(self.adoption(binding, self.look(connection, there.instance), "uid-2"), replaces="uid-1")
        for _ in range(2):
            settle(connection, lambda: connection.adoption.adopt(binding.host, there.instance, wanted))
        assert self.look(connection, there.instance).owner == Owner("uid-2", "shop", "web")
        assert binding.essence(there.instance) == before
        self.disown(binding, connection, there, "uid-1")
        assert self.look(connection, there.instance).owner == Owner("uid-2", "shop", "web")
        self.disown(binding, connection, there, "uid-2")
        assert binding.essence(there.instance) == before

    def take_back(self, binding: UnmanagedBinding, connection: Connection, vm: DesiredVM, owner: Owner) -> FoundVM:
        """Have another owner in the mark of a VM that Vireo made."""
        found = self.look(connection, vm.instance)
        root, nic = found.disks[0], replace(vm.nics[0], name="again")
        disks = (AdoptedDisk("root", root.device, root.path, binding.pool.name, root.size),)
        wanted = Adoption(owner, disks, (nic,), replaces=vm.owner.uid)
        settle(connection, lambda: connection.adoption.adopt(binding.host, vm.instance, wanted))
        return found

    @pytest.mark.parametrize("running", [False, True])
    def test_one_that_vireo_made_gets_another_owner_and_nothing_else(
        self, binding: UnmanagedBinding, connection: Connection, make: Maker, running: bool
    ) -> None:
        vm = make.running() if running else make.created()
        seen, before, owner = make.observe(vm), binding.essence(vm.instance), Owner("uid-2", "shop", "other")
        found = self.take_back(binding, connection, vm, owner)
        assert [(disk.path.rpartition("/")[0], disk.exclusive) for disk in found.disks] == [(binding.pool.path, True)]
        assert [(nic.name, nic.mac, nic.ip, nic.segment) for nic in found.nics] == [
            (nic.name, nic.mac, nic.ip, nic.segment) for nic in vm.nics
        ]
        assert found.volumes == ()
        nics = tuple(replace(nic, name="again") for nic in seen.nics)
        now = make.observe(vm)
        assert now == replace(seen, owner=owner, nics=nics, name=now.name, guest=now.guest)
        assert binding.essence(vm.instance) == before
        connection.adoption.disown(binding.host, vm.instance, vm.owner.uid)
        assert make.observe(vm).owner == owner

    def test_it_is_changed_from_then_on_and_goes_with_all_that_was_made_for_it(
        self, binding: UnmanagedBinding, connection: Connection, make: Maker
    ) -> None:
        vm = make.created()
        size = make.observe(vm).disks[0].size
        self.take_back(binding, connection, vm, Owner("uid-2", "shop", "other"))
        changes = [SetCPUs(2), GrowDisk("root", 2 * size), DetachNIC("again")]
        settle(connection, lambda: connection.compute.apply(binding.host, vm.instance, changes))
        make.start(vm)
        seen = make.observe(vm)
        assert (seen.power, seen.running_cpus, seen.nics, seen.disks[0].size) == (Power.ON, 2, (), 2 * size)
        assert binding.leftovers(vm.instance) != set()
        make.delete(vm)
        assert binding.leftovers(vm.instance) == set()

    def test_it_is_let_go_of_and_found_again(self, binding: UnmanagedBinding, connection: Connection, make: Maker) -> None:
        vm = make.created()
        found = self.take_back(binding, connection, vm, Owner("uid-2", "shop", "other"))
        self.disown(binding, connection, found, "uid-2")
        again = self.look(connection, vm.instance)
        assert (again.owner, again.disks[0]) == (None, found.disks[0])
        assert [(nic.mac, nic.segment, nic.name, nic.ip) for nic in again.nics] == [
            (nic.mac, nic.segment, "", "") for nic in found.nics
        ]
        root = AdoptedDisk("root", again.disks[0].device, again.disks[0].path, binding.pool.name, again.disks[0].size)
        wanted = Adoption(vm.owner, (root,), vm.nics)
        settle(connection, lambda: connection.adoption.adopt(binding.host, vm.instance, wanted))

    def test_one_that_changed_since_it_was_found_is_not_adopted(
        self, binding: UnmanagedBinding, connection: Connection, there: FoundVM
    ) -> None:
        wanted = self.adoption(binding, there)
        elsewhere = replace(wanted.disks[0], path=f"{binding.pool.path}/other.img")
        for changed in (
            replace(wanted, disks=(elsewhere,)),
            replace(wanted, disks=(replace(wanted.disks[0], device="vdq"),)),
            replace(wanted, nics=(replace(wanted.nics[0], mac="52:54:00:00:0a:09"),)),
        ):
            with raises_ours(Conflict):
                connection.adoption.adopt(binding.host, there.instance, changed)
        assert self.look(connection, there.instance).owner is None

    def test_one_that_is_gone_is_not_adopted(self, binding: UnmanagedBinding, connection: Connection) -> None:
        with raises_ours(NotFound):
            connection.adoption.adopt(binding.host, InstanceID(str(uuid.uuid4())), Adoption(Owner("uid-1", "shop", "web")))

    def test_only_the_mark_goes(self, binding: UnmanagedBinding, connection: Connection, there: FoundVM) -> None:
        before = binding.essence(there.instance)
        self.adopt(binding, connection, there)
        self.disown(binding, connection, there, "uid-2")
        assert self.look(connection, there.instance).owner == Owner("uid-1", "shop", "web")
        self.disown(binding, connection, there)
        assert binding.essence(there.instance) == before
        assert self.look(connection, there.instance).owner is None
        assert there.instance not in connection.compute.observe_all()
        with raises_ours(Conflict):
            connection.compute.observe(binding.host, there.instance)
        self.disown(binding, connection, there)

    def test_letting_go_of_one_that_is_gone_is_success(self, binding: UnmanagedBinding, connection: Connection) -> None:
        settle(connection, lambda: connection.adoption.disown(binding.host, InstanceID(str(uuid.uuid4())), "uid-1"))

    def test_from_then_on_it_is_changed_like_any_other(
        self, binding: UnmanagedBinding, connection: Connection, adopted: FoundVM
    ) -> None:
        host, instance = binding.host, adopted.instance
        settle(connection, lambda: connection.power.stop(host, instance, StopMode.HARD))
        settle(connection, lambda: connection.compute.apply(host, instance, [SetCPUs(2), GrowDisk("root", 2 * SIZE)]))
        settle(connection, lambda: connection.compute.apply(host, instance, [DetachNIC("front")]))
        settle(connection, lambda: connection.power.start(host, instance))
        seen = connection.compute.observe(host, instance)
        assert (seen.power, seen.cpus, seen.running_cpus, seen.nics) == (Power.ON, 2, 2, ())
        assert next(disk.size for disk in seen.disks if disk.name == "root") == 2 * SIZE
        assert self.look(connection, instance).disks[0].size == 2 * SIZE

    def test_deleted_with_its_disk_in_a_pool_and_with_nothing_else(
        self, binding: UnmanagedBinding, connection: Connection, adopted: FoundVM
    ) -> None:
        delete = connection.compute.delete
        settle(connection, lambda: delete(binding.host, adopted.instance, [binding.pool]))
        assert binding.unmanaged_disks(adopted.instance) == {adopted.disks[1].path}
        assert not connection.adoption.find(adopted.instance)
        settle(connection, lambda: delete(binding.host, adopted.instance, [binding.pool]))

    def test_a_disk_that_another_vm_has_keeps_it(self, binding: UnmanagedBinding, connection: Connection, adopted: FoundVM) -> None:
        other = InstanceID(str(uuid.uuid4()))
        before = binding.essence(adopted.instance)
        binding.share_disk(adopted.disks[0].path, other)
        try:
            with raises_ours(Conflict):
                connection.compute.delete(binding.host, adopted.instance, [binding.pool])
            assert binding.essence(adopted.instance) == before
        finally:
            binding.drop_definition(other)

    @pytest.mark.parametrize("call", ["find", "adopt", "disown"])
    def test_a_host_that_the_endpoint_has_not(
        self, binding: UnmanagedBinding, connection: Connection, there: FoundVM, call: str
    ) -> None:
        """Finding names no host; the others refuse one that is not there."""
        calls: dict[str, Callable[[], object]] = {
            "adopt": lambda: connection.adoption.adopt(other, there.instance, self.adoption(binding, there)),
            "disown": lambda: connection.adoption.disown(other, there.instance, "uid-1"),
        }
        other = type(binding.host)("nobody")
        if call in calls:
            with raises_ours(NotFound):
                calls[call]()
        assert self.look(connection, there.instance).owner is None
