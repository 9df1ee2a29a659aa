"""The command: names of kinds, what is read, what is printed, exit codes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from controller import why as package
from controller.__main__ import main
from controller.kube import credentials
from controller.kube.api import KubeApi
from controller.kube.credentials import CredentialsError
from controller.kube.events import Told
from controller.runtime.keys import Key
from controller.runtime.ports import ApiError, Gone, Rejected, Unavailable
from controller.why import KINDS_BY_NAME, ask
from crds.v1alpha1 import KINDS

from .recorded import make, ready, unready

VM, WEB = "VirtualMachine", Key("VirtualMachine", "shop", "web")


class Api:
    """Objects by key; a key can be forbidden, or the server silent."""

    def __init__(
        self, *objects: Any, forbidden: tuple[str, ...] = (), error: ApiError | None = None, warning: Told | None = None
    ) -> None:
        self.warning = warning
        self.objects = {Key.of(each): each for each in objects}
        self.forbidden = forbidden
        self.error = error
        self.read: list[str] = []

    async def get(self, key: Key) -> Any:
        self.read.append(str(key))
        if self.error:
            raise self.error
        if key.kind in self.forbidden:
            raise Rejected(f"{key}: 403")
        if key not in self.objects:
            raise Gone(str(key))
        found = self.objects[key].model_dump(mode="json", by_alias=True, exclude_none=True)
        return found | {"status": self.objects[key].status.to_json()}

    async def last_warning(self, key: Key, uid: str) -> Told | None:
        assert uid == self.objects[key].metadata.uid
        if "Event" in self.forbidden:
            raise Rejected("events: 403")
        return self.warning


async def tell(api: Api, key: Key = WEB) -> int:
    return await ask._tell(cast("KubeApi", api), key)


async def test_ready(capsys: pytest.CaptureFixture[str]) -> None:
    assert await tell(Api(make(VM, "web", ready()))) == 0
    assert capsys.readouterr().out == "VirtualMachine/shop/web is ready: Running\n"


async def test_not_ready_names_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    api = Api(make(VM, "web", unready("ZoneNotFound", "zone z1 does not exist")), make("ServiceOffering", "small", ready("Fine")))
    assert await tell(api) == 1
    printed = capsys.readouterr().out
    assert "zone z1 does not exist" in printed
    assert "missing: Zone/z1 (spec.zone) does not exist" in printed
    assert "missing: Template/images/debian (spec.template) does not exist" in printed
    assert "ServiceOffering" not in printed
    assert sorted(api.read) == [
        "Network/shop/front",
        "ServiceOffering/small",
        "Template/images/debian",
        "VirtualMachine/shop/web",
        "Zone/z1",
    ]


async def test_not_found(capsys: pytest.CaptureFixture[str]) -> None:
    api = Api()
    assert await tell(api) == 2
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "VirtualMachine/shop/web does not exist\n")
    assert api.read == ["VirtualMachine/shop/web"]


async def test_what_a_user_may_not_read_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    assert await tell(Api(make(VM, "web", unready("ZoneNotFound", "x")), forbidden=("Zone", "ServiceOffering"))) == 1
    printed = capsys.readouterr().out
    assert "missing: Template" in printed
    assert "Zone/z1" not in printed
    assert "ServiceOffering" not in printed


@pytest.mark.parametrize(("forbidden", "shown"), [((), True), (("Event",), False)])
async def test_the_last_warning_is_shown_to_whoever_may_read_it(
    forbidden: tuple[str, ...], shown: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    warning = Told("HypervisorUnavailable", "connection lost", "2026-11-20T10:00:00Z", 3)
    assert await tell(Api(make(VM, "web", unready("Starting", "x")), forbidden=forbidden, warning=warning)) == 1
    assert ("3 times: HypervisorUnavailable: connection lost" in capsys.readouterr().out) is shown


@pytest.mark.parametrize("error", [Rejected("403 forbidden"), Unavailable("no answer")])
async def test_what_cannot_be_asked_is_no_answer(error: ApiError) -> None:
    with pytest.raises(type(error)):
        await tell(Api(error=error))


@pytest.mark.parametrize("kind", [kind.KIND for kind in KINDS])
def test_kinds_by_all_their_names(kind: str) -> None:
    definition = next(each.DEFINITION for each in KINDS if kind == each.KIND)
    for name in (kind, definition.plural, *definition.short_names):
        assert kind == KINDS_BY_NAME[name.lower()].KIND


def test_no_two_kinds_share_a_name() -> None:
    names = [n.lower() for k in KINDS for n in {k.KIND.lower(), k.DEFINITION.plural, *k.DEFINITION.short_names}]
    assert len(names) == len(set(names))


def test_an_unknown_kind(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["why", "Spaceship", "x"]) == 2
    assert capsys.readouterr().err == "vireo: there is no kind Spaceship\n"


OUTCOMES = [
    (0, 0, ""),
    (1, 1, ""),
    (2, 2, ""),
    (CredentialsError("no kubeconfig"), 3, "vireo: no kubeconfig\n"),
    (Unavailable("GET /apis: no answer"), 3, "vireo: GET /apis: no answer\n"),
    (ValueError("secret detail"), 3, "vireo: vvm web does not fit this version of vireo\n"),
]


@pytest.mark.parametrize(("outcome", "code", "said"), OUTCOMES)
def test_exit_codes(
    outcome: int | Exception, code: int, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[tuple[Any, ...]] = []

    async def why(*arguments: Any) -> int:
        asked.append(arguments)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setattr(package, "why", why)
    assert main(["why", "vvm", "web", "-n", "shop", "--kubeconfig", "k"]) == code
    assert asked == [("k", "vvm", "web", "shop")]
    assert capsys.readouterr().err == said


def test_without_a_kubeconfig_it_says_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    assert main(["why", "vvm", "web", "--kubeconfig", str(tmp_path / "absent")]) == 3
    assert capsys.readouterr().err.startswith("vireo: cannot read how to reach the API server: ")


CONFIG = """
apiVersion: v1
kind: Config
current-context: here
contexts: [{name: here, context: {cluster: here, user: me%s}}]
clusters: [{name: here, cluster: {server: "http://127.0.0.1:1"}}]
users: [{name: me, user: {token: t}}]
"""


@pytest.mark.parametrize(("more", "namespace"), [("", "default"), (", namespace: shop", "shop"), (', namespace: ""', "default")])
def test_the_namespace_of_the_context(more: str, namespace: str, tmp_path: Path) -> None:
    (tmp_path / "config").write_text(CONFIG % more)
    assert credentials.namespace(tmp_path / "config") == namespace


@pytest.mark.parametrize("text", ["", "{", "current-context: nowhere\n", "[]"])
def test_no_kubeconfig_no_namespace(text: str, tmp_path: Path) -> None:
    (tmp_path / "config").write_text(text)
    with pytest.raises(CredentialsError):
        credentials.namespace(tmp_path / "config")
