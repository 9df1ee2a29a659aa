"""Finished images on disk: complete or absent, least recently used first out."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.images import Image, Source
from controller.images.store import ImageStore

CHECKED = Source.parse("http://h/x", "QCOW2", "md5:" + "0" * 32)
UNCHECKED = Source.parse("http://h/x", "QCOW2")


def add(store: ImageStore, directory: Path, name: str, size: int = 10) -> Image:
    made = directory / "made"
    made.write_bytes(b"x" * size)
    return store.add(name, made, 1000, "sha256:ab")


def test_what_was_added_is_there_also_for_another_process(tmp_path: Path) -> None:
    image = add(ImageStore(tmp_path), tmp_path, "qcow2-ab")
    found = ImageStore(tmp_path).get("qcow2-ab")
    assert found == image
    assert (image.file.name, image.file.virtual_size, image.file.physical_size) == ("qcow2-ab", 1000, 10)
    assert Path(image.file.path).read_bytes() == b"x" * 10
    assert ImageStore(tmp_path).get("qcow2-cd") is None


@pytest.mark.parametrize("damage", ["", "{", "[]", "{}", '{"virtualSize": "x", "physicalSize": 10, "checksum": ""}'])
def test_an_image_with_damaged_notes_is_not_there(tmp_path: Path, damage: str) -> None:
    store = ImageStore(tmp_path)
    image = add(store, tmp_path, "a")
    Path(image.file.path).with_suffix(".json").write_text(damage)
    assert store.get("a") is None


@pytest.mark.parametrize("name", ["../images/a", "", "a/b", "A", "a.b", "a" * 300, "a\n", "\0"])
def test_a_name_that_we_never_gave_is_not_there(tmp_path: Path, name: str) -> None:
    store = ImageStore(tmp_path)
    add(store, tmp_path, "a")
    assert store.get(name) is None


def test_an_image_whose_file_is_short_or_gone_is_not_there(tmp_path: Path) -> None:
    store = ImageStore(tmp_path)
    path = Path(add(store, tmp_path, "a").file.path)
    path.write_bytes(b"x")
    assert store.get("a") is None
    path.unlink()
    assert store.get("a") is None


def test_only_a_source_with_a_checksum_is_remembered(tmp_path: Path) -> None:
    store = ImageStore(tmp_path)
    image = add(store, tmp_path, "a")
    for source in (CHECKED, UNCHECKED):
        store.remember(source, "a")
    assert store.find(CHECKED) == image
    assert store.find(UNCHECKED) is None, "what is behind its URL may have changed"
    assert store.find(Source.parse("http://other/x", "QCOW2", "md5:" + "0" * 32)) is None


@pytest.mark.parametrize(
    ("max_bytes", "in_use", "removed"),
    [
        (60, (), []),
        (59, (), ["a"]),
        (35, (), ["a", "b"]),
        (0, (), ["a", "b", "c"]),
        (0, ("b",), ["a", "c"]),
        (45, ("a",), ["b"]),
        (0, ("a", "b", "c"), []),
    ],
)
def test_the_least_recently_used_go_first_but_none_in_use(
    tmp_path: Path, max_bytes: int, in_use: tuple[str, ...], removed: list[str]
) -> None:
    store = ImageStore(tmp_path)
    for age, (name, size) in enumerate({"c": 30, "b": 20, "a": 10}.items()):
        notes = Path(add(store, tmp_path, name, size).file.path).with_suffix(".json")
        os.utime(notes, (1000 - age, 1000 - age))
    store.remember(CHECKED, "a")
    assert store.evict(max_bytes, in_use) == removed
    assert [name for name in "abc" if store.get(name) is None] == removed
    assert (store.find(CHECKED) is None) == ("a" in removed)
    assert len(list((tmp_path / "sources").iterdir())) == (0 if "a" in removed else 1)


def test_looking_at_an_image_is_using_it(tmp_path: Path) -> None:
    store = ImageStore(tmp_path)
    for name in "ab":
        notes = Path(add(store, tmp_path, name).file.path).with_suffix(".json")
        os.utime(notes, (1000, 1000))
    store.get("a")
    assert store.evict(10, ()) == ["b"]


def test_an_image_that_was_never_finished_is_evicted_first(tmp_path: Path) -> None:
    store = ImageStore(tmp_path)
    add(store, tmp_path, "a")
    Path(add(store, tmp_path, "b").file.path).with_suffix(".json").unlink()
    assert store.evict(10, ()) == ["b"]
    assert store.get("a") is not None


@given(st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 50)), st.integers(0, 150), st.sets(st.sampled_from("abcdef")))
def test_eviction_reaches_its_bound_or_has_nothing_left_to_remove(
    tmp_path_factory: pytest.TempPathFactory, sizes: dict[str, int], max_bytes: int, in_use: set[str]
) -> None:
    directory = tmp_path_factory.mktemp("store")
    store = ImageStore(directory)
    for name, size in sizes.items():
        add(store, directory, name, size)
    removed = store.evict(max_bytes, in_use)
    left = {name: size for name, size in sizes.items() if store.get(name) is not None}
    assert set(removed) == sizes.keys() - left.keys()
    assert not in_use & set(removed)
    assert sum(left.values()) <= max_bytes or left.keys() <= in_use
    if removed:
        last = removed[-1]
        assert sum(left.values()) + sizes[last] > max_bytes, "nothing was removed without need"
