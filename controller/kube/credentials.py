"""How to reach the API server and who we are: a kubeconfig, or the service account of the pod we run in."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import kopf
import yaml
from kubernetes.aio import config
from kubernetes.aio.client.configuration import Configuration


class CredentialsError(Exception):
    """There is no usable way to the API server; the text says what is missing."""


async def load(kubeconfig: Path | None) -> Configuration:
    """Return the client's configuration.

    Read from `kubeconfig`; without one from the pod's service account, then from $KUBECONFIG or ~/.kube/config, as kubectl
    does. Raises CredentialsError.
    """
    found = Configuration()
    with _told():
        if kubeconfig is None and os.environ.get("KUBERNETES_SERVICE_HOST"):
            config.load_incluster_config(client_configuration=found)  # type: ignore[no-untyped-call]
        else:
            await _load_file(found, kubeconfig)
    found.proxy = found.proxy or _proxy(found.host)
    found.client_session_kwargs = {"trust_env": False}  # or each request reads ~/.netrc and looks up proxies anew
    return found


def namespace(kubeconfig: Path | None) -> str:
    """Return the namespace that the context of `kubeconfig`, or of the one in kubectl's usual places, names; else `default`.

    Raises CredentialsError.
    """
    if kubeconfig is None and os.environ.get("KUBERNETES_SERVICE_HOST"):
        return "default"
    chosen = str(kubeconfig) if kubeconfig else None
    with _told():
        _, context = config.list_kube_config_contexts(config_file=chosen)  # type: ignore[no-untyped-call]
        return str(context["context"].get("namespace") or "default")


@contextmanager
def _told() -> Iterator[None]:
    """Raise CredentialsError for whatever is wrong with a kubeconfig."""
    try:
        yield
    except (config.ConfigException, OSError) as error:
        raise CredentialsError(f"cannot read how to reach the API server: {error}") from error
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, KeyError) as error:
        # no more than its type: a parser's message quotes the file, which holds secrets
        raise CredentialsError(f"cannot read how to reach the API server: not a kubeconfig ({type(error).__name__})") from None


def _proxy(server: str) -> str | None:
    """The proxy that the environment names for this server (HTTPS_PROXY, NO_PROXY)."""
    parts = urlsplit(server)
    if not parts.hostname or proxy_bypass(parts.hostname):
        return None
    return getproxies().get(parts.scheme)


async def _load_file(found: Configuration, kubeconfig: Path | None) -> None:
    chosen = str(kubeconfig) if kubeconfig else None
    await config.load_kube_config(chosen, client_configuration=found, persist_config=False)  # type: ignore[no-untyped-call]


async def for_kopf(found: Configuration) -> kopf.ConnectionInfo:
    """Return the same access in kopf's words."""
    header = await found.get_api_key_with_prefix("BearerToken")
    scheme, _, token = (header or "").partition(" ")
    return kopf.ConnectionInfo(
        server=found.host,
        ca_path=found.ssl_ca_cert,
        insecure=not found.verify_ssl,
        scheme=scheme or None,
        token=token.strip() or None,
        certificate_path=found.cert_file,
        private_key_path=found.key_file,
        proxy_url=found.proxy,
    )
