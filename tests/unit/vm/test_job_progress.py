"""How far a job is, in `status.job`: for people who watch, and for tools that show a bar."""

from __future__ import annotations

from typing import Any

from drivers.simulator.engine.settings import TASK_METHODS, Settings
from tests.support.vms import GIB, VMCloud, play, site, vm

SLOW = Settings(hosts=1, cpus=8, memory=32 * GIB, boot=1, shutdown=1, durations=dict.fromkeys(TASK_METHODS, 10.0))


def jobs_of(cloud: VMCloud, kind: str) -> list[dict[str, Any]]:
    return [job for raw in cloud.api.history if raw["kind"] == kind and (job := raw.get("status", {}).get("job"))]


def test_a_native_task_shows_its_percentage() -> None:
    async def story(cloud: VMCloud) -> None:
        cloud.apply(site())
        await cloud.settle(60)
        cloud.apply(vm())
        await cloud.settle(90)
        assert cloud.job() == ("DeployVirtualMachine", "Succeeded")
        assert cloud.vm()["job"]["progress"] == 100

    seen = [job["progress"] for job in jobs_of(play(story, settings=SLOW), "VirtualMachine") if "progress" in job]
    assert len({percent for percent in seen if 0 < percent < 100}) >= 5
    assert all(0 <= percent <= 100 for percent in seen)


def test_a_native_task_is_not_a_write_a_second() -> None:
    settings = Settings(
        hosts=1, cpus=8, memory=32 * GIB, boot=1, shutdown=1, durations={**dict.fromkeys(TASK_METHODS, 1.0), "compute.create": 60.0}
    )

    async def story(cloud: VMCloud) -> None:
        cloud.apply(site())
        await cloud.settle(60)
        cloud.apply(vm())
        await cloud.settle(120)
        assert cloud.job() == ("DeployVirtualMachine", "Succeeded")

    shown = [
        raw["status"] for raw in play(story, settings=settings).api.history if raw["kind"] == "VirtualMachine" and "status" in raw
    ]
    under_way = [each for each in shown if each.get("job", {}).get("nativeRef")]
    assert {each["job"].get("progress", 0) % 10 for each in under_way} == {0}
    assert 5 <= len(under_way) <= 12
    messages = [each["message"] for status in under_way for each in status["conditions"] if each["type"] == "Ready"]
    assert set(messages) == {"DeployVirtualMachine is under way"}


def test_a_download_shows_its_phase_and_percentage() -> None:
    async def story(cloud: VMCloud) -> None:
        cloud.images.seconds = 10.0
        cloud.apply(site())
        await cloud.settle(60)
        assert cloud.status("Template", "shop/debian")["job"]["progress"] == 100

    seen = jobs_of(play(story), "Template")
    assert {(job["status"], job.get("phase"), job.get("progress")) for job in seen} >= {
        ("InProgress", "Downloading", 10),
        ("Succeeded", "Downloading", 100),
    }
