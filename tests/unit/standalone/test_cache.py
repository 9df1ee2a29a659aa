"""Where the cache is, and locks on files in it."""

import stat
import threading
from pathlib import Path

import pytest

from standalone.cache import cache_directory, locked, make_directory
from standalone.errors import StandaloneError


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"VIREO_CACHE": "/v", "XDG_CACHE_HOME": "/x", "HOME": "/h"}, "/v"),
        ({"XDG_CACHE_HOME": "/x", "HOME": "/h"}, "/x/vireo"),
        ({"HOME": "/h"}, "/h/.cache/vireo"),
        ({"VIREO_CACHE": "", "XDG_CACHE_HOME": "", "HOME": "/h"}, "/h/.cache/vireo"),
        ({"VIREO_CACHE": "relative", "XDG_CACHE_HOME": "/x"}, "/x/vireo"),
        ({"XDG_CACHE_HOME": "relative", "HOME": "/h"}, "/h/.cache/vireo"),
    ],
)
def test_cache_directory(environ: dict[str, str], expected: str) -> None:
    assert cache_directory(environ) == Path(expected)


def test_cache_directory_without_home() -> None:
    assert cache_directory({}) == Path.home() / ".cache" / "vireo"


def test_one_holder_at_a_time(tmp_path: Path) -> None:
    """Twenty threads that each read, then write a counter lose no count."""
    lock, counter = tmp_path / "deep" / "lock", tmp_path / "counter"
    counter.write_text("0")

    def count() -> None:
        for _ in range(20):
            with locked(lock):
                counter.write_text(str(int(counter.read_text()) + 1))

    threads = [threading.Thread(target=count) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counter.read_text() == "400"


def test_says_that_it_waits_only_when_it_does(tmp_path: Path) -> None:
    said: list[str] = []
    with locked(tmp_path / "lock", lambda: said.append("waiting")):
        assert said == []
    release, waits = threading.Event(), threading.Event()

    def hold() -> None:
        with locked(tmp_path / "lock"):
            waits.set()
            release.wait(120)

    holder = threading.Thread(target=hold)
    holder.start()
    assert waits.wait(120)

    def told() -> None:
        said.append("waiting")
        release.set()

    with locked(tmp_path / "lock", told):
        assert said == ["waiting"]
    holder.join()


def test_lock_is_freed_by_an_exception(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), locked(tmp_path / "lock"):
        raise ZeroDivisionError
    with locked(tmp_path / "lock", lambda: pytest.fail("still held")):
        pass


def test_unusable_lock_file(tmp_path: Path) -> None:
    (tmp_path / "lock").mkdir()
    with pytest.raises(StandaloneError, match=r"cannot open the lock file .*lock: Is a directory"), locked(tmp_path / "lock"):
        pass


def test_make_directory(tmp_path: Path) -> None:
    made = make_directory(tmp_path / "a" / "b", 0o700)
    assert stat.S_IMODE(made.stat().st_mode) == 0o700
    assert make_directory(made, 0o700) == made
    (tmp_path / "file").write_text("")
    with pytest.raises(StandaloneError, match=r"cannot create .*/file/x: Not a directory"):
        make_directory(tmp_path / "file" / "x")
