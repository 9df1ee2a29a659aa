"""Where a Host's hypervisor answers: its own endpoint or its Cluster's, with what its Secrets hold."""

from __future__ import annotations

from dataclasses import replace

from controller.host.credentials import SecretInvalid, authority, credentials
from controller.inventory.secrets import Secrets
from controller.runtime.ports import Rejected
from controller.runtime.results import Result, failed, waiting
from controller.runtime.store import Store
from controller.shared.namespace import SYSTEM
from crds.references import Endpoint as DeclaredEndpoint
from crds.references import SecretRef
from crds.v1alpha1 import Cluster, Host, Pod, Zone
from drivers.types import Credentials, Endpoint

SECRET_RETRY = 30.0
CLOUD_RETRY = 1.0


class _Unusable(Exception):
    """A Secret can't be used; `result` is what the reconcile should answer."""

    def __init__(self, result: Result) -> None:
        super().__init__()
        self.result = result


def find_cluster(host: Host, store: Store) -> Cluster | Result:
    """The Host's Cluster, if it and its Zone and Pod exist; else what is missing, which a watch tells of."""
    cluster = store.get(Cluster, host.spec.cluster)
    if cluster is None:
        return waiting("ClusterNotFound", f"cluster {host.spec.cluster} does not exist")
    if store.get(Zone, cluster.spec.zone) is None:
        return waiting("ZoneNotFound", f"zone {cluster.spec.zone} of cluster {host.spec.cluster} does not exist")
    if store.get(Pod, cluster.spec.pod) is None:
        return waiting("PodNotFound", f"pod {cluster.spec.pod} of cluster {host.spec.cluster} does not exist")
    return cluster


async def find_endpoint(host: Host, cluster: Cluster, secrets: Secrets, cloud: str | None) -> Endpoint | Result:
    """The endpoint with its credentials, or why there is none. A missing Secret is looked for again every `SECRET_RETRY` seconds.

    Without a `cloud` that what is made there can be marked with, nothing is connected to. Raises ApiError.
    """
    declared = host.spec.endpoint or cluster.spec.endpoint
    if declared is None:
        message = f"neither the host nor cluster {cluster.metadata.name} has an endpoint"
        return failed("EndpointMissing", message, terminal=True)
    if cloud is None:
        return waiting("NamespaceNotFound", f"namespace {SYSTEM} does not exist yet", retry_after=CLOUD_RETRY)
    try:
        found = await _credentials(declared, secrets)
    except _Unusable as unusable:
        return unusable.result
    return Endpoint(declared.url, found, insecure=bool(declared.tls and declared.tls.insecure), cloud=cloud)


async def _credentials(declared: DeclaredEndpoint, secrets: Secrets) -> Credentials:
    found = Credentials()
    if declared.credentials:
        found = await _read(declared.credentials.secret_ref, None, secrets)
    if declared.tls and declared.tls.ca_secret_ref:
        reference = declared.tls.ca_secret_ref
        trusted = await _read(reference, reference.key, secrets)
        found = replace(found, ca_certificate=trusted.ca_certificate)
    return found


async def _read(reference: SecretRef, key: str | None, secrets: Secrets) -> Credentials:
    """What a Secret holds: with `key` a certificate authority, without it credentials."""
    shown = f"Secret {reference.namespace}/{reference.name}"
    try:
        data = await secrets.read(reference.namespace, reference.name)
    except Rejected as error:
        raise _Unusable(waiting("SecretNotReadable", f"{shown} can't be read: {error}", retry_after=SECRET_RETRY)) from error
    if data is None:
        raise _Unusable(waiting("SecretNotFound", f"{shown} does not exist", retry_after=SECRET_RETRY))
    try:
        return Credentials(ca_certificate=authority(data, key)) if key else credentials(data)
    except SecretInvalid as error:
        raise _Unusable(failed("SecretInvalid", f"{shown}: {error}", terminal=True)) from error
