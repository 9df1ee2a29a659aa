"""Where a Host's endpoint and credentials come from, and what is said when they are missing or wrong."""

from __future__ import annotations

import pytest

from tests.support.cloud import BASE, CLUSTER, HOST, POD, ZONE, Cloud, play, vm
from tests.support.hypervisors import Hypervisor, host

PLACE = "\n---\n".join([ZONE, POD, CLUSTER])
CREDENTIALS = "credentials: {secretRef: {namespace: infra, name: login}}"
SECURED = f"""
kind: Host
metadata: {{name: h1}}
spec: {{cluster: c1, endpoint: {{url: "fake://h1", {CREDENTIALS}}}}}
"""
TRUSTING = """
kind: Host
metadata: {name: h1}
spec: {cluster: c1, endpoint: {url: "fake://h1", tls: {caSecretRef: {namespace: infra, name: ca}}}}
"""
SHARED = f"""
kind: Cluster
metadata: {{name: c1}}
spec: {{zone: z1, pod: p1, hypervisor: Simulator, endpoint: {{url: "fake://pool", {CREDENTIALS}}}}}
"""
MEMBER = "kind: Host\nmetadata: {name: %s}\nspec: {cluster: c1}"
PEM = "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"


def apply(cloud: Cloud, *texts: str) -> None:
    cloud.apply("\n---\n".join(texts))


@pytest.mark.parametrize(
    ("there", "reason"), [([], "ClusterNotFound"), ([CLUSTER], "ZoneNotFound"), ([CLUSTER, ZONE], "PodNotFound")]
)
def test_missing_parents_are_waited_for(there: list[str], reason: str) -> None:
    async def story(cloud: Cloud) -> None:
        cloud.hypervisors["fake://h1"] = Hypervisor(host())
        apply(cloud, *there, HOST)
        await cloud.settle()
        assert cloud.condition("Host", "h1", "Ready") == ("False", reason)
        assert cloud.status("Host", "h1")["state"] == "Creating"
        assert cloud.kstatus("Host", "h1") == "InProgress"
        assert cloud.hypervisors.driver.attempts.total() == 0
        apply(cloud, PLACE)
        await cloud.settle(5)
        assert cloud.condition("Host", "h1", "Ready") == ("True", "Up")

    play(story)


def test_no_endpoint_anywhere_is_terminal_until_there_is_one() -> None:
    async def story(cloud: Cloud) -> None:
        apply(cloud, PLACE, MEMBER % "h1")
        await cloud.settle()
        assert cloud.kstatus("Host", "h1") == "Failed"
        assert cloud.condition("Host", "h1", "Stalled") == ("True", "EndpointMissing")
        cloud.hypervisors["fake://h1"] = Hypervisor(host())
        apply(cloud, HOST)
        await cloud.settle(5)
        assert cloud.kstatus("Host", "h1") == "Current"

    play(story)


def test_endpoint_of_the_cluster_serves_its_hosts_with_one_connection() -> None:
    async def story(cloud: Cloud) -> None:
        pool = cloud.hypervisors["fake://pool"] = Hypervisor(host("h1"), host("h2"), password="right")
        cloud.set_secret("infra", "login", username="admin", password="right")
        apply(cloud, ZONE, POD, SHARED, MEMBER % "h1", MEMBER % "h2", MEMBER % "stranger")
        await cloud.settle()
        assert cloud.condition("Host", "h1", "Ready") == cloud.condition("Host", "h2", "Ready") == ("True", "Up")
        assert cloud.condition("Host", "stranger", "Ready") == ("False", "HostNotListed")
        assert cloud.status("Host", "stranger")["state"] == "Alert"
        assert pool.calls["connect"] == 1

    play(story)


def test_member_of_a_shared_endpoint_is_never_taken_for_the_last_one_left() -> None:
    async def story(cloud: Cloud) -> None:
        pool = cloud.hypervisors["fake://pool"] = Hypervisor(host("h1"), host("h2"))
        cloud.set_secret("infra", "login", username="admin")
        apply(cloud, ZONE, POD, SHARED, MEMBER % "h1", MEMBER % "h2")
        await cloud.settle()
        del pool.hosts[next(name for name in pool.hosts if name == "h2")]
        await cloud.settle()
        assert cloud.condition("Host", "h1", "Ready") == ("True", "Up")
        assert cloud.condition("Host", "h2", "Ready") == ("False", "HostNotListed")

    play(story)


