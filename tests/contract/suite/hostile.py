"""Names and texts that mean harm: kept exactly or refused, with nothing left; and secrets that must not show."""

import logging
from dataclasses import replace

import pytest

from drivers.base import Connection
from drivers.errors import DriverError, InvalidSpec
from drivers.types import DesiredVM, Owner, SetSeed

from .base import ContractBase
from .binding import Binding
from .tools import Maker, raises_ours, settle

TEXTS = {
    "markup": "</name><disk type='file'/>",
    "quote": "a'b\"c",
    "ampersand": "a&amp;b&b",
    "shell": "$(touch /tmp/pwned); `id`",
    "path": "../../etc/passwd",
    "newline": "a\nb",
    "nul": "a\0b",
    "control": "a\x1b[31mb",
    "long": "x" * 253,
    "unicode": "ünïcødé-名前-🙂",
    "empty": "",
    "dash": "--help",
}


each_text = pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())


class Hostile(ContractBase):
    def _try(self, binding: Binding, connection: Connection, make: Maker, vm: DesiredVM) -> bool:
        """Whether it was taken; if not, it was refused for good and nothing stays."""
        try:
            settle(connection, lambda: connection.compute.create(binding.host, vm))
        except InvalidSpec:
            assert binding.leftovers(vm.instance) == set()
            return False
        return make.observe(vm).instance == vm.instance

    @each_text
    def test_in_the_name(self, binding: Binding, connection: Connection, make: Maker, text: str) -> None:
        self._try(binding, connection, make, replace(make.vm(), name=text))

    @each_text
    def test_in_the_owner(self, binding: Binding, connection: Connection, make: Maker, text: str) -> None:
        vm = make.vm()
        vm = replace(vm, owner=Owner(vm.owner.uid, text, text))
        if self._try(binding, connection, make, vm):
            assert make.observe(vm).owner == vm.owner

    @each_text
    def test_in_the_name_of_a_disk(self, binding: Binding, connection: Connection, make: Maker, text: str) -> None:
        vm = make.vm()
        if self._try(binding, connection, make, replace(vm, disks=(replace(vm.disks[0], name=text),))):
            assert [disk.name for disk in make.observe(vm).disks] == [text]

    @each_text
    def test_in_a_nic(self, binding: Binding, connection: Connection, make: Maker, text: str) -> None:
        vm = make.vm()
        if self._try(binding, connection, make, replace(vm, nics=(replace(vm.nics[0], name=text, network=text),))):
            assert [(nic.name, nic.network) for nic in make.observe(vm).nics] == [(text, text)]

    def test_user_data_is_in_no_text(
        self, binding: Binding, connection: Connection, make: Maker, caplog: pytest.LogCaptureFixture
    ) -> None:
        secret = "correct-horse-battery-staple"
        seed = make.seed(secret)
        with caplog.at_level(logging.DEBUG):
            vm = make.create(replace(make.vm(), seed=seed))
            settle(connection, lambda: connection.compute.apply(binding.host, vm.instance, [SetSeed(make.seed(secret + "2"))]))
            with pytest.raises(DriverError) as refused:
                connection.compute.create(binding.host, replace(make.vm(), cpus=0, seed=seed))
            seen = make.observe(vm)
            make.delete(vm)
        shown = f"{caplog.text} {vm!r} {seen!r} {refused.value!r} {refused.value} {connection!r}"
        assert secret not in shown
        password = binding.endpoint.credentials.password
        assert not password or password not in shown

    @pytest.mark.parametrize("vlan", [0, -1, 4095, 5000])
    def test_a_bad_vlan_is_refused(self, binding: Binding, connection: Connection, make: Maker, vlan: int) -> None:
        vm = make.vm()
        with raises_ours(InvalidSpec):
            settle(connection, lambda: connection.compute.create(binding.host, replace(vm, nics=(make.nic(vlan=vlan),))))
        assert binding.leftovers(vm.instance) == set()

    @pytest.mark.parametrize("mac", ["", "zz:zz:zz:zz:zz:zz", "02:00:00:00:00", "ff:ff:ff:ff:ff:ff", "<x/>"])
    def test_a_bad_mac_is_refused(self, binding: Binding, connection: Connection, make: Maker, mac: str) -> None:
        vm = make.vm()
        with raises_ours(InvalidSpec):
            settle(connection, lambda: connection.compute.create(binding.host, replace(vm, nics=(replace(vm.nics[0], mac=mac),))))
        assert binding.leftovers(vm.instance) == set()
