"""Names, paths and addresses of a lab."""

import ipaddress
import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.lab.gateway import parse, place
from tests.lab.layout import MAX_HOSTS, Layout, index
from tests.lab.shell import LabError

HOSTS = [f"h{number}" for number in range(1, MAX_HOSTS + 1)]
PREFIXES = st.from_regex(r"[a-z][a-z0-9]{0,19}", fullmatch=True)
PLACES = st.one_of(st.sampled_from([*HOSTS, "ctl", "fabric"]), st.integers(1, 4094).map(place))


@pytest.fixture
def layout() -> Layout:
    return Layout(Path("/srv/lab"), "one")


@pytest.mark.parametrize("prefix", ["", "A", "1a", "a-b", "a b", "a" * 21, "a/b", "a\n", "ä", ".."])
def test_bad_prefix_is_refused(prefix: str) -> None:
    with pytest.raises(LabError, match="lab prefix"):
        Layout(Path("/srv/lab"), prefix)


@pytest.mark.parametrize("place", ["/run", "/run/lab", "/dev/shm/lab", "/proc/1", "/sys/fs", "/srv/../run/lab"])
def test_directory_that_hosts_cannot_see_is_refused(place: str) -> None:
    with pytest.raises(LabError, match="could not see it"):
        Layout(Path(place), "one")


def test_directory_that_leads_to_a_hidden_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/run")
    with pytest.raises(LabError, match="could not see it"):
        Layout(tmp_path / "link" / "lab", "one")


def test_directory_whose_name_only_begins_like_a_hidden_one_is_fine() -> None:
    assert Layout(Path("/running/lab"), "one").state == Path("/running/lab")


@pytest.mark.parametrize("name", ["with space", 'quo"te', "a?b", "a#b", "a&b", "ä", "back\\slash", "new\nline", "$HOME"])
def test_directory_that_would_need_quoting_is_refused(name: str) -> None:
    with pytest.raises(LabError, match="state directory"):
        Layout(Path("/srv") / name, "one")


@given(name=st.text("aZ9.+@=~:,_-", min_size=3, max_size=120))
def test_socket_path_always_fits(name: str) -> None:
    """A unix socket's path has at most 107 bytes; a directory is refused exactly when the longest one would not fit."""
    longest = f"/srv/{name}/run/h30/libvirt-admin-sock"
    if len(longest.encode()) > 107:
        with pytest.raises(LabError, match="too long"):
            Layout(Path(f"/srv/{name}"), "one")
    else:
        layout = Layout(Path(f"/srv/{name}"), "one")
        assert max(len(str(layout.socket(host)).encode()) for host in HOSTS) <= 107


@given(prefix=PREFIXES, other=PREFIXES, place=PLACES)
def test_a_lab_owns_its_namespaces_and_no_others(prefix: str, other: str, place: str) -> None:
    layout = Layout(Path("/srv/lab"), prefix)
    assert layout.owns_namespace(layout.namespace(place))
    assert Layout(Path("/srv/lab"), other).owns_namespace(layout.namespace(place)) == (other == prefix)


@pytest.mark.parametrize("name", ["one", "one-", "one-h", "one-h1-x", "one-web", "one-vlan", "xone-h1", "one-h1\n", "docker0"])
def test_foreign_namespaces_are_not_owned(layout: Layout, name: str) -> None:
    assert not layout.owns_namespace(name)


def test_every_host_has_its_own_of_everything(layout: Layout) -> None:
    for names in (
        [layout.management_address(host) for host in HOSTS],
        [layout.uri(host) for host in HOSTS],
        [layout.tcp_uri(host) for host in HOSTS],
        [layout.host_uuid(host) for host in HOSTS],
        [layout.local(host) for host in HOSTS],
        [layout.namespace(host) for host in HOSTS],
    ):
        assert len(set(names)) == MAX_HOSTS


def test_hardware_uuid_stays_and_differs_between_labs(layout: Layout) -> None:
    again = Layout(Path("/srv/lab"), "one")
    assert layout.host_uuid("h1") == again.host_uuid("h1")
    others = {Layout(Path("/srv/lab"), "two").host_uuid("h1"), Layout(Path("/srv/other"), "one").host_uuid("h1")}
    assert len(others | {layout.host_uuid("h1")}) == 3


def test_tunnel_addresses_of_hosts_and_vlans_never_meet(layout: Layout) -> None:
    places = itertools.chain(HOSTS, (place(vlan) for vlan in range(1, 4095)))
    addresses = [ipaddress.ip_address(layout.tunnel_address(name)) for name in places]
    assert len(set(addresses)) == MAX_HOSTS + 4094
    network = ipaddress.ip_network("198.19.0.0/16")
    assert all(address in network for address in addresses)


def test_management_addresses_leave_the_operator_alone(layout: Layout) -> None:
    network = ipaddress.ip_network("198.18.0.0/24")
    assert all(ipaddress.ip_address(layout.management_address(host)) in network for host in HOSTS)
    assert "198.18.0.254" not in {layout.management_address(host) for host in HOSTS}


@pytest.mark.parametrize("name", ["h0", "h31", "h01", "h", "1", "H1", "h1 ", "h-1", "", "ctl", "h1/../../etc"])
def test_bad_host_name_is_refused(name: str) -> None:
    with pytest.raises(LabError, match="no lab host"):
        index(name)


@pytest.mark.parametrize("vlan", [-1, 0, 4095, 70000])
def test_bad_vlan_is_refused(vlan: int) -> None:
    with pytest.raises(LabError, match="use 1 to 4094"):
        place(vlan)


@pytest.mark.parametrize(
    ("address", "parsed"),
    [("10.10.0.1/24", "10.10.0.1/24"), ("192.168.1.254/30", "192.168.1.254/30"), ("FD00::1/64", "fd00::1/64")],
)
def test_gateway_address(address: str, parsed: str) -> None:
    assert parse(address) == parsed


@pytest.mark.parametrize("address", ["", "10.10.0.1", "10.10.0.1/33", "10.10.0.256/24", "gw/24", "10.10.0.1/24 dev eth0", "/24"])
def test_bad_gateway_address_is_refused(address: str) -> None:
    with pytest.raises(LabError, match="gateway"):
        parse(address)
