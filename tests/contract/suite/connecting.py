"""Driver.connect, Connection.close."""

from dataclasses import replace

import pytest

from drivers.base import Connection, Driver
from drivers.errors import AuthFailed, DriverError, InvalidSpec, Unanswered
from drivers.types import Capability, Endpoint

from .base import ContractBase
from .binding import Binding
from .tools import raises_ours

SECRET = "hunter2-very-secret"


class Connecting(ContractBase):
    def test_a_url_of_another_kind_is_refused_for_good(self, binding: Binding) -> None:
        for url in ("", "not a url", "http://127.0.0.1/", "file:///etc/passwd", *binding.bad_urls):
            with raises_ours(InvalidSpec):
                binding.driver.connect(Endpoint(url))

    def test_what_is_wrong_with_a_url_is_said_without_its_password(self, binding: Binding) -> None:
        for url in (f"http://root:{SECRET}@127.0.0.1/", *(f"{url}?x={SECRET}" for url in binding.bad_urls)):
            with pytest.raises(DriverError) as caught:
                binding.driver.connect(Endpoint(url))
            assert SECRET not in str(caught.value)

    def test_an_endpoint_that_does_not_answer_may_answer_later(self, binding: Binding) -> None:
        with raises_ours(Unanswered):
            binding.driver.connect(binding.dead)

    def test_a_second_connection_sees_the_same_hosts(self, binding: Binding, connection: Connection) -> None:
        other = binding.connect()
        try:
            assert {host.host for host in other.hosts.list_hosts()} == {host.host for host in connection.hosts.list_hosts()}
        finally:
            other.close()

    def test_capabilities_are_of_the_contract(self, connection: Connection) -> None:
        assert isinstance(connection.capabilities, frozenset)
        assert all(isinstance(one, Capability) for one in connection.capabilities)

    def test_closing_twice_is_fine_and_calls_fail_after_it(self, binding: Binding) -> None:
        connection = binding.connect()
        connection.close()
        connection.close()
        with raises_ours(Unanswered):
            connection.hosts.list_hosts()

    def test_other_connections_survive_a_close(self, binding: Binding, connection: Connection) -> None:
        binding.connect().close()
        assert connection.hosts.list_hosts()

    def test_a_connection_shows_no_secret(self, binding: Binding, connection: Connection) -> None:
        password = binding.endpoint.credentials.password
        shown = f"{connection!r} {binding.endpoint!r} {connection.compute!r} {connection.hosts!r}"
        assert not password or password not in shown


class Credentialed(ContractBase):
    """For endpoints that ask for a user name and a password."""

    @pytest.mark.parametrize(
        ("username", "password"), [("", ""), ("{username}", SECRET), ("{username}", ""), ("nobody", "{password}")]
    )
    def test_wrong_credentials_wait_for_another_secret(self, binding: Binding, username: str, password: str) -> None:
        """All else that the endpoint asks for, such as a certificate, is as it should be."""
        right = binding.endpoint.credentials
        name, word = username.format(username=right.username), password.format(password=right.password)
        driver: Driver = binding.driver
        with raises_ours(AuthFailed) as caught:
            driver.connect(replace(binding.endpoint, credentials=replace(right, username=name, password=word)))
        assert SECRET not in str(caught.value)
        assert right.password not in str(caught.value)
