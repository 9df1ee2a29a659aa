"""Connections: opened once, given up in time, opened again after a loss."""

import errno
import threading
from collections.abc import Callable, Iterator
from typing import Any

import libvirt
import pytest

from drivers.errors import AuthFailed, DriverError, InvalidSpec, NotFound, Transient, Unanswered
from drivers.kvm.link import session as sessions
from drivers.kvm.link.session import Role, Session, Timeouts
from drivers.types import Credentials, Endpoint
from tests.unit.kvm.fakes import libvirt_error

QUICK = Timeouts(connect=0.05)
PATIENT = Timeouts(connect=30.0)
ENDPOINT = Endpoint("qemu+unix:///system")


class FakeConnection:
    """As much of a libvirt connection as a session uses."""

    def __init__(self) -> None:
        self.alive = True
        self.closed = 0
        self.keepalive: tuple[int, int] | None = None

    def isAlive(self) -> int:
        return int(self.alive)

    def setKeepAlive(self, interval: int, count: int) -> None:
        self.keepalive = (interval, count)

    def close(self) -> None:
        self.closed += 1


class FakeLibvirt:
    """Stands for `libvirt.openAuth`: answers at once, never, or with an error."""

    def __init__(self) -> None:
        self.opened: list[FakeConnection] = []
        self.uris: list[str] = []
        self.gate = threading.Event()
        self.gate.set()
        self.error: Exception | None = None
        self.errors: list[Exception] = []

    def open(self, uri: str, _auth: object, _flags: int) -> FakeConnection:
        self.uris.append(uri)
        self.gate.wait()
        if failure := self.errors.pop(0) if self.errors else self.error:
            raise failure
        self.opened.append(FakeConnection())
        return self.opened[-1]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeLibvirt]:
    made = FakeLibvirt()
    monkeypatch.setattr(sessions.libvirt, "openAuth", made.open)
    yield made
    made.gate.set()


def used(session: Session, role: Role = Role.STATE) -> Any:
    return session.run(role, "look", lambda connection: connection)


def settle() -> None:
    """Wait for everything that is under way, and for what that leads to."""
    while under_way := [one for one in threading.enumerate() if one.name.startswith("libvirt-") and one.name != "libvirt-events"]:
        for thread in under_way:
            thread.join()


def test_each_role_has_one_connection_that_is_kept(fake: FakeLibvirt) -> None:
    session = Session(ENDPOINT, PATIENT)
    found = {role: used(session, role) for role in Role}
    assert {role: used(session, role) for role in Role} == found
    assert len(set(map(id, found.values()))) == len(Role)


def test_nothing_is_opened_before_it_is_needed(fake: FakeLibvirt) -> None:
    session = Session(ENDPOINT, PATIENT)
    assert fake.uris == []
    used(session, Role.AGENT)
    assert len(fake.uris) == 1


def test_a_peer_is_watched(fake: FakeLibvirt) -> None:
    assert used(Session(ENDPOINT, Timeouts(keepalive=7, keepalive_count=4))).keepalive == (7, 4)


def test_threads_share_one_attempt(fake: FakeLibvirt) -> None:
    session = Session(ENDPOINT, PATIENT)
    fake.gate.clear()
    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.append(used(session))) for _ in range(8)]
    for thread in threads:
        thread.start()
    fake.gate.set()
    for thread in threads:
        thread.join()
    assert len(set(map(id, found))) == 1
    assert len(fake.uris) == 1


def test_a_host_that_does_not_answer_is_given_up_and_the_attempt_is_kept(fake: FakeLibvirt) -> None:
    session = Session(ENDPOINT, QUICK)
    fake.gate.clear()
    for _ in range(3):
        with pytest.raises(Unanswered, match="did not answer within"):
            used(session)
    assert session.opening
    fake.gate.set()
    settle()
    assert not session.opening
    assert used(session) is fake.opened[0]
    assert len(fake.uris) == 1, "told when it has ended: a thread may need longer than we wait before it asks at all"


def test_an_attempt_that_failed_is_made_again(fake: FakeLibvirt) -> None:
    session = Session(ENDPOINT, PATIENT)
    fake.error = libvirt_error(libvirt.VIR_ERR_SYSTEM_ERROR, "Connection refused", 111)
    with pytest.raises(Transient):
        used(session)
    fake.error = None
    assert used(session) is fake.opened[0]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (libvirt_error(libvirt.VIR_ERR_AUTH_FAILED, "no"), AuthFailed),
        (libvirt_error(libvirt.VIR_ERR_RPC, "no"), Unanswered),
        (OSError(28, "No space left on device"), Transient),
    ],
)
def test_what_opening_fails_with(fake: FakeLibvirt, error: Exception, kind: type[DriverError]) -> None:
    fake.error = error
    with pytest.raises(DriverError) as caught:
        used(Session(ENDPOINT, PATIENT))
    assert type(caught.value) is kind


