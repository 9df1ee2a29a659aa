"""What an operator sets, by environment variables with the prefix VIREO_ or flags of `vireo run`."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Settings of a controller process. Times are seconds, sizes bytes."""

    model_config = SettingsConfigDict(env_prefix="VIREO_", extra="ignore")

    kubeconfig: Path | None = None
    """Access to the API server; default: the pod's service account, else $KUBECONFIG or ~/.kube/config."""
    lease_namespace: str = "vireo-system"
    """Namespace of the Lease that the active replica holds; it must exist."""
    lease_name: str = "vireo-controller"
    """Name of that Lease."""
    identity: str | None = Field(default=None, min_length=1, max_length=128)
    """Name that this process holds the Lease under. A process that is started anew under the same name goes on at once, without
    waiting for the Lease to expire: whoever gives one must see to it that only one such process runs. Default: the pod's name in a
    cluster, where the kubelet sees to that; a name of its own elsewhere."""
    shards: int = Field(default=1, ge=1, le=16)
    """Into how many shards the work on VMs is divided, by the clusters that they are on; the same for all replicas. Each replica
    works on the shards whose Leases it holds."""
    probe_host: str = "127.0.0.1"
    """Address of /healthz, /readyz and /metrics."""
    probe_port: int = Field(default=8080, ge=0, le=65535)
    """Port of these; 0 takes a free one."""
    workers: int = Field(default=32, ge=1, le=256)
    """Objects reconciled at once."""
    image_directory: Path = Path("/var/cache/vireo/images")
    """Where template images are downloaded to; a cache that may be emptied while the controller is stopped."""
    image_cache_size: int = Field(default=50 << 30, ge=0)
    """Bytes of images to keep; what a download in progress needs comes on top."""
    log_level: str = Field(default="info", pattern="^(debug|info|warning|error)$")
    """Least level that is logged."""
    log_format: str = Field(default="json", pattern="^(json|text)$")
    """JSON for collectors or text for people."""
