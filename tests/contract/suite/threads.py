"""Every method is safe to call from several threads at once."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from drivers.base import Connection
from drivers.types import DesiredVM, Power

from .base import ContractBase
from .binding import Binding
from .tools import Maker

THREADS = 6


def together(calls: list[Callable[[], object]]) -> list[object]:
    """Make the calls at once; raises what any of them raised."""
    with ThreadPoolExecutor(THREADS) as pool:
        return [future.result() for future in [pool.submit(call) for call in calls]]


class Threads(ContractBase):
    def test_lives_side_by_side(self, connection: Connection, make: Maker) -> None:
        vms = [make.vm() for _ in range(THREADS)]

        def live(vm: DesiredVM) -> Power:
            make.create(vm)
            make.start(vm)
            assert connection.compute.observe_all()[vm.instance].owner == vm.owner
            make.stop(vm)
            return make.power(vm)

        assert together([lambda vm=vm: live(vm) for vm in vms]) == [Power.OFF] * THREADS
        together([lambda vm=vm: make.delete(vm) for vm in vms])
        assert not {vm.instance for vm in vms} & set(connection.compute.observe_all())

    def test_one_vm_made_by_many_is_one_vm(self, binding: Binding, connection: Connection, make: Maker) -> None:
        vm = make.vm()
        together([lambda: make.create(vm)] * THREADS)
        seen = make.observe(vm)
        assert len(seen.disks) == 1
        assert connection.compute.observe_all()[vm.instance] == seen

    def test_one_vm_started_and_deleted_by_many(self, binding: Binding, make: Maker) -> None:
        vm = make.created()
        together([lambda: make.start(vm)] * THREADS)
        assert make.power(vm) is Power.ON
        together([lambda: make.delete(vm)] * THREADS)
        assert binding.leftovers(vm.instance) == set()
