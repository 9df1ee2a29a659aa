"""The change log against a plain list of what happened."""

from hypothesis import given
from hypothesis import strategies as st

from drivers.simulator.engine import changes as module
from drivers.simulator.engine.changes import Changes
from drivers.simulator.engine.model import Host
from drivers.types import HostChanged, HostID, InstanceID, VMChanged

HOSTS = {name: Host(HostID(name), 1, 1) for name in ("a", "b", "c")}
EVENTS = st.tuples(st.sampled_from(sorted(HOSTS)), st.sampled_from(["", "vm-1", "vm-2"]))


def play(changes: Changes, happened: list[tuple[str, str]]) -> None:
    for host, instance in happened:
        if instance:
            changes.vm(HOSTS[host], InstanceID(instance))
        else:
            changes.host(HOSTS[host])


def event(host: str, instance: str) -> VMChanged | HostChanged:
    return VMChanged(InstanceID(instance)) if instance else HostChanged(HostID(host))


@given(before=st.lists(EVENTS), after=st.lists(EVENTS), only=st.sampled_from([None, "a", "b"]))
def test_news_are_what_happened_after_the_cursor_each_once(
    before: list[tuple[str, str]], after: list[tuple[str, str]], only: HostID | None
) -> None:
    changes = Changes()
    play(changes, before)
    cursor = changes.subscribe(only)
    play(changes, after)
    news = changes.news(cursor, only)
    expected = {event(*one) for one in after if only in (None, one[0])}
    assert set(news.events) == expected
    assert len(news.events) == len(expected)
    assert not news.lost
    assert news.cursor == len(before) + len(after)
    assert changes.news(news.cursor, only).events == ()


@given(happened=st.lists(EVENTS, max_size=30), read=st.integers(0, 30), size=st.integers(1, 10))
def test_a_full_log_says_that_it_lost_something(happened: list[tuple[str, str]], read: int, size: int) -> None:
    changes = Changes(log_size=size)
    play(changes, happened)
    read = min(read, len(happened))
    news = changes.news(read)
    unread = happened[read:]
    assert news.lost == (len(unread) > size)
    assert news.lost or set(news.events) == {event(*one) for one in unread}


@given(happened=st.lists(EVENTS, max_size=20), cursor=st.integers(0, 20))
def test_hosts_come_in_the_order_of_their_last_change(happened: list[tuple[str, str]], cursor: int) -> None:
    changes = Changes()
    play(changes, happened)
    last = {host: number for number, (host, _) in enumerate(happened, 1)}
    expected = sorted(((host, number) for host, number in last.items() if number > cursor), key=lambda one: one[1])
    assert changes.hosts_after(cursor) == expected
    for host in HOSTS:
        assert changes.hosts_after(cursor, HostID(host)) == [one for one in expected if one[0] == host]


def test_the_log_of_one_host_is_small_and_says_so() -> None:
    changes = Changes()
    cursor = changes.subscribe(HostID("a"))
    play(changes, [("a", f"vm-{n}") for n in range(module.HOST_LOG_SIZE)])
    assert not changes.news(cursor, HostID("a")).lost
    play(changes, [("b", "vm-9")])
    assert not changes.news(cursor, HostID("a")).lost
    play(changes, [("a", "vm-0")])
    assert changes.news(cursor, HostID("a")).lost


def test_who_was_touched_is_known_until_it_is_cleared() -> None:
    changes = Changes()
    play(changes, [("a", ""), ("b", "vm-1"), ("a", "vm-2")])
    assert changes.touched == {"a", "b"}
