"""The command lines: everything on loopback, everything encrypted, nothing secret visible."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from standalone import components
from standalone.components import Layout
from standalone.ports import Ports

BINARY = Path("/cache/plane")
LAYOUT = Layout(Path("/data"))
PORTS = Ports(api=20001, etcd=20002, peer=20003)

LINES: dict[str, Callable[[], list[str]]] = {
    "etcd": lambda: components.etcd(BINARY, LAYOUT, PORTS, durable=True),
    "kube-apiserver": lambda: components.apiserver(BINARY, LAYOUT, PORTS),
    "kube-controller-manager": lambda: components.controller_manager(BINARY, LAYOUT),
}


def flags(line: list[str]) -> dict[str, str]:
    pairs = [word.removeprefix("--").partition("=") for word in line[2:]]
    found = {name: value for name, _, value in pairs}
    assert len(found) == len(pairs), "no flag twice"
    return found


@pytest.mark.parametrize("name", LINES)
def test_common(name: str) -> None:
    line = LINES[name]()
    assert line[:2] == [str(BINARY), name]
    urls = [url for word in line for url in re.findall(r"\w+://[^,]*", word) if "kubernetes.default.svc" not in url]
    assert all(re.fullmatch(r"https://127\.0\.0\.1:2000[23]", url) for url in urls), urls
    paths = [value for value in flags(line).values() if value.startswith("/")]
    assert all(path.startswith("/data/") for path in paths), paths


def test_etcd_asks_everyone_for_a_certificate() -> None:
    found = flags(LINES["etcd"]())
    for prefix in ("", "peer-"):
        assert f"{prefix}client-cert-auth" in found
        assert found[f"{prefix}trusted-ca-file"] == "/data/pki/ca.crt"
        assert found[f"{prefix}key-file"] == "/data/pki/etcd.key"


@pytest.mark.parametrize(("durable", "unsafe"), [(True, False), (False, True)])
def test_only_an_undurable_etcd_skips_fsync(durable: bool, unsafe: bool) -> None:
    assert ("unsafe-no-fsync" in flags(components.etcd(BINARY, LAYOUT, PORTS, durable))) is unsafe


def test_apiserver_lets_nobody_in_unknown() -> None:
    found = flags(LINES["kube-apiserver"]())
    assert found["authorization-mode"] == "RBAC"
    assert found["anonymous-auth"] == "false"
    assert found["bind-address"] == "127.0.0.1"
    assert found["secure-port"] == "20001"
    assert found["etcd-cafile"] == "/data/pki/ca.crt"
    assert found["token-auth-file"] == "/data/tokens.csv"
    assert not [name for name in found if "insecure" in name or "disable-admission" in name]


def test_controller_manager_serves_no_port_and_runs_no_more_than_it_must() -> None:
    found = flags(LINES["kube-controller-manager"]())
    assert found["secure-port"] == "0"
    assert found["use-service-account-credentials"] == "true"
    assert set(found["controllers"].split(",")) == set(components.CONTROLLERS)
    assert "*" not in found["controllers"]
    assert found["kubeconfig"] == "/data/controller-manager.kubeconfig"


def test_layout_lies_below_its_directory() -> None:
    paths = [LAYOUT.pki.directory, LAYOUT.tokens, LAYOUT.ports, LAYOUT.run, LAYOUT.log, LAYOUT.kubeconfig("admin")]
    assert all(path.parent == Path("/data") for path in paths)
    assert len(set(paths)) == len(paths)


@pytest.mark.parametrize("name", LINES)
def test_each_names_what_is_its_own(name: str) -> None:
    assert [line for line in LINES if components.own(name, LAYOUT) in LINES[line]()] == [name]
    assert components.own(name, LAYOUT) != components.own(name, Layout(Path("/other")))
