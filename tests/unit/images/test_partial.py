"""The partial file and its notes."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.images.partial import Partial, Validators


def test_nothing_is_there_at_first(tmp_path: Path) -> None:
    partial = Partial(tmp_path, "k")
    assert (partial.size, partial.validators) == (0, Validators())
    partial.discard()


def test_bytes_and_notes_are_there_for_the_next_process(tmp_path: Path) -> None:
    said = Validators('"tag"', "Sat, 21 Nov 2026 10:00:00 GMT", 10)
    partial = Partial(tmp_path, "k")
    partial.begin(said)
    partial.append(b"abc")
    partial.append(b"def")
    again = Partial(tmp_path, "k")
    assert (again.size, again.validators) == (6, said)
    assert again.path.read_bytes() == b"abcdef"


def test_beginning_removes_what_was_there(tmp_path: Path) -> None:
    partial = Partial(tmp_path, "k")
    partial.begin(Validators('"old"'))
    partial.append(b"old")
    partial.begin(Validators('"new"'))
    assert (partial.size, partial.validators.etag) == (0, '"new"')
    partial.append(b"x")
    partial.discard()
    assert list(tmp_path.iterdir()) == []


def test_keys_do_not_meet(tmp_path: Path) -> None:
    one, two = Partial(tmp_path, "a"), Partial(tmp_path, "b")
    one.begin(Validators())
    one.append(b"x")
    two.discard()
    assert (one.size, two.size) == (1, 0)


@pytest.mark.parametrize("step", range(3))
def test_a_crash_while_it_begins_never_pairs_old_bytes_with_new_notes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """Old bytes with the new version's tag would be continued with new content."""
    partial = Partial(tmp_path, "k")
    partial.begin(Validators('"old"'))
    partial.append(b"old")
    calls = iter(range(10))

    def crashing(self: Path, missing_ok: bool = False) -> None:
        if next(calls) == step:
            raise KeyboardInterrupt
        real(self, missing_ok)

    real = Path.unlink
    monkeypatch.setattr(Path, "unlink", crashing)
    try:
        partial.begin(Validators('"new"'))
    except KeyboardInterrupt:
        assert partial.size == 0 or partial.validators.etag == '"old"'
    else:
        assert (partial.size, partial.validators.etag) == (0, '"new"')


@pytest.mark.parametrize(
    ("etag", "last_modified", "condition"),
    [
        ('"strong"', "date", '"strong"'),
        ('W/"weak"', "date", "date"),
        ("", "date", "date"),
        ('W/"weak"', "", ""),
        ("unquoted", "", ""),
        ("", "", ""),
    ],
)
def test_only_a_strong_tag_or_a_date_is_a_condition(etag: str, last_modified: str, condition: str) -> None:
    assert Validators(etag, last_modified).if_range == condition


@given(st.text(max_size=60), st.text(max_size=60), st.none() | st.integers(0, 2**63))
def test_whatever_a_server_says_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, etag: str, last_modified: str, total: int | None
) -> None:
    partial = Partial(tmp_path_factory.getbasetemp(), "any")
    partial.begin(Validators(etag, last_modified, total))
    assert partial.validators == Validators(etag, last_modified, total)
