"""What happens to a datacentre behind Vireo's back: hosts crash, cables are cut, somebody uses the console."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from drivers.errors import InvalidSpec, NotFound, Transient
from drivers.types import Capability, Failed, HostID, InstanceID, Power

from . import interfaces, networks, storage_acts
from .datacentre import Datacentre
from .foreign import foreign_vm
from .model import VM, Host
from .power import power_off

__all__ = ["Act", "Action", "Actions"]


class Act(StrEnum):
    """What to do; the target of host acts is a host name, that of VM acts `HOST/UUID`, as of acts on what a host's pools hold.

    That of SET_LUN is `IQN@SERVER:PORT/LUN`. The value of LOSE_NETWORK and HEAL_NETWORK is a bridge, or `BRIDGE/VLAN`.
    """

    CRASH_HOST = "crash-host"
    BOOT_HOST = "boot-host"
    CUT_HOST = "cut-host"
    HEAL_HOST = "heal-host"
    LIE = "lie"
    ADD_HOST = "add-host"
    REMOVE_HOST = "remove-host"
    UNLIST_HOST = "unlist-host"
    LIST_HOST = "list-host"
    LOSE_NETWORK = "lose-network"
    HEAL_NETWORK = "heal-network"
    POWER_ON = "power-on"
    POWER_OFF = "power-off"
    PAUSE = "pause"
    CRASH_VM = "crash-vm"
    DELETE_VM = "delete-vm"
    FOREIGN_VM = "foreign-vm"
    DISOWN_VM = "disown-vm"
    RENAME_VM = "rename-vm"
    SET_CPUS = "set-cpus"
    SET_MEMORY = "set-memory"
    ADD_DEVICE = "add-device"
    REMOVE_NIC = "remove-nic"
    MOVE_NIC = "move-nic"
    REMOVE_DISK = "remove-disk"
    MOVE_VM = "move-vm"
    FAIL_DISK = "fail-disk"
    IGNORE_STOP = "ignore-stop"
    IGNORE_MEMORY = "ignore-memory"
    WRITE_DISK = "write-disk"
    DETACH_VOLUME = "detach-volume"
    SET_DISK_LIMITS = "set-disk-limits"
    DELETE_SNAPSHOT = "delete-snapshot"
    WRITE_VOLUME = "write-volume"
    DELETE_VOLUME = "delete-volume"
    DELETE_VOLUME_SNAPSHOT = "delete-volume-snapshot"
    SET_LUN = "set-lun"
    FORGET_TASKS = "forget-tasks"


_UNTOLD = frozenset({Act.SET_CPUS, Act.SET_MEMORY, Act.ADD_DEVICE, Act.REMOVE_NIC, Act.MOVE_NIC, Act.REMOVE_DISK})
"""What only Capability.DEFINITION_EVENTS tells of."""


@dataclass(frozen=True, slots=True)
class Action:
    """One act. `value` is what the act needs: a name, a count of CPUs, bytes, a host."""

    act: Act
    target: str = ""
    value: str = ""


class Actions:
    """Carries out acts on a datacentre. They need no session and heed no ownership: they are what people and hardware do."""

    def __init__(self, datacentre: Datacentre) -> None:
        self._dc = datacentre
        self._host_acts: dict[Act, Callable[[Host, str], None]] = {
            Act.CRASH_HOST: self._crash,
            Act.BOOT_HOST: lambda host, _: self._set_state(host, up=True),
            Act.CUT_HOST: lambda host, _: self._set_state(host, reachable=False),
            Act.HEAL_HOST: lambda host, _: self._set_state(host, reachable=True),
            Act.LIE: self._lie,
            Act.REMOVE_HOST: self._remove_host,
            Act.UNLIST_HOST: lambda host, _: self._set_state(host, listed=False),
            Act.LIST_HOST: lambda host, _: self._set_state(host, listed=True),
            Act.LOSE_NETWORK: lambda host, value: networks.lose(datacentre, host, value),
            Act.HEAL_NETWORK: lambda host, value: networks.heal(datacentre, host, value),
        }
        self._vm_acts: dict[Act, Callable[[VM, str], None]] = {
            Act.POWER_ON: self._power_on,
            Act.POWER_OFF: lambda vm, _: power_off(self._dc, vm),
            Act.PAUSE: self._pause,
            Act.FAIL_DISK: self._fail_disk,
            Act.CRASH_VM: lambda vm, _: power_off(self._dc, vm, Power.CRASHED),
            Act.DELETE_VM: lambda vm, _: self._dc.remove_vm(vm),
            Act.DISOWN_VM: lambda vm, _: setattr(vm, "owner", None),
            Act.RENAME_VM: lambda vm, value: setattr(vm, "name", value),
            Act.SET_CPUS: lambda vm, value: setattr(vm, "cpus", int(value)),
            Act.SET_MEMORY: lambda vm, value: setattr(vm, "memory", int(value)),
            Act.ADD_DEVICE: lambda vm, value: setattr(vm, "foreign", (*vm.foreign, value)),
            Act.REMOVE_NIC: _remove_nic,
            Act.MOVE_NIC: self._move_nic,
            Act.REMOVE_DISK: self._remove_disk,
            Act.MOVE_VM: self._move,
            Act.IGNORE_STOP: lambda vm, value: setattr(vm, "ignores_stop", value != "false"),
            Act.IGNORE_MEMORY: _ignore_memory,
            Act.WRITE_DISK: lambda vm, value: storage_acts.write_disk(datacentre, vm, value),
            Act.DETACH_VOLUME: lambda vm, value: storage_acts.detach_volume(datacentre, vm, value),
            Act.SET_DISK_LIMITS: storage_acts.set_disk_limits,
            Act.DELETE_SNAPSHOT: lambda vm, value: storage_acts.delete_snapshot(datacentre, vm, value),
        }
        self._pool_acts: dict[Act, Callable[[Datacentre, Host, str, str], None]] = {
            Act.WRITE_VOLUME: storage_acts.write_volume,
            Act.DELETE_VOLUME: storage_acts.delete_volume,
            Act.DELETE_VOLUME_SNAPSHOT: storage_acts.delete_volume_snapshot,
        }

    def do(self, action: Action) -> None:
        """Carry out an act. Raises NotFound for an unknown target, InvalidSpec for a value that makes no sense."""
        try:
            self._do(action)
        except ValueError as error:
            raise InvalidSpec(f"{action.act} {action.target}: {action.value!r} makes no sense") from error

    def _do(self, action: Action) -> None:
        if action.act is Act.FORGET_TASKS:
            self._dc.tasks.forget()
        elif action.act is Act.SET_LUN:
            storage_acts.set_lun(self._dc, action.target, action.value)
        elif action.act is Act.ADD_HOST:
            self._add_host(action.target)
        elif action.act in self._host_acts:
            self._host_acts[action.act](self._host(action.target), action.value)
        elif action.act is Act.FOREIGN_VM:
            self._foreign_vm(action.target, action.value)
        elif action.act in self._pool_acts:
            host, _, identity = action.target.partition("/")
            self._pool_acts[action.act](self._dc, self._host(host), identity, action.value)
        else:
            vm = self._vm(action.target)
            self._vm_acts[action.act](vm, action.value)
            if vm.instance in self._dc.hosts[vm.host].vms:
                self._dc.vm_changed(vm, told=action.act not in _UNTOLD or self._dc.has(Capability.DEFINITION_EVENTS))

    def _host(self, name: str) -> Host:
        if (host := self._dc.hosts.get(HostID(name))) is None:
            raise NotFound(f"no host {name!r}")
        return host

    def _vm(self, target: str) -> VM:
        host, _, instance = target.partition("/")
        if (vm := self._host(host).vms.get(InstanceID(instance))) is None:
            raise NotFound(f"no VM {instance!r} on host {host!r}")
        return vm

    # Hosts ---------------------------------------------------------------------------------------------------------

    def _add_host(self, name: str) -> None:
        if not name or "/" in name or not name.isprintable() or name in self._dc.hosts:
            raise ValueError(name)
        self._dc.add_host(HostID(name), self._dc.settings.cpus, self._dc.settings.memory)

    def _crash(self, host: Host, _: str) -> None:
        """Everything on it loses power at once, and work in progress is gone."""
        self._end_tasks(host)
        for vm in host.vms.values():
            if vm.has_power:
                power_off(self._dc, vm)
        self._set_state(host, up=False)

    def _end_tasks(self, host: Host) -> None:
        reason = Failed("the host crashed", retryable=True, native_code="SIM_HOST_CRASHED")
        self._dc.tasks.cancel(lambda subject: isinstance(subject, tuple) and subject[0] == host.host, reason)

    def _set_state(self, host: Host, *, up: bool | None = None, reachable: bool | None = None, listed: bool | None = None) -> None:
        host.up = host.up if up is None else up
        host.reachable = host.reachable if reachable is None else reachable
        host.listed = host.listed if listed is None else listed
        self._dc.host_changed(host)

    def _lie(self, host: Host, value: str) -> None:
        """`CPUS:BYTES` is what the host reports from now on; an empty value ends the lie."""
        cpus, _, memory = value.partition(":")
        host.lie_cpus = int(cpus) if cpus else None
        host.lie_memory = int(memory) if memory else None
        self._dc.host_changed(host)

    def _remove_host(self, host: Host, _: str) -> None:
        self._end_tasks(host)
        for vm in list(host.vms.values()):
            self._dc.remove_vm(vm)
        for key in [key for key in self._dc.pools if key.host == host.host]:
            self._dc.remove_pool(key)
        self._dc.host_changed(host)
        del self._dc.hosts[host.host]

    # VMs -----------------------------------------------------------------------------------------------------------

    def _power_on(self, vm: VM, _: str) -> None:
        if not vm.has_power:
            self._require_networks(vm)
        vm.power, vm.running_cpus, vm.running_memory = Power.ON, vm.cpus, vm.memory
        vm.booted, vm.starts, vm.failures = vm.guest, vm.starts + 1, {}

    def _require_networks(self, vm: VM) -> None:
        """Nobody starts a VM on a host that lacks a network of it."""
        try:
            networks.require_networks(self._dc.hosts[vm.host], vm)
        except Transient as lacking:
            raise InvalidSpec(lacking.message, native_code=lacking.native_code) from lacking

    def _pause(self, vm: VM, _: str) -> None:
        if vm.power is not Power.ON:
            raise ValueError("not running")
        vm.power, vm.failures = Power.PAUSED, {}

    def _fail_disk(self, vm: VM, value: str) -> None:
        """`NAME=error`: all that the guest writes to a disk fails; `NAME=full`: while its pool has no room; `NAME=` mends it."""
        name, _, kind = value.partition("=")
        vm.failing.pop(name, None)
        if not kind:
            return
        if kind not in ("error", "full") or name not in vm.disks or vm.power is not Power.ON:
            raise ValueError(value)
        vm.failing[name] = kind == "full"
        vm.power, vm.failures = Power.PAUSED, {name: kind == "full"}

    def _remove_disk(self, vm: VM, name: str) -> None:
        disk = vm.disks.pop(name, None)
        if disk is None:
            raise ValueError(name)
        self._dc.remove_disk(vm.instance, disk)

    def _move(self, vm: VM, target: str) -> None:
        """To another host, with its local disks."""
        host = self._host(target)
        self._dc.remove_vm(vm)
        vm.host = host.host
        networks.plug(host, vm)
        self._dc.add_vm(vm)

    def _move_nic(self, vm: VM, value: str) -> None:
        interfaces.move(vm, value)
        networks.plug(self._dc.hosts[vm.host], vm, value.partition("=")[0])

    def _foreign_vm(self, target: str, value: str) -> None:
        """A VM that somebody else made; `value` describes it, see `foreign_vm`."""
        host, _, instance = target.partition("/")
        there = self._host(host)
        if instance in there.vms:
            raise ValueError(instance)
        made = foreign_vm(there.host, InstanceID(instance), value)
        for disk in made.disks.values():
            shared = disk.pool._replace(host="")
            disk.pool = shared if shared in self._dc.pools else disk.pool
            if disk.pool in self._dc.pools:
                self._dc.add_disk(made.instance, disk)
        self._dc.made[made.instance] += 1
        self._dc.add_vm(made)


def _ignore_memory(vm: VM, value: str) -> None:
    """From now on its guest takes no memory while it runs; with "false" it takes what it was offered."""
    vm.ignores_memory = value != "false"
    if vm.offered_memory and not vm.ignores_memory:
        vm.running_memory, vm.offered_memory = vm.offered_memory, 0


def _remove_nic(vm: VM, name: str) -> None:
    if name not in vm.nics:
        raise ValueError(name)
    interfaces.detach(vm, name)