def test_host_of_its_own_endpoint_may_be_called_otherwise_there() -> None:
    async def story(cloud: Cloud) -> None:
        cloud.hypervisors["fake://h1"] = Hypervisor(host("node17.example.org"))
        apply(cloud, PLACE, HOST)
        await cloud.settle()
        assert cloud.status("Host", "h1")["nativeID"] == "id-node17.example.org"

    play(story)


def test_native_name_picks_the_host_of_a_shared_endpoint() -> None:
    async def story(cloud: Cloud) -> None:
        cloud.hypervisors["fake://pool"] = Hypervisor(host("a"), host("b"))
        cloud.set_secret("infra", "login", username="admin")
        apply(cloud, ZONE, POD, SHARED, "kind: Host\nmetadata: {name: h1}\nspec: {cluster: c1, nativeName: b}")
        await cloud.settle()
        assert cloud.status("Host", "h1")["nativeID"] == "id-b"

    play(story)


def test_missing_secret_is_looked_for_again() -> None:
    async def story(cloud: Cloud) -> None:
        cloud.hypervisors["fake://h1"] = Hypervisor(host(), password="right")
        apply(cloud, PLACE, SECURED)
        await cloud.settle()
        assert cloud.condition("Host", "h1", "Ready") == ("False", "SecretNotFound")
        assert "infra/login" in cloud.message("Host", "h1")
        assert cloud.kstatus("Host", "h1") == "InProgress"
        cloud.data["infra", "login"] = {"username": b"admin", "password": b"right"}  # nobody tells
        await cloud.settle(31)
        assert cloud.condition("Host", "h1", "Ready") == ("True", "Up")

    play(story)


def test_refused_credentials_stall_until_the_secret_changes() -> None:
    async def story(cloud: Cloud) -> None:
        hypervisor = cloud.hypervisors["fake://h1"] = Hypervisor(host(), password="right")
        cloud.set_secret("infra", "login", username="admin", password="wrong")
        apply(cloud, PLACE, SECURED)
        await cloud.settle()
        assert cloud.kstatus("Host", "h1") == "Failed"
        assert cloud.condition("Host", "h1", "Stalled") == ("True", "CredentialsRefused")
        assert cloud.status("Host", "h1")["state"] == "Error"
        await cloud.settle(3600)
        assert hypervisor.calls["connect"] <= 15, "a login that is refused is not tried often"
        cloud.set_secret("infra", "login", username="admin", password="right")
        await cloud.settle(5)
        assert cloud.kstatus("Host", "h1") == "Current"
        assert "wrong" not in str(cloud.api.history)

    play(story)


def test_rotation_to_wrong_credentials_and_back() -> None:
    async def story(cloud: Cloud) -> None:
        hypervisor = cloud.hypervisors["fake://h1"] = Hypervisor(host(), password="right")
        cloud.set_secret("infra", "login", username="admin", password="right")
        apply(cloud, PLACE, SECURED)
        await cloud.settle()
        cloud.set_secret("infra", "login", username="admin", password="typo")
        await cloud.settle()
        assert cloud.condition("Host", "h1", "Stalled") == ("True", "CredentialsRefused")
        assert hypervisor.open == 0, "the old session is closed"
        cloud.set_secret("infra", "login", username="admin", password="right")
        await cloud.settle()
        assert cloud.kstatus("Host", "h1") == "Current"
        assert hypervisor.open == 1

    play(story)