def test_a_connection_that_died_is_replaced(fake: FakeLibvirt) -> None:
    session = Session(ENDPOINT, PATIENT)
    first = used(session)
    first.alive = False
    second = used(session)
    settle()
    assert second is not first
    assert first.closed == 1


@pytest.mark.parametrize("mutating", [True, False])
def test_a_call_in_which_it_died_was_not_answered(fake: FakeLibvirt, mutating: bool) -> None:
    session = Session(ENDPOINT, PATIENT)
    first = used(session, Role.WORK)
    with pytest.raises(Unanswered) as caught:
        die(session, mutating=mutating)
    assert caught.value.outcome_unknown is mutating
    assert used(session, Role.WORK) is not first


def die(session: Session, *, mutating: bool) -> None:
    """A call in which the connection breaks."""

    def call(connection: FakeConnection) -> None:
        connection.alive = False
        raise libvirt_error(libvirt.VIR_ERR_RPC, "Cannot recv data")

    session.run(Role.WORK, "stop VM web", call, mutating=mutating)


def failing(error: Exception) -> Callable[[object], None]:
    def call(_connection: object) -> None:
        raise error

    return call


def test_an_error_on_a_live_connection_leaves_it(fake: FakeLibvirt) -> None:
    session = Session(ENDPOINT, PATIENT)
    first = used(session)
    with pytest.raises(NotFound, match="read VM web"):
        session.run(Role.STATE, "read VM web", failing(libvirt_error(libvirt.VIR_ERR_NO_DOMAIN, "gone")))
    assert used(session) is first


@pytest.mark.parametrize("code", [libvirt.VIR_ERR_INTERNAL_ERROR, libvirt.VIR_ERR_OPERATION_FAILED, libvirt.VIR_ERR_SYSTEM_ERROR])
def test_an_error_that_may_pass_on_a_live_connection_is_an_answer(fake: FakeLibvirt, code: int) -> None:
    with pytest.raises(Transient) as caught:
        Session(ENDPOINT, PATIENT).run(Role.WORK, "start VM web", failing(libvirt_error(code, "QEMU is busy")), mutating=True)
    assert type(caught.value) is Transient


CLOSED = (libvirt.VIR_ERR_INTERNAL_ERROR, "internal error: client socket is closed", -1, libvirt.VIR_FROM_RPC)
ENDED = (libvirt.VIR_ERR_SYSTEM_ERROR, "End of file while reading data: Input/output error", errno.EIO, libvirt.VIR_FROM_RPC)


@pytest.mark.parametrize("mutating", [True, False])
@pytest.mark.parametrize("said", [CLOSED, ENDED])
def test_a_daemon_behind_ours_that_went_away_is_reached_on_a_new_connection(
    fake: FakeLibvirt, said: tuple[int, str, int, int], mutating: bool
) -> None:
    """As on hosts where libvirt is split: ours stays open, and whatever goes to the other daemon fails on it forever.

    The errors are as libvirt's source has them (virnetclient.c, virnetsocket.c); there is no such host among the tests'.
    """
    session = Session(ENDPOINT, PATIENT)
    first, other = used(session, Role.STORAGE), used(session)
    with pytest.raises(Unanswered, match="read the pool") as caught:
        session.run(Role.STORAGE, "read the pool", failing(libvirt_error(*said)), mutating=mutating)
    assert caught.value.outcome_unknown is mutating
    assert first.alive
    assert used(session, Role.STORAGE) is not first
    assert used(session) is other
    settle()
    assert first.closed == 1


@pytest.mark.parametrize(
    "said",
    [
        (libvirt.VIR_ERR_INTERNAL_ERROR, "internal error: client socket is closed", -1, libvirt.VIR_FROM_QEMU),
        (libvirt.VIR_ERR_SYSTEM_ERROR, "cannot read /srv/disk: Input/output error", errno.EIO, libvirt.VIR_FROM_STORAGE),
        (libvirt.VIR_ERR_SYSTEM_ERROR, "Failed to connect socket to 'virtlogd-sock'", errno.ECONNREFUSED, libvirt.VIR_FROM_RPC),
        (libvirt.VIR_ERR_RPC, "Unable to encode message payload", -1, libvirt.VIR_FROM_RPC),
    ],
)
def test_what_else_fails_behind_it_leaves_the_connection(fake: FakeLibvirt, said: tuple[int, str, int, int]) -> None:
    session = Session(ENDPOINT, PATIENT)
    first = used(session)
    with pytest.raises(Transient) as caught:
        session.run(Role.STATE, "look", failing(libvirt_error(*said)))
    assert type(caught.value) is Transient
    assert used(session) is first


def test_errors_of_the_contract_pass_through(fake: FakeLibvirt) -> None:
    with pytest.raises(InvalidSpec, match="mine"):
        Session(ENDPOINT, PATIENT).run(Role.STATE, "look", failing(InvalidSpec("mine")))


