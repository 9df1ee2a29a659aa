"""Hosts connect, lose contact and come back; their status says so, once."""

from __future__ import annotations

import pytest

from drivers.errors import AuthFailed, InvalidSpec, Transient, Unsupported
from tests.support.cloud import BASE, CLUSTER, FINALIZER, GIVEN, HOST, OFFERING, POD, ZONE, Cloud, play, vm
from tests.support.hypervisors import GIB, Hang, Hypervisor, host

PLACE = "\n---\n".join([ZONE, POD, CLUSTER])
DISABLED = HOST.replace("cluster: c1", "cluster: c1, adminState: Disabled")


def facets(cloud: Cloud, name: str = "h1") -> dict[str, str]:
    found = {type: cloud.condition("Host", name, type) for type in ("Ready", "Connected", "Schedulable", "Supported")}
    return {type: f"{condition[0]} {condition[1]}" for type, condition in found.items() if condition}


def test_first_contact_tells_all_and_adds_the_finalizer() -> None:
    async def story(cloud: Cloud) -> None:
        cloud.hypervisors["fake://h1"] = Hypervisor(host(cpus=8, memory=32 * GIB))
        cloud.apply("\n---\n".join([PLACE, HOST]))
        await cloud.settle()
        status = cloud.status("Host", "h1")
        assert (status["state"], status["resourceState"]) == ("Up", "Enabled")
        assert (status["nativeID"], status["hypervisor"], status["version"]) == ("id-h1", "fake", "1.0")
        assert status["capacity"] == {"cpus": 8, "memory": "32Gi"}
        assert status["allocatable"] == {"cpus": 16, "memory": "48Gi"}, "overcommit 2 and 1.5"
        assert "GuestAgent" in status["capabilities"]
        assert facets(cloud) == {
            "Ready": "True Up",
            "Connected": "True Connected",
            "Schedulable": "True Up",
            "Supported": "True Supported",
        }
        assert cloud.raw("Host", "h1")["metadata"]["finalizers"] == [FINALIZER]
        assert cloud.events("h1") == ["Connected"]

    play(story)


def test_at_rest_nothing_is_written() -> None:
    async def story(cloud: Cloud) -> None:
        cloud.hypervisors["fake://h1"] = Hypervisor(host())
        cloud.apply(BASE)
        await cloud.settle()
        before = cloud.writes
        await cloud.settle(7200)
        assert cloud.writes == before

    play(story)


@pytest.mark.parametrize("capabilities", [True, False], ids=["events", "no events"])
def test_restart_of_the_controller_writes_nothing(capabilities: bool) -> None:
    async def story(cloud: Cloud) -> None:
        cloud.hypervisors["fake://h1"] = Hypervisor(host()) if capabilities else Hypervisor(host(), capabilities=frozenset())
        cloud.apply(BASE)
        cloud.apply(HOST.replace("h1", "dead"))
        await cloud.settle(120)
        before = cloud.writes
        await cloud.restart()
        await cloud.settle(600)
        assert cloud.writes == before

    play(story)


def test_no_answer_at_first_contact_is_in_progress_without_finalizer() -> None:
    async def story(cloud: Cloud) -> None:
        cloud.apply("\n---\n".join([PLACE, HOST]))
        await cloud.settle()
        assert cloud.status("Host", "h1")["state"] == "Alert"
        assert facets(cloud)["Ready"] == "False HypervisorUnavailable"
        assert facets(cloud)["Schedulable"] == "False HypervisorUnavailable"
        assert cloud.kstatus("Host", "h1") == "InProgress"
        assert not cloud.raw("Host", "h1")["metadata"].get("finalizers")
        written = cloud.writes
        await cloud.settle(3600)
        assert cloud.writes == written, "the same news is not written again"
        cloud.hypervisors["fake://h1"] = Hypervisor(host())
        await cloud.settle(60)
        assert cloud.status("Host", "h1")["state"] == "Up"

    play(story)


