"""Where access comes from, and what is said when there is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from controller.kube import credentials
from controller.kube.credentials import CredentialsError


def kubeconfig(directory: Path, **cluster: Any) -> Path:
    path = directory / "config"
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
        "clusters": [{"name": "k", "cluster": {"server": "https://127.0.0.1:6443", **cluster}}],
        "users": [{"name": "u", "user": {"token": "s3cret"}}],
    }
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture(autouse=True)
def _nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"):
        monkeypatch.delenv(name, raising=False)


async def test_a_kubeconfig(tmp_path: Path) -> None:
    authority = tmp_path / "ca.crt"
    authority.write_text("a certificate")
    found = await credentials.load(kubeconfig(tmp_path, **{"certificate-authority": str(authority)}))
    assert found.host == "https://127.0.0.1:6443"
    assert found.verify_ssl
    info = await credentials.for_kopf(found)
    assert (info.server, info.scheme, info.token) == ("https://127.0.0.1:6443", "Bearer", "s3cret")
    assert info.ca_path == str(authority)
    assert not info.insecure


async def test_what_the_kubeconfig_says_of_verification_holds_for_both_clients(tmp_path: Path) -> None:
    found = await credentials.load(kubeconfig(tmp_path, **{"insecure-skip-tls-verify": True}))
    assert not found.verify_ssl
    assert (await credentials.for_kopf(found)).insecure


async def test_the_service_account_of_the_pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from kubernetes.aio.config import incluster_config

    for name, text in {"token": "pod-token", "ca.crt": "a certificate"}.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(tmp_path / "ca.crt"))
    found = await credentials.load(None)
    info = await credentials.for_kopf(found)
    assert (info.server, info.scheme, info.token) == ("https://10.0.0.1:443", "bearer", "pod-token")


async def test_a_kubeconfig_that_is_named_comes_before_the_pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    found = await credentials.load(kubeconfig(tmp_path, **{"insecure-skip-tls-verify": True}))
    assert found.host == "https://127.0.0.1:6443"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "apiVersion: v1\nkind: Config\n",
        "[1, 2]",
        "token: s3cret\nnot: [closed",
        "current-context: nowhere\ncontexts: []\nclusters: []\nusers: []\n",
    ],
    ids=["empty", "nothing in it", "a list", "not YAML", "no such context"],
)
async def test_a_kubeconfig_that_is_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(CredentialsError, match="cannot read how to reach the API server") as raised:
        await credentials.load(path)
    assert "s3cret" not in str(raised.value)


async def test_a_kubeconfig_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CredentialsError):
        await credentials.load(tmp_path / "missing")


async def test_a_pod_without_its_service_account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    with pytest.raises(CredentialsError):
        await credentials.load(None)
