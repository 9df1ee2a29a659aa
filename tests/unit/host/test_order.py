"""Whatever the order in which things are applied, deleted or made to fail, the end is the same."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.cloud import CLUSTER, GIVEN, HOST, OFFERING, POD, POOL, ZONE, Cloud, play, vm
from tests.support.hypervisors import Hypervisor, host

SECURED = HOST.replace('url: "fake://h1"', 'url: "fake://h1", credentials: {secretRef: {namespace: infra, name: login}}')
OBJECTS = [
    ZONE,
    POD,
    CLUSTER,
    SECURED,
    HOST.replace("h1", "h2"),
    POOL,
    POOL.replace("s1", "s2").replace("scope: Zone", "scope: Host, host: h2"),
    OFFERING,
    vm("a"),
    vm("b", host="h2", pool="s2"),
]
KEYS = [("Zone", "z1"), ("Pod", "p1"), ("Cluster", "c1"), ("Host", "h1"), ("Host", "h2"), ("StoragePool", "s1")]
KEYS += [
    ("StoragePool", "s2"),
    ("ServiceOffering", "small"),
    ("VirtualMachine", "shop/a"),
    ("VirtualMachine", "shop/b"),
]

orders = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def hypervisors(cloud: Cloud) -> None:
    cloud.hypervisors["fake://h1"] = Hypervisor(host("h1"), password="right")
    cloud.hypervisors["fake://h2"] = Hypervisor(host("h2"))


def state(cloud: Cloud) -> dict[str, Any]:
    """All statuses, without times."""
    seen = {}
    for key, raw in cloud.api.objects.items():
        status = dict(raw.get("status", {}))
        status["conditions"] = [
            {name: value for name, value in condition.items() if name != "lastTransitionTime"}
            for condition in status.get("conditions", [])
        ]
        seen[str(key)] = (status, raw["metadata"].get("finalizers"))
    return seen


def applied(order: list[str], pauses: list[float], *, secret_at: int) -> dict[str, Any]:
    async def story(cloud: Cloud) -> None:
        hypervisors(cloud)
        for number, (text, pause) in enumerate(zip(order, pauses, strict=True)):
            if number == secret_at:
                cloud.set_secret("infra", "login", username="admin", password="right")
            cloud.apply(text)
            await cloud.settle(pause)
        await cloud.settle(200)

    return state(play(story))


REFERENCE = applied(OBJECTS, [0.0] * len(OBJECTS), secret_at=0)


def test_reference_is_what_it_should_be() -> None:
    assert all(
        condition["status"] == "True"
        for name, (status, _) in REFERENCE.items()
        if not name.startswith("VirtualMachine")
        for condition in status["conditions"]
    )


@orders
@given(
    st.permutations(OBJECTS),
    st.lists(st.sampled_from([0.0, 0.005, 1.0, 40.0]), min_size=len(OBJECTS), max_size=len(OBJECTS)),
    st.integers(0, len(OBJECTS) - 1),
)
def test_any_order_of_apply_ends_the_same(order: list[str], pauses: list[float], secret_at: int) -> None:
    assert applied(order, pauses, secret_at=secret_at) == REFERENCE


@orders
@given(st.permutations(KEYS), st.lists(st.sampled_from([0.0, 0.005, 2.0]), min_size=len(KEYS), max_size=len(KEYS)))
def test_any_order_of_delete_ends_with_nothing(order: list[tuple[str, str]], pauses: list[float]) -> None:
    async def story(cloud: Cloud) -> None:
        hypervisors(cloud)
        cloud.set_secret("infra", "login", username="admin", password="right")
        cloud.apply("\n---\n".join(OBJECTS))
        await cloud.settle()
        for (kind, name), pause in zip(order, pauses, strict=True):
            cloud.delete(kind, name)
            await cloud.settle(pause)
        await cloud.settle(120)
        assert list(cloud.api.objects) == [GIVEN]
        assert all(hypervisor.open == 0 for hypervisor in cloud.hypervisors.values())

    play(story)


@orders
@given(
    st.lists(st.tuples(st.sampled_from(["kill", "h1", "h2", "wipe", "wait"]), st.floats(0.0, 60.0)), max_size=8), st.integers(0, 9)
)
def test_crashes_and_outages_at_any_time_end_the_same(steps: list[tuple[str, float]], seed: int) -> None:
    async def story(cloud: Cloud) -> None:
        hypervisors(cloud)
        cloud.set_secret("infra", "login", username="admin", password="right")
        cloud.apply("\n---\n".join(OBJECTS))
        hidden: dict[str, Hypervisor] = {}
        for step, pause in steps:
            await cloud.settle(pause)
            url = f"fake://{step}"
            if step == "kill":
                await cloud.restart()
            elif step == "wipe":
                await cloud.controller.kill()
                for kind, name in KEYS[:-2]:
                    cloud.api.wipe_status(next(key for key in cloud.api.objects if (key.kind, key.name) == (kind, name)))
                await cloud.restart()
            elif url in hidden:
                cloud.hypervisors[url] = hidden.pop(url)
            elif url in cloud.hypervisors:
                hidden[url] = cloud.hypervisors.pop(url)
        cloud.hypervisors.update(hidden)
        await cloud.settle(400)

    assert state(play(story, seed=seed)) == REFERENCE
