"""Locks by name."""

import threading

import pytest

from drivers.errors import Busy
from drivers.kvm.keylock import KeyedLocks


def test_calls_on_one_name_follow_each_other() -> None:
    locks, inside, most = KeyedLocks(), 0, 0
    counted = threading.Lock()

    def work() -> None:
        nonlocal inside, most
        for _ in range(200):
            with locks.hold("vm", 30):
                with counted:
                    inside += 1
                    most = max(most, inside)
                with counted:
                    inside -= 1

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert len(locks) == 0


def test_other_names_do_not_wait() -> None:
    locks, done = KeyedLocks(), threading.Event()

    def other() -> None:
        with locks.hold("b", 30):
            done.set()

    with locks.hold("a", 30):
        thread = threading.Thread(target=other)
        thread.start()
        assert done.wait(120)
        thread.join()


def test_an_error_lets_go() -> None:
    locks = KeyedLocks()
    for _ in range(2):
        try:
            with locks.hold("a", 30):
                raise ValueError
        except ValueError:
            assert len(locks) == 0


def test_one_that_waits_too_long_is_told_that_it_is_busy() -> None:
    locks = KeyedLocks()
    with locks.hold("a", 30):
        with pytest.raises(Busy), locks.hold("a", 0.01):
            pass
        assert len(locks) == 1
    with locks.hold("a", 0):
        pass
    assert len(locks) == 0