def test_deleted_secret_stops_scheduling_but_not_the_connection() -> None:
    async def story(cloud: Cloud) -> None:
        hypervisor = cloud.hypervisors["fake://h1"] = Hypervisor(host(), password="right")
        cloud.set_secret("infra", "login", username="admin", password="right")
        apply(cloud, PLACE, SECURED)
        await cloud.settle()
        cloud.remove_secret("infra", "login")
        await cloud.settle()
        assert cloud.condition("Host", "h1", "Ready") == ("False", "SecretNotFound")
        assert cloud.condition("Host", "h1", "Schedulable") == ("False", "SecretNotFound")
        assert cloud.condition("Host", "h1", "Connected") == ("True", "Connected")
        assert hypervisor.open == 1
        await cloud.restart()
        await cloud.settle()
        assert cloud.status("Host", "h1")["state"] == "Disconnected", "nothing to connect with any more"

    play(story)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"user": "admin"}, "none of the keys"),
        ({"username": "admin", "password": "right\n"}, "password holds a line break"),
        ({"username": "x" * 2000}, "username is longer than 1024 bytes"),
        ({"tls_crt": PEM}, "tls.crt and tls.key go together"),
        ({"tls_crt": PEM, "tls_key": "key"}, "tls.key is not PEM"),
        ({"ssh-privatekey": "-----BEGIN " + "x" * 70_000}, "ssh-privatekey is longer than 65536 bytes"),
    ],
)
def test_secret_that_can_not_be_used_is_explained_without_its_content(data: dict[str, str | None], said: str) -> None:
    async def story(cloud: Cloud) -> None:
        cloud.hypervisors["fake://h1"] = Hypervisor(host())
        cloud.set_secret("infra", "login", **data)
        apply(cloud, PLACE, SECURED)
        await cloud.settle()
        assert cloud.condition("Host", "h1", "Stalled") == ("True", "SecretInvalid")
        assert said in cloud.message("Host", "h1")
        assert cloud.hypervisors.driver.attempts.total() == 0
        cloud.set_secret("infra", "login", username="admin")
        await cloud.settle(5)
        assert cloud.kstatus("Host", "h1") == "Current"

    play(story)


def test_authority_from_a_secret_of_its_own() -> None:
    async def story(cloud: Cloud) -> None:
        cloud.hypervisors["fake://h1"] = Hypervisor(host())
        cloud.set_secret("infra", "ca", ca_pem=PEM)
        apply(cloud, PLACE, TRUSTING)
        await cloud.settle()
        assert "no key ca.crt" in cloud.message("Host", "h1")
        cloud.set_secret("infra", "ca", ca_crt=PEM)
        await cloud.settle(5)
        assert cloud.kstatus("Host", "h1") == "Current"

    play(story)


def test_an_endpoint_that_changes_leads_to_the_same_hypervisor_or_is_refused() -> None:
    """VMs stay on the Host: only the way to it is another. The old connection is closed."""

    async def story(cloud: Cloud) -> None:
        old = cloud.hypervisors["fake://h1"] = Hypervisor(host("n", native_id="machine"))
        new = cloud.hypervisors["fake://new"] = Hypervisor(host("n", native_id="machine"))
        cloud.hypervisors["fake://wrong"] = Hypervisor(host("n", native_id="another"))
        apply(cloud, BASE, vm())
        await cloud.settle(30)
        assert (old.open, new.open) == (1, 0)
        apply(cloud, HOST.replace("fake://h1", "fake://new"))
        await cloud.settle(30)
        assert cloud.kstatus("Host", "h1") == "Current"
        assert (old.open, new.open) == (0, 1)
        apply(cloud, HOST.replace("fake://h1", "fake://wrong"))
        await cloud.settle(30)
        assert cloud.condition("Host", "h1", "Stalled") == ("True", "HostReplaced")
        assert cloud.status("Host", "h1")["nativeID"] == "machine"
        apply(cloud, HOST.replace("fake://h1", "fake://nobody"))
        await cloud.settle(30)
        assert cloud.status("Host", "h1")["state"] == "Alert"
        apply(cloud, HOST)
        await cloud.settle(60)
        assert cloud.kstatus("Host", "h1") == "Current"
        assert (old.open, new.open) == (1, 0)

    play(story)


def test_secrets_are_not_read_for_each_reconcile() -> None:
    async def story(cloud: Cloud) -> None:
        cloud.hypervisors["fake://pool"] = Hypervisor(*(host(f"h{number}") for number in range(20)))
        cloud.set_secret("infra", "login", username="admin")
        apply(cloud, ZONE, POD, SHARED, *(MEMBER % f"h{number}" for number in range(20)))
        await cloud.settle(200)
        assert cloud.reads <= 20

    play(story)
