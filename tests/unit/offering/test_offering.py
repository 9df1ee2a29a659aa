"""Offerings are ready as they are and wait for their VMs."""

from __future__ import annotations

from tests.support.cloud import OFFERING, Cloud, play, vm


def test_ready_with_two_writes() -> None:
    async def story(cloud: Cloud) -> None:
        cloud.apply(OFFERING)
        await cloud.settle()
        assert cloud.condition("ServiceOffering", "small", "Ready") == ("True", "Available")
        assert cloud.kstatus("ServiceOffering", "small") == "Current"
        assert cloud.writes == 2, "finalizer and status"

    play(story)


def test_vms_that_come_and_go_cost_no_write() -> None:
    async def story(cloud: Cloud) -> None:
        cloud.apply(OFFERING)
        await cloud.settle()
        before = cloud.writes
        cloud.apply(vm("a"))
        cloud.apply(vm("b"))
        await cloud.settle()
        cloud.delete("VirtualMachine", "shop/a")
        await cloud.settle()
        assert cloud.writes == before

    play(story)


def test_deletion_waits_for_the_last_vm() -> None:
    async def story(cloud: Cloud) -> None:
        cloud.apply("\n---\n".join([OFFERING, vm("a"), vm("b"), vm("other", offering="large")]))
        await cloud.settle()
        cloud.delete("ServiceOffering", "small")
        await cloud.settle()
        assert "VirtualMachine/shop/a, VirtualMachine/shop/b" in cloud.message("ServiceOffering", "small", "InUse")
        cloud.delete("VirtualMachine", "shop/a")
        await cloud.settle()
        assert cloud.message("ServiceOffering", "small", "InUse").endswith("use it: VirtualMachine/shop/b")
        cloud.delete("VirtualMachine", "shop/b")
        await cloud.settle(5)
        assert not cloud.exists("ServiceOffering", "small")

    play(story)


def test_vm_that_moves_to_another_offering_lets_go() -> None:
    async def story(cloud: Cloud) -> None:
        cloud.apply("\n---\n".join([OFFERING, vm()]))
        await cloud.settle()
        cloud.delete("ServiceOffering", "small")
        await cloud.settle()
        assert cloud.exists("ServiceOffering", "small")
        cloud.apply(vm(offering="large"))
        await cloud.settle(5)
        assert not cloud.exists("ServiceOffering", "small")

    play(story)


def test_deleted_before_the_controller_saw_it() -> None:
    async def story(cloud: Cloud) -> None:
        await cloud.controller.kill()
        cloud.apply(OFFERING)
        cloud.delete("ServiceOffering", "small")
        await cloud.restart()
        await cloud.settle()
        assert not cloud.exists("ServiceOffering", "small")

    play(story)