def test_while_the_first_attempt_is_under_way_it_is_connecting() -> None:
    async def story(cloud: Cloud) -> None:
        hypervisor = cloud.hypervisors["fake://h1"] = Hypervisor(host())
        hypervisor.faults["connect"] = Hang()
        cloud.apply("\n---\n".join([PLACE, HOST]))
        await cloud.settle(3)
        assert cloud.status("Host", "h1")["state"] == "Connecting"
        assert facets(cloud)["Ready"] == "False Connecting"
        assert facets(cloud)["Connected"] == "False Connecting"
        assert facets(cloud)["Schedulable"] == "False Connecting"
        assert cloud.kstatus("Host", "h1") == "InProgress"
        await cloud.settle(120)
        assert cloud.status("Host", "h1")["state"] == "Alert"
        hypervisor.faults.clear()
        await cloud.settle(120)
        assert cloud.status("Host", "h1")["state"] == "Up"
        told = [raw["status"].get("state") for raw in cloud.api.history if raw["kind"] == "Host" and "status" in raw]
        assert [state for state, before in zip(told, [None, *told], strict=False) if state != before] == [
            "Connecting",
            "Alert",
            "Up",
        ]

    play(story)


@pytest.mark.parametrize("fault", [Transient("connection lost"), Hang()], ids=["lost", "hanging"])
def test_contact_lost_and_found(fault: Exception) -> None:
    async def story(cloud: Cloud) -> None:
        hypervisor = cloud.hypervisors["fake://h1"] = Hypervisor(host())
        cloud.apply("\n---\n".join([PLACE, HOST]))
        await cloud.settle()
        hypervisor.faults["*"] = fault
        await cloud.settle(200)
        assert cloud.status("Host", "h1")["state"] == "Alert"
        assert facets(cloud)["Connected"] == "False HypervisorUnavailable"
        assert facets(cloud)["Schedulable"].startswith("False")
        assert cloud.status("Host", "h1")["nativeID"] == "id-h1", "what was learnt stays"
        hypervisor.faults.clear()
        await cloud.settle(90)
        assert facets(cloud)["Ready"] == "True Up"
        assert cloud.events("h1") == ["Connected", "ConnectionLost"]
        assert [count for _, count in cloud.api.repeats] == [2], "connected for the second time"

    play(story)


def test_a_single_slow_answer_does_not_flap() -> None:
    async def story(cloud: Cloud) -> None:
        hypervisor = cloud.hypervisors["fake://h1"] = Hypervisor(host())
        cloud.apply("\n---\n".join([PLACE, HOST]))
        await cloud.settle()
        before = cloud.writes

        def recover() -> None:
            if "list_hosts" in hypervisor.faults:
                hypervisor.before["list_hosts"] = hypervisor.faults.clear

        hypervisor.faults["list_hosts"] = Transient("slow")
        hypervisor.before["list_hosts"] = recover
        await cloud.settle()
        assert not hypervisor.faults, "the failing call was made"
        assert cloud.writes == before

    play(story)


def test_host_that_its_endpoint_calls_down() -> None:
    async def story(cloud: Cloud) -> None:
        hypervisor = cloud.hypervisors["fake://h1"] = Hypervisor(host())
        cloud.apply("\n---\n".join([PLACE, HOST]))
        await cloud.settle()
        hypervisor.set_host("h1", up=False, message="in maintenance mode")
        await cloud.settle()
        assert cloud.status("Host", "h1")["state"] == "Down"
        assert facets(cloud)["Connected"] == "False HostDown"
        assert cloud.message("Host", "h1") == "in maintenance mode"

    play(story)


def test_disabled_is_healthy_and_gets_no_vms() -> None:
    async def story(cloud: Cloud) -> None:
        cloud.hypervisors["fake://h1"] = Hypervisor(host())
        cloud.apply("\n---\n".join([PLACE, DISABLED]))
        await cloud.settle()
        assert facets(cloud)["Ready"] == "True Disabled"
        assert facets(cloud)["Schedulable"] == "False Disabled"
        assert cloud.status("Host", "h1")["resourceState"] == "Disabled"
        assert cloud.kstatus("Host", "h1") == "Current"
        cloud.apply(DISABLED.replace("Disabled", "Enabled"))
        await cloud.settle(5)
        assert facets(cloud)["Schedulable"] == "True Up"

    play(story)


@pytest.mark.parametrize(
    ("fault", "reason", "supported"),
    [
        (InvalidSpec("not a URL of this driver"), "RefusedByHypervisor", None),
        (Unsupported("libvirt 4 is too old"), "Unsupported", ("False", "Unsupported")),
    ],
)
def test_endpoint_that_will_never_do_is_stalled(fault: Exception, reason: str, supported: tuple[str, str] | None) -> None:
    async def story(cloud: Cloud) -> None:
        hypervisor = cloud.hypervisors["fake://h1"] = Hypervisor(host())
        hypervisor.faults["connect"] = fault
        cloud.apply("\n---\n".join([PLACE, HOST]))
        await cloud.settle()
        assert cloud.kstatus("Host", "h1") == "Failed"
        assert cloud.condition("Host", "h1", "Stalled") == ("True", reason)
        assert cloud.condition("Host", "h1", "Supported") == supported
        assert cloud.status("Host", "h1")["state"] == "Error"

    play(story)


