"""DesiredVM → domain XML → ObservedVM keeps everything, whatever the texts in it."""

import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import libvirt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.errors import DriverError, InvalidSpec
from drivers.kvm import mark, names
from drivers.kvm.domain import memory
from drivers.kvm.domain.build import build
from drivers.kvm.domain.observe import Documents, observe
from drivers.kvm.domain.platform import ceiling
from drivers.kvm.xmltext import parse, render
from drivers.types import DesiredVM, GuestInfo, InstanceID, ObservedDisk, ObservedNIC, ObservedVM, Owner, Power
from tests.unit.kvm.fakes import HOST
from tests.unit.kvm.vms import VMS, XML_TEXT

OFF = (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_UNKNOWN)
ON = (libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_RUNNING_BOOTED)


def document(vm: DesiredVM) -> ET.Element:
    """Through text and back, as libvirt would have it."""
    seed = f"/srv/pool/{vm.instance}-seed-{vm.seed.digest[:16]}.iso" if vm.seed else ""
    return parse(render(build(vm, HOST, seed)))


def seen(vm: DesiredVM, power: Power) -> ObservedVM:
    """What must be observed of a VM that is just as it was asked for."""
    return ObservedVM(
        instance=vm.instance,
        owner=vm.owner,
        name=names.domain(vm.name, vm.instance),
        host=HOST.host,
        power=power,
        cpus=vm.cpus,
        memory=vm.memory,
        running_cpus=vm.cpus,
        running_memory=vm.memory,
        disks=tuple(
            ObservedDisk(disk.name, disk.pool.name, f"{disk.pool.path}/{vm.instance}-{disk.name}.qcow2", disk.size, disk.limits)
            for disk in vm.disks
        ),
        nics=tuple(ObservedNIC(nic.name, nic.mac, nic.network, nic.segment, nic.ip) for nic in vm.nics),
        seed_digest=vm.seed.digest if vm.seed else "",
        guest=GuestInfo(),
        foreign_devices=(),
        most_cpus=ceiling(vm.cpus, HOST.domain_type) if power is Power.ON else 0,
    )


@settings(deadline=None, max_examples=200)
@given(VMS)
def test_a_vm_that_is_off_is_seen_as_it_was_asked_for(vm: DesiredVM) -> None:
    assert observe(Documents(document(vm), None, *OFF), HOST.host) == seen(vm, Power.OFF)


@settings(deadline=None, max_examples=100)
@given(VMS)
def test_a_vm_that_runs_is_seen_as_it_was_asked_for(vm: DesiredVM) -> None:
    assert observe(Documents(document(vm), document(vm), *ON), HOST.host) == seen(vm, Power.ON)


@settings(deadline=None, max_examples=100)
@given(VMS)
def test_on_a_host_that_adds_memory_there_is_room_and_nothing_else_differs(vm: DesiredVM) -> None:
    root = parse(render(build(vm, replace(HOST, adds_memory=True))))
    room = memory.ceiling(vm.memory) if root.find("maxMemory") is not None else 0
    expected = replace(seen(replace(vm, seed=None), Power.ON), most_memory=room)
    assert observe(Documents(root, root, *ON), HOST.host) == replace(expected, seed_digest=vm.seed.digest if vm.seed else "")


@settings(deadline=None, max_examples=100)
@given(VMS)
def test_the_mark_alone_comes_back(vm: DesiredVM) -> None:
    """As libvirt takes it when only the mark is replaced: without a namespace, which libvirt puts on every element."""
    bare = parse(render(mark.build(mark.of(vm), bare=True)))
    for item in bare.iter():
        item.tag = f"{{{mark.NAMESPACE}}}{item.tag}"
    domain = ET.Element("domain")
    ET.SubElement(domain, "metadata").append(bare)
    assert mark.read(domain) == mark.of(vm)


@given(VMS, st.lists(XML_TEXT.filter(bool), max_size=20))
def test_the_restores_of_a_mark_come_back_in_their_order(vm: DesiredVM, tokens: list[str]) -> None:
    marked = replace(mark.of(vm), restored=tuple(tokens))
    root = document(vm)
    mark.write(root, marked)
    assert mark.read(parse(render(root))) == marked


@given(VMS, XML_TEXT)
def test_a_mark_of_the_version_before_has_one_restore_at_most(vm: DesiredVM, token: str) -> None:
    root = document(vm)
    [item] = root.findall(f"metadata/{{{mark.NAMESPACE}}}vm")
    item.set("restored", token)
    assert mark.read(parse(render(root))) == replace(mark.of(vm), restored=(token,) if token else ())


@settings(deadline=None, max_examples=100)
@given(VMS, st.text(max_size=30))
def test_any_text_is_kept_or_refused_and_never_becomes_markup(vm: DesiredVM, text: str) -> None:
    owner = Owner(vm.owner.uid, text, text)
    vm = replace(vm, name=text, owner=owner, nics=tuple(replace(nic, network=text) for nic in vm.nics))
    try:
        root = document(vm)
    except InvalidSpec:
        assert re.search("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", text)
        return
    found = observe(Documents(root, None, *OFF), HOST.host)
    assert found is not None
    assert (found.owner, found.name) == (owner, names.domain(text, vm.instance))
    assert {item.tag for item in root} == {item.tag for item in document(replace(vm, name="web", owner=Owner("u", "n", "w")))}


@pytest.mark.parametrize("size", [(1 << 20) + 1, 100_000_000, 128 << 20, (128 << 20) - 1])
def test_sizes_that_are_rounded_are_seen_as_asked(size: int) -> None:
    """Otherwise a caller would set them again for ever."""
    vm = DesiredVM(InstanceID("00000000-0000-4000-8000-000000000001"), "web", Owner("u", "n", "web"), 1, size, ())
    root = document(vm)
    assert int(root.findtext("memory") or 0) * 1024 >= size
    assert int(root.findtext("memory") or 0) % 1024 == 0, "QEMU wants whole MiB"
    found = observe(Documents(root, None, *OFF), HOST.host)
    assert found is not None
    assert found.memory == size


@given(st.text(max_size=300))
def test_what_is_no_domain_is_an_error_of_the_contract_or_not_ours(text: str) -> None:
    try:
        root = parse(text)
    except DriverError:
        return
    assert mark.read(root) is None
