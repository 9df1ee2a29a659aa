"""The lock between processes."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

from controller.images.locks import file_lock
from tests.unit.images.conftest import until

HOLD = """
import fcntl, os, sys, time
descriptor = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o600)
fcntl.flock(descriptor, fcntl.LOCK_EX)
open(sys.argv[2], "w").close()
time.sleep(600)
"""


async def test_one_at_a_time(tmp_path: Path) -> None:
    inside = most = 0

    async def work() -> None:
        nonlocal inside, most
        async with file_lock(tmp_path / "lock"):
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0.01)
            inside -= 1

    async with asyncio.timeout(120):
        await asyncio.gather(*(work() for _ in range(6)))
    assert most == 1
    assert not (tmp_path / "lock").exists()


async def test_locks_of_different_names_do_not_meet(tmp_path: Path) -> None:
    async with asyncio.timeout(120), file_lock(tmp_path / "a"), file_lock(tmp_path / "b"):
        assert set(os.listdir(tmp_path)) == {"a", "b"}


async def test_a_killed_holder_leaves_no_lock(tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path / "lock", tmp_path / "held"])  # noqa: ASYNC220
    try:
        await until((tmp_path / "held").exists)
        entered = asyncio.Event()

        async def enter() -> None:
            async with file_lock(tmp_path / "lock"):
                entered.set()

        waiting = asyncio.create_task(enter())
        for _ in range(5):
            await asyncio.sleep(0)
        assert not entered.is_set()
        holder.kill()
        async with asyncio.timeout(120):
            await waiting
    finally:
        holder.kill()
        holder.wait()


async def test_a_cancelled_wait_leaves_the_lock_to_others(tmp_path: Path) -> None:
    async def enter() -> None:
        async with file_lock(tmp_path / "lock"):
            raise AssertionError("the lock was held")

    async with file_lock(tmp_path / "lock"):
        waiting = asyncio.create_task(enter())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        assert waiting.cancelled()
    async with asyncio.timeout(120), file_lock(tmp_path / "lock"):
        pass