def test_what_is_said_of_a_version_is_not_said_for_ever() -> None:
    async def story(cloud: Cloud) -> None:
        hypervisor = cloud.hypervisors["fake://h1"] = Hypervisor(host())
        hypervisor.faults["connect"] = Unsupported("libvirt 4 is too old")
        cloud.apply("\n---\n".join([PLACE, HOST]))
        await cloud.settle()
        assert "libvirt 4" in cloud.message("Host", "h1", "Supported")
        hypervisor.faults["connect"] = AuthFailed("another password by now")
        await cloud.settle(600)
        assert cloud.condition("Host", "h1", "Supported") == ("Unknown", "CredentialsRefused")
        assert "libvirt 4" not in cloud.message("Host", "h1", "Supported")
        hypervisor.faults.clear()
        await cloud.settle(600)
        assert cloud.condition("Host", "h1", "Supported") == ("True", "Supported")
        hypervisor.faults["*"] = Transient("no route")
        await cloud.settle(600)
        assert cloud.condition("Host", "h1", "Supported") == ("True", "Supported"), "nothing says otherwise"

    play(story)


def test_fault_inside_a_driver_is_told_without_its_text() -> None:
    async def story(cloud: Cloud) -> None:
        hypervisor = cloud.hypervisors["fake://h1"] = Hypervisor(host())
        hypervisor.faults["observe_all"] = KeyError("password=hunter2")
        cloud.apply("\n---\n".join([PLACE, HOST]))
        await cloud.settle()
        assert "KeyError" in cloud.message("Host", "h1")
        assert "hunter2" not in str(cloud.raw("Host", "h1"))
        hypervisor.faults.clear()
        await cloud.settle()
        assert cloud.kstatus("Host", "h1") == "Current"

    play(story)


def test_allocated_follows_what_placement_counts() -> None:
    async def story(cloud: Cloud) -> None:
        cloud.hypervisors["fake://h1"] = Hypervisor(host())
        large = OFFERING.replace("small", "large").replace("cpus: 2", "cpus: 6")
        cloud.apply("\n---\n".join([BASE, large, vm("a"), vm("b"), vm("elsewhere", host="h2"), vm("unknown", offering="none")]))
        await cloud.settle()
        assert cloud.status("Host", "h1")["allocated"] == {"cpus": 4, "memory": "8Gi", "vms": 3}
        cloud.apply(vm("c", offering="large"))
        await cloud.settle()
        assert cloud.status("Host", "h1")["allocated"] == {"cpus": 10, "memory": "12Gi", "vms": 4}
        cloud.delete("VirtualMachine", "shop/b")
        await cloud.settle()
        assert cloud.status("Host", "h1")["allocated"] == {"cpus": 8, "memory": "8Gi", "vms": 3}
        cloud.apply(OFFERING.replace("small", "none"))
        await cloud.settle()
        assert cloud.status("Host", "h1")["allocated"] == {"cpus": 10, "memory": "12Gi", "vms": 3}, "the offering came late"

    play(story)


def test_overcommit_is_taken_over_when_the_cluster_changes() -> None:
    async def story(cloud: Cloud) -> None:
        cloud.hypervisors["fake://h1"] = Hypervisor(host(cpus=3, memory=1001))
        cloud.apply("\n---\n".join([PLACE, HOST]))
        await cloud.settle()
        cloud.apply(CLUSTER.replace('cpu: "2"', 'cpu: "1.5"'))
        await cloud.settle(5)
        assert cloud.status("Host", "h1")["allocatable"] == {"cpus": 4, "memory": "1501"}, "rounded down"

    play(story)


def test_status_lost_is_rebuilt() -> None:
    async def story(cloud: Cloud) -> None:
        cloud.hypervisors["fake://h1"] = Hypervisor(host())
        cloud.apply(BASE)
        await cloud.settle()
        before = {key: raw["status"] for key, raw in cloud.api.objects.items() if key != GIVEN}
        await cloud.controller.kill()
        cloud.wipe_status()
        await cloud.restart()
        await cloud.settle()
        for key, status in before.items():
            rebuilt = {name: value for name, value in cloud.api.objects[key]["status"].items() if name != "conditions"}
            assert rebuilt == {name: value for name, value in status.items() if name != "conditions"}

    play(story)
