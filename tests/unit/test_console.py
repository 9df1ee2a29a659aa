"""`vireo console`: which endpoint and host a VM is asked for at, and what is said when there is no way to it."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from controller import console
from controller.__main__ import main
from controller.console import ConsoleError, Place
from controller.ipam import instance_id
from controller.kube import run as kube
from controller.runtime.keys import Key
from controller.runtime.ports import Gone, Rejected
from drivers.errors import Conflict, Unsupported
from drivers.types import Credentials, Endpoint, HostID, InstanceID
from tests.support.live import manifests as make

UID = "0b8b7c9e-3a51-4d8e-9f0e-6d1f2a3b4c5d"
URL = "qemu+tls://kvm1.example/system"
VM = Key("VirtualMachine", "shop", "web")
SECRET = {"username": b"operator", "password": b"hunter2"}


def objects(**host: Any) -> dict[str, dict[str, Any]]:
    """A VM on a host with an endpoint of its own."""
    endpoint = {"url": URL, "credentials": {"secretRef": {"namespace": "shop", "name": "login"}}}
    vm = make.vm("web") | {"status": {"host": "kvm-1"}}
    guests = {"backend": "OVS", "bridge": "ovsbr0"}
    listed = [
        vm,
        make.manifest("Host", "kvm-1", **({"cluster": "c", "endpoint": endpoint} | host)),
        make.manifest("Cluster", "c", zone="z", pod="p", hypervisor="KVM", guestNetwork=guests),
    ]
    for each in listed:
        each["metadata"]["uid"] = UID
    return {each["kind"]: each for each in listed}


@dataclass
class Api:
    """The API server: objects by kind, and one Secret."""

    objects: dict[str, dict[str, Any]]
    secret: Mapping[str, bytes] | None = field(default_factory=lambda: SECRET)
    forbidden: bool = False

    async def get(self, key: Key) -> dict[str, Any]:
        if key.kind not in self.objects:
            raise Gone(str(key))
        return self.objects[key.kind]

    async def read(self, namespace: str, name: str) -> Mapping[str, bytes] | None:
        assert (namespace, name) == ("shop", "login")
        if self.forbidden:
            raise Rejected("secrets login is forbidden")
        return self.secret


def place(api: Api) -> Place:
    return asyncio.run(console._place(cast("kube.Connection", SimpleNamespace(api=api, secrets=api)), VM))


def test_the_host_s_endpoint_with_the_secret_of_the_caller() -> None:
    endpoint = Endpoint(URL, Credentials(username="operator", password="hunter2"))
    assert place(Api(objects())) == Place("KVM", endpoint, "kvm-1", True, instance_id(UID))


def test_the_cluster_s_endpoint_and_the_host_s_name_there() -> None:
    found = objects(endpoint=None, nativeName="esx-7")
    found["Cluster"]["spec"]["endpoint"] = {"url": URL}
    assert place(Api(found)) == Place("KVM", Endpoint(URL), "esx-7", False, instance_id(UID))


@pytest.mark.parametrize("kind", ["VirtualMachine", "Host", "Cluster"])
def test_what_is_missing_is_named(kind: str) -> None:
    found = objects()
    del found[kind]
    with pytest.raises(ConsoleError, match=f"{kind}/.* does not exist"):
        place(Api(found))


def test_a_vm_on_no_host() -> None:
    found = objects()
    found["VirtualMachine"]["status"] = {}
    with pytest.raises(ConsoleError, match="vireo why vm web -n shop"):
        place(Api(found))


@pytest.mark.parametrize(
    ("api", "why"),
    [
        (Api(objects(), secret=None), "Secret shop/login does not exist"),
        (Api(objects(), forbidden=True), "can't be read: secrets login is forbidden"),
        (Api(objects(), secret={"password": b"hunter2\n"}), "password holds a line break"),
        (Api(objects(endpoint=None)), "has an endpoint"),
    ],
)
def test_no_credentials(api: Api, why: str) -> None:
    with pytest.raises(ConsoleError, match=why) as caught:
        place(api)
    assert "hunter2" not in str(caught.value)


HERE = Place("KVM", Endpoint(URL), "kvm-1", True, InstanceID("i"))


@pytest.mark.parametrize(
    ("listed", "sole", "found"),
    [
        (["kvm-1"], True, "kvm-1"),
        (["other"], True, "other"),
        (["a", "kvm-1"], False, "kvm-1"),
        (["a"], False, None),
        (["a", "b"], True, None),
    ],
)
def test_the_host_among_those_of_the_endpoint(listed: list[str], sole: bool, found: str | None) -> None:
    hosts = [SimpleNamespace(host=HostID(name)) for name in listed]
    connection: Any = SimpleNamespace(hosts=SimpleNamespace(list_hosts=lambda: hosts))
    asked = Place("KVM", HERE.endpoint, "kvm-1", sole, HERE.instance)
    if found is None:
        with pytest.raises(ConsoleError, match="has no host kvm-1"):
            console._host(connection, asked)
    else:
        assert console._host(connection, asked) == found


@dataclass
class Hypervisor:
    """A driver and its connection in one: one host, and a console that can't be had, or a log."""

    error: Exception | None = None
    closed: int = 0

    def connect(self, endpoint: Endpoint) -> "Hypervisor":
        assert endpoint.url == URL
        return self

    @property
    def hosts(self) -> Any:
        return SimpleNamespace(list_hosts=lambda: [SimpleNamespace(host=HostID("kvm-1"))])

    @property
    def consoles(self) -> "Hypervisor":
        return self

    def open(self, host: HostID, instance: InstanceID, *, force: bool) -> None:
        raise self.error or AssertionError

    def log(self, host: HostID, instance: InstanceID) -> bytes:
        if self.error:
            raise self.error
        return b"booting\xff\r\n"

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def hypervisor(monkeypatch: pytest.MonkeyPatch) -> Hypervisor:
    made = Hypervisor()

    async def find(name: str, namespace: str | None, kubeconfig: Path | None) -> Place:
        assert (name, namespace) == ("web", "shop")
        return HERE

    monkeypatch.setattr(console, "_find", find)
    monkeypatch.setattr(console.loader, "load", lambda name: {"KVM": made}[name])
    return made


@pytest.mark.parametrize("arguments", [["shop/web"], ["web", "-n", "shop"]])
def test_the_log_is_printed_byte_for_byte(
    arguments: list[str], hypervisor: Hypervisor, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert main(["console", *arguments, "--log"]) == 0
    assert capfdbinary.readouterr().out == b"booting\xff\r\n"
    assert hypervisor.closed == 1


@pytest.mark.parametrize("error", [Conflict("the VM is off, and so is its console"), Unsupported("a simulated VM has no console")])
def test_no_console_is_one_sentence(error: Exception, hypervisor: Hypervisor, capsys: pytest.CaptureFixture[str]) -> None:
    hypervisor.error = error
    assert main(["console", "shop/web"]) == 1
    assert capsys.readouterr().err == f"vireo: {error}\n"
    assert hypervisor.closed == 1
