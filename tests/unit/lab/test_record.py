"""What a lab remembers, and holding its directory."""

import multiprocessing
import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.lab.record import BACKENDS, Record, exclusive
from tests.lab.shell import LabError

RECORDS = st.builds(
    Record,
    prefix=st.from_regex(r"[a-z]{1,8}", fullmatch=True),
    backend=st.sampled_from(BACKENDS),
    kvm=st.booleans(),
    hosts=st.integers(0, 30),
    vlans=st.lists(st.integers(1, 4094), unique=True),
    gateways=st.dictionaries(st.integers(1, 4094), st.sampled_from(["10.0.0.1/24", "fd00::1/64"])),
)


@given(record=RECORDS)
def test_what_is_saved_is_loaded(tmp_path_factory: pytest.TempPathFactory, record: Record) -> None:
    path = tmp_path_factory.mktemp("record") / "lab.json"
    record.save(path)
    assert Record.load(path) == record
    assert [entry.name for entry in path.parent.iterdir()] == ["lab.json"]


def test_no_file_is_no_record(tmp_path: Path) -> None:
    assert Record.load(tmp_path / "lab.json") is None


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}", '{"prefix": "a"}', '{"gateways": 5}', '{"gateways": {"x": 1}}'])
def test_damaged_file_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "lab.json"
    path.write_text(text)
    with pytest.raises(LabError, match=r"lab\.json is damaged .*`down` removes it"):
        Record.load(path)


def _hold(directory: Path, count: Path, times: int) -> None:
    for _ in range(times):
        with exclusive(directory):
            count.write_text(str(int(count.read_text()) + 1))


def test_one_at_a_time_across_processes(tmp_path: Path) -> None:
    """Read, add, write: no addition is lost."""
    count = tmp_path / "count"
    count.write_text("0")
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_hold, args=(tmp_path / "lab", count, 50)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(200)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert count.read_text() == "150"


def test_a_holder_that_removes_the_directory_lets_the_next_one_make_it_anew(tmp_path: Path) -> None:
    directory, seen = tmp_path / "lab", []
    waiting = threading.Event()

    def second() -> None:
        waiting.set()
        with exclusive(directory):
            seen.append(directory.is_dir())

    with exclusive(directory):
        other = threading.Thread(target=second)
        other.start()
        waiting.wait()
        directory.rmdir()
    other.join(120)
    assert seen == [True]


def test_a_directory_that_goes_between_two_looks_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Removed by its holder after we found it there and before we opened it, then while we looked whether it is one."""
    directory, plain_open, plain_mkdir, gone = tmp_path / "lab", os.open, Path.mkdir, list[str]()

    def opening(path: Path, flags: int) -> int:
        if "open" not in gone:
            gone.append("open")
            directory.rmdir()
        return plain_open(path, flags)

    def mkdir(path: Path, **how: bool) -> None:
        if "open" in gone and "mkdir" not in gone:
            gone.append("mkdir")
            raise FileExistsError(path)
        plain_mkdir(path, **how)

    monkeypatch.setattr(os, "open", opening)
    monkeypatch.setattr(Path, "mkdir", mkdir)
    with exclusive(directory):
        assert (gone, directory.is_dir()) == (["open", "mkdir"], True)


def test_a_file_of_somebody_is_no_directory_to_hold(tmp_path: Path) -> None:
    (tmp_path / "lab").touch()
    with pytest.raises(FileExistsError), exclusive(tmp_path / "lab"):
        pass
