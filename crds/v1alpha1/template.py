"""Template: a bootable image."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from crds.base import Column, Definition, Model, Resource
from crds.cel import IMMUTABLE, Rule
from crds.fields import ListType, Name, Percent, Quantity, Size
from crds.references import AllowedNamespaces
from crds.status import Job, Known, Status

__all__ = [
    "Devices",
    "Firmware",
    "ImageFormat",
    "Template",
    "TemplatePool",
    "TemplateSource",
    "TemplateSpec",
    "TemplateState",
    "TemplateStatus",
]

_CHECKSUM = r"^(sha512:[0-9a-f]{128}|sha256:[0-9a-f]{64}|md5:[0-9a-f]{32})$"


class Firmware(StrEnum):
    """Firmware that a VM boots with."""

    BIOS = "BIOS"
    UEFI = "UEFI"


class Devices(StrEnum):
    """What a VM's disks and NICs look like to the guest."""

    VIRTIO = "VirtIO"
    EMULATED = "Emulated"


class ImageFormat(StrEnum):
    """Format of a disk image, CloudStack's names."""

    QCOW2 = "QCOW2"
    RAW = "RAW"
    VMDK = "VMDK"
    VHD = "VHD"


class TemplateState(StrEnum):
    """CloudStack's download states (VMTemplateStorageResourceAssoc.Status)."""

    NOT_DOWNLOADED = "NotDownloaded"
    DOWNLOAD_IN_PROGRESS = "DownloadInProgress"
    DOWNLOADED = "Downloaded"
    DOWNLOAD_ERROR = "DownloadError"
    ABANDONED = "Abandoned"


class TemplateSource(Model):
    """Where an image comes from."""

    url: Annotated[
        str,
        Field(min_length=9, max_length=2048, pattern=r"^https?://[^\s]+$"),
        Rule("!self.matches('^[a-z]+://[^/?#]*@')", "must not hold a user name or password"),
    ]
    """URL of the image, http or https."""
    checksum: Annotated[str, Field(max_length=135, pattern=_CHECKSUM)] | None = None
    """Checksum of the file, as sha256:, sha512: or md5: and lower-case hex digits. Default: not checked."""


class TemplateSpec(Model):
    """What an image is."""

    source: Annotated[TemplateSource, IMMUTABLE]
    """Where the image comes from. Immutable."""
    format: Annotated[ImageFormat, IMMUTABLE] = ImageFormat.QCOW2
    """Format of the file: QCOW2, RAW, VMDK or VHD. Default QCOW2. Immutable."""
    os_type: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    """Operating system, for people. Default: not said."""
    firmware: Annotated[Firmware, IMMUTABLE] = Firmware.BIOS
    """Firmware that the image boots with: BIOS or UEFI. Default BIOS. Immutable."""
    devices: Annotated[Devices, IMMUTABLE] = Devices.VIRTIO
    """Disks and NICs that the image has drivers for: VirtIO, or Emulated (SATA and e1000e) for guests without virtio drivers,
    which are slower. Only KVM makes a difference. Default VirtIO. Immutable."""
    min_disk: Size | None = None
    """Smallest root disk, a quantity in bytes. Default: the image's virtual size."""
    min_memory: Size | None = None
    """Least memory of a VM, a quantity in bytes. Default: any."""
    allowed_namespaces: AllowedNamespaces = Field(default_factory=AllowedNamespaces)
    """Namespaces whose VMs may use the template. Default: its own only."""


class TemplatePool(Model):
    """The image in one pool."""

    pool: Name
    """StoragePool."""
    state: Known[TemplateState]
    """Download state in this pool; NotDownloaded and Abandoned are reserved, as above."""
    progress: Percent | None = None
    """Percent copied, while DownloadInProgress."""


class TemplateStatus(Status):
    """State of an image."""

    state: Known[TemplateState] | None = None
    """NotDownloaded, DownloadInProgress, Downloaded, DownloadError or Abandoned.

    NotDownloaded and Abandoned are reserved for images that wait for somebody to ask for them: each is downloaded as soon as it is
    declared, and no download is given up.
    """
    progress: Percent | None = None
    """Percent downloaded, while DownloadInProgress."""
    checksum: Annotated[str, Field(max_length=135)] | None = None
    """SHA-256 of the downloaded file, or the checksum of the source; as sha256: and hex digits."""
    virtual_size: Quantity | None = None
    """Size of the disk that a guest sees, a quantity in bytes."""
    physical_size: Quantity | None = None
    """Size of the image file, a quantity in bytes."""
    pools: Annotated[list[TemplatePool], Field(max_length=4096), ListType("map", ("pool",))] = Field(default_factory=list)
    """Pools that have, or are getting, the image."""
    job: Job | None = None
    """The running or last job."""


class Template(Resource):
    """A bootable image by URL and checksum; its content never changes."""

    KIND: ClassVar[str] = "Template"
    DEFINITION: ClassVar[Definition] = Definition(
        plural="templates",
        scope="Namespaced",
        short_names=("vtemplate",),
        columns=(
            Column("State", ".status.state"),
            Column("Progress", ".status.progress", "integer"),
            Column("Size", ".status.virtualSize"),
            Column("Ready", '.status.conditions[?(@.type=="Ready")].status'),
            Column("Age", ".metadata.creationTimestamp", "date"),
            Column("Format", ".spec.format", wide=True),
            Column("Firmware", ".spec.firmware", wide=True),
            Column("OS", ".spec.osType", wide=True),
            Column("URL", ".spec.source.url", wide=True),
            Column("Reason", '.status.conditions[?(@.type=="Ready")].reason', wide=True),
        ),
        selectable=(".status.state",),
    )

    spec: TemplateSpec
    """What the image is."""
    status: TemplateStatus = Field(default_factory=TemplateStatus)
    """State of the image."""
