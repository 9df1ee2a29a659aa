"""Configuration files of a host's libvirtd."""

from pathlib import Path

import pytest

from tests.lab import hostconfig
from tests.lab.layout import Layout

LAYOUT = Layout(Path("/srv/lab"), "one")


def settings(text: str) -> dict[str, str]:
    """A libvirt configuration file as libvirt reads it: name = value, each name once."""
    pairs = [line.split(" = ", 1) for line in text.splitlines()]
    assert len({name for name, _ in pairs}) == len(pairs)
    return dict(pairs)


def test_libvirtd_listens_where_the_uris_point() -> None:
    found = settings(hostconfig.libvirtd(LAYOUT, "h2"))
    socket = found["unix_sock_dir"].strip('"') + "/libvirt-sock"
    assert LAYOUT.uri("h2") == f"qemu+unix:///system?socket={socket}"
    assert LAYOUT.tcp_uri("h2") == f"qemu+tcp://{found['listen_addr'].strip(chr(34))}/system"
    assert found["host_uuid"] == f'"{LAYOUT.host_uuid("h2")}"'


def test_the_socket_is_for_root_alone() -> None:
    assert settings(hostconfig.libvirtd(LAYOUT, "h1"))["unix_sock_rw_perms"] == '"0700"'


@pytest.mark.parametrize(
    ("name", "value"),
    [("security_driver", '"none"'), ("namespaces", "[ ]"), ("stdio_handler", '"file"'), ("migration_address", '"198.18.0.2"')],
)
def test_qemu_runs_inside_the_host_as_it_is(name: str, value: str) -> None:
    assert settings(hostconfig.qemu(LAYOUT, "h2"))[name] == value


def test_every_host_is_known_by_name() -> None:
    lines = [line.split() for line in hostconfig.hosts(LAYOUT).splitlines()]
    assert lines[0] == ["127.0.0.1", "localhost"]
    assert {name: address for address, name in lines[1:]} == {
        f"h{number}": LAYOUT.management_address(f"h{number}") for number in range(1, 31)
    }
