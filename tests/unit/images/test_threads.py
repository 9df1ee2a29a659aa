"""A thread that works on a file is waited for, whatever happens to who asked for it."""

import asyncio
import threading
from pathlib import Path

import pytest

from controller.images.digest import digest
from controller.images.threads import in_thread
from tests.unit.images.conftest import MI, until


class Slow:
    """Work that ends when a test says so."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.go_on = threading.Event()
        self.ended = False

    def __call__(self, answer: str) -> str:
        self.entered.set()
        assert self.go_on.wait(120)
        self.ended = True
        return answer


async def test_it_gives_the_result() -> None:
    slow = Slow()
    slow.go_on.set()
    assert await in_thread(slow, "done") == "done"


async def test_it_raises_what_the_work_raises() -> None:
    def broken() -> None:
        raise OSError("disk on fire")

    with pytest.raises(OSError, match="on fire"):
        await in_thread(broken)


@pytest.mark.parametrize("cancellations", [1, 3])
async def test_cancelled_it_still_waits_for_the_end(cancellations: int) -> None:
    slow = Slow()
    task = asyncio.create_task(in_thread(slow, "done"))
    await until(slow.entered.is_set)
    for _ in range(cancellations):
        task.cancel()
        for _ in range(5):
            await asyncio.sleep(0)
        assert not task.done(), "the thread is not left behind"
    slow.go_on.set()
    await asyncio.wait([task])
    assert slow.ended
    assert task.cancelled()


async def test_cancelled_it_does_not_hide_that_by_an_error_of_the_work() -> None:
    entered, go_on = threading.Event(), threading.Event()

    def broken() -> None:
        entered.set()
        go_on.wait(120)
        raise OSError("too late")

    task = asyncio.create_task(in_thread(broken))
    await until(entered.is_set)
    task.cancel()
    go_on.set()
    await asyncio.wait([task])
    assert task.cancelled()


async def test_a_digest_is_told_in_order_and_in_this_thread(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(bytes(20 * MI))
    told: list[tuple[int, int]] = []
    threads = set()

    def tell(done: int, total: int) -> None:
        told.append((done, total))
        threads.add(threading.current_thread())

    found = await digest(path, {"md5", "sha256"}, tell)
    # Of 20 MiB of zeros, by md5sum(1) and sha256sum(1).
    assert found["md5"] == "8f4e33f3dc3e414ff94e5fb6905cba8c"
    assert found["sha256"] == "cd52d81e25f372e6fa4db2c0dfceb59862c1969cab17096da352b34950c973cc"
    assert told == [(8 * MI, 20 * MI), (16 * MI, 20 * MI), (20 * MI, 20 * MI)]
    assert threads == {threading.current_thread()}