@pytest.mark.parametrize("mutating", [True, False])
def test_a_call_that_never_returns_is_left_behind_and_holds_up_no_other(fake: FakeLibvirt, mutating: bool) -> None:
    session = Session(ENDPOINT, PATIENT)
    stuck = threading.Event()
    first = used(session)
    with pytest.raises(Unanswered, match=r"cannot stop VM web: .* within 0.05 seconds") as caught:
        session.run(Role.STATE, "stop VM web", lambda _: stuck.wait(), mutating=mutating, limit=0.05)
    assert caught.value.outcome_unknown is mutating
    assert used(session) is not first
    assert first.closed == 0, "libvirt would free it under the call"
    stuck.set()
    settle()
    assert first.closed == 1


def test_close_ends_the_wait_for_a_call(fake: FakeLibvirt) -> None:
    session = Session(ENDPOINT, PATIENT)
    stuck, begun = threading.Event(), threading.Event()
    found: list[BaseException] = []

    def wait() -> None:
        try:
            session.run(Role.WORK, "stop VM web", lambda _: (begun.set(), stuck.wait()), mutating=True)
        except Unanswered as error:
            found.append(error)

    waiter = threading.Thread(target=wait)
    waiter.start()
    begun.wait()
    session.close()
    waiter.join()
    assert [error.outcome_unknown for error in found if isinstance(error, Unanswered)] == [True]
    assert fake.opened[0].closed == 0
    stuck.set()
    settle()
    assert fake.opened[0].closed == 1


def test_a_farewell_is_said_before_a_connection_is_closed(fake: FakeLibvirt) -> None:
    session = Session(ENDPOINT, PATIENT)
    said: list[tuple[object, int]] = []
    session.farewells[Role.EVENTS] = lambda connection: said.append((connection, connection.closed))
    events, _state = used(session, Role.EVENTS), used(session)
    session.close()
    settle()
    assert said == [(events, 0)]


def test_a_url_that_is_not_ours_is_refused_before_anything_is_opened(fake: FakeLibvirt) -> None:
    with pytest.raises(InvalidSpec):
        Session(Endpoint("http://kvm1/"), PATIENT)
    assert fake.uris == []


def test_after_close_nothing_works_and_everything_is_closed(fake: FakeLibvirt) -> None:
    session = Session(ENDPOINT, PATIENT)
    opened = [used(session, role) for role in Role]
    session.close()
    session.close()
    settle()
    assert [connection.closed for connection in opened] == [1] * len(Role)
    with pytest.raises(Transient, match="closed"):
        used(session)


def test_an_attempt_that_ends_after_close_is_closed_too(fake: FakeLibvirt) -> None:
    session = Session(ENDPOINT, QUICK)
    fake.gate.clear()
    with pytest.raises(Transient):
        used(session)
    session.close()
    fake.gate.set()
    settle()
    assert [connection.closed for connection in fake.opened] == [1]


def test_a_session_shows_no_secret(fake: FakeLibvirt) -> None:
    session = Session(Endpoint("qemu+unix:///system", Credentials(password="hunter2")), PATIENT)
    assert "hunter2" not in f"{session!r} {session.endpoint!r}"


TLS = Endpoint("qemu+tls://127.0.0.1:1/system")
HUNG_UP = (libvirt.VIR_ERR_SYSTEM_ERROR, "Unable to read TLS confirmation: Input/output error", errno.EIO)


def test_a_server_that_hung_up_once_was_only_restarting(fake: FakeLibvirt) -> None:
    fake.errors = [libvirt_error(*HUNG_UP)]
    assert used(Session(TLS, PATIENT)) is fake.opened[0]
    assert len(fake.uris) == 2


def test_a_server_that_hangs_up_again_refuses_our_certificate(fake: FakeLibvirt) -> None:
    fake.error = libvirt_error(*HUNG_UP)
    with pytest.raises(AuthFailed, match="TLS confirmation"):
        used(Session(TLS, PATIENT))
    assert len(fake.uris) == 2


def test_a_server_that_is_gone_when_asked_again_does_not_answer(fake: FakeLibvirt) -> None:
    refused = libvirt_error(libvirt.VIR_ERR_SYSTEM_ERROR, "unable to connect to server", errno.ECONNREFUSED)
    fake.errors = [libvirt_error(*HUNG_UP), refused]
    with pytest.raises(Unanswered):
        used(Session(TLS, PATIENT))
    assert len(fake.uris) == 2


def test_other_failures_are_not_asked_about_twice(fake: FakeLibvirt) -> None:
    fake.error = libvirt_error(libvirt.VIR_ERR_AUTH_FAILED, "authentication failed: Failed to verify peer's certificate")
    with pytest.raises(AuthFailed):
        used(Session(TLS, PATIENT))
    assert len(fake.uris) == 1
