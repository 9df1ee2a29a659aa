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
