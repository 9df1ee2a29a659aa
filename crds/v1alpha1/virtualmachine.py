"""VirtualMachine: the VM."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from crds.base import Column, Definition, Model, Resource
from crds.cel import IMMUTABLE, Rule, immutable_optional
from crds.fields import MAC, Duration, IPv4, Label, ListType, Name, NamespaceName, Size, Tags, Timestamp
from crds.references import SecretKeyRef
from crds.v1alpha1.template import Firmware
from crds.v1alpha1.virtualmachinestatus import VirtualMachineStatus

__all__ = [
    "Adopt",
    "AdoptMode",
    "AntiAffinity",
    "AntiAffinityMode",
    "DeletionPolicy",
    "DriftPolicy",
    "NetworkInterface",
    "Placement",
    "PowerState",
    "RecreatePolicy",
    "RootDisk",
    "StopMode",
    "TemplateReference",
    "UserData",
    "VirtualMachine",
    "VirtualMachineSpec",
    "VolumeMount",
]


class PowerState(StrEnum):
    """Whether a VM should run."""

    ON = "On"
    OFF = "Off"


class StopMode(StrEnum):
    """How a VM is stopped."""

    SOFT = "Soft"
    TRY_SOFT = "TrySoft"
    HARD = "Hard"


class DeletionPolicy(StrEnum):
    """What happens in the hypervisor when the object is deleted."""

    DELETE = "Delete"
    RETAIN = "Retain"


class DriftPolicy(StrEnum):
    """What happens when the VM was changed behind Vireo's back."""

    CORRECT = "Correct"
    REPORT = "Report"


class RecreatePolicy(StrEnum):
    """What happens when the VM was deleted in the hypervisor."""

    ON_ROOT_DISK = "OnRootDisk"
    NEVER = "Never"
    FRESH = "Fresh"


class AdoptMode(StrEnum):
    """What happens with a VM that is to be adopted."""

    REPORT = "Report"
    ADOPT = "Adopt"


class Adopt(Model):
    """A VM that is there already, to be managed in place."""

    RULES = (Rule("self.mode == 'Adopt' || oldSelf.mode == 'Report'", "cannot go back from Adopt to Report", ".mode"),)

    instance_id: Annotated[
        str,
        Field(max_length=36, pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"),
        IMMUTABLE,
    ]
    """UUID of the VM in the hypervisor, lower case with dashes. Immutable."""
    mode: AdoptMode = AdoptMode.REPORT
    """Report says in status.adoption how the VM differs and changes nothing; Adopt takes it over, for good. Default Report."""


class TemplateReference(Model):
    """The image that a VM or a volume is made from."""

    name: Name
    """Name of the Template."""
    namespace: NamespaceName | None = None
    """Namespace of the Template, which must allow this one. Default: this object's."""


class RootDisk(Model):
    """The disk that the VM boots from."""

    size: (
        Annotated[
            Size,
            Rule("quantity(string(self)).compareTo(quantity(string(oldSelf))) >= 0", "must not shrink"),
        ]
        | None
    ) = None
    """Size, a quantity in bytes; grows only. Default: the template's virtual size."""
    tags: Tags = Field(default_factory=list)
    """Tags that the pool must have beside the offering's, when the disk is placed. Default: any pool."""


class NetworkInterface(Model):
    """A network interface."""

    name: Label
    """Name of the interface within the VM."""
    network: Name
    """Name of the Network."""
    network_namespace: NamespaceName | None = None
    """Namespace of the Network, which must allow this one. Default: the VM's."""
    ip: IPv4 | None = None
    """Pinned IPv4 address. Default: a free one of the subnet, see status.nics."""
    mac: MAC | None = None
    """Pinned MAC address, lower case. Default: a generated one, see status.nics."""
    default: bool | None = None
    """Whether the guest's default route goes here. Default: the first interface has it, when no other says true."""


class UserData(Model):
    """cloud-init user data."""

    RULES = (Rule("has(self.inline) != has(self.secretRef)", "exactly one of inline and secretRef must be set"),)

    inline: (
        Annotated[
            str,
            Field(min_length=1, max_length=262144),
            Rule("size(bytes(self)) <= 262144", "must be at most 262144 bytes (256 KiB) of UTF-8"),
        ]
        | None
    ) = None
    """The user data as text, at most 262144 bytes (256 KiB)."""
    secret_ref: SecretKeyRef | None = None
    """Key of a Secret in the VM's namespace that holds the user data."""


class VolumeMount(Model):
    """A volume as a disk of the VM."""

    name: Annotated[Label, Rule("self != 'root'", "must not be root: that is the disk of the template")]
    """Name of the disk within the VM; not root."""
    volume: Name
    """Name of the Volume, in this namespace. It can be on one VM at a time."""


class AntiAffinityMode(StrEnum):
    """How much two VMs of a group want to be apart (CloudStack: strict and non-strict host anti-affinity)."""

    REQUIRED = "Required"
    PREFERRED = "Preferred"


class AntiAffinity(Model):
    """VMs that should not share a host."""

    group: Label
    """Name of the group; VMs of this namespace with the same one are kept apart."""
    mode: AntiAffinityMode = AntiAffinityMode.REQUIRED
    """Required: waits rather than share a host; Preferred: shares one only if no other fits. Default Required."""


class Placement(Model):
    """Where a VM may run."""

    cluster: Name | None = None
    """Only in this Cluster. Default: any."""
    host: Name | None = None
    """Only on this Host. Default: any."""
    host_tags: Tags = Field(default_factory=list)
    """Tags that the host must have beside the offering's. Default: any host."""
    anti_affinity: AntiAffinity | None = None
    """VMs to keep off the same host, looked at when the VM is placed. Default: none."""


SSHKey = Annotated[str, Field(max_length=8192, pattern=r"^(ssh-|ecdsa-|sk-)[A-Za-z0-9@.-]+ [A-Za-z0-9+/]+=*( [^\r\n]*)?$")]


class VirtualMachineSpec(Model):
    """What a VM should be."""

    RULES = (
        Rule("has(self.template) != has(self.adopt)", "exactly one of template and adopt must be set"),
        immutable_optional("template"),
        immutable_optional("firmware"),
        Rule(
            "!has(oldSelf.rootDisk) || !has(oldSelf.rootDisk.size) || (has(self.rootDisk) && has(self.rootDisk.size))",
            "rootDisk.size cannot be removed once set: it only grows",
            ".rootDisk",
        ),
        Rule(
            "!has(self.volumes) || self.volumes.all(v, self.volumes.exists_one(w, w.volume == v.volume))",
            "a volume can be attached once only",
            ".volumes",
        ),
        Rule(
            "!has(self.networks) || self.networks.filter(n, has(n.default) && n.default).size() <= 1",
            "at most one interface can be the default",
            ".networks",
        ),
        Rule(
            "!has(self.networks) || self.networks.all(n, !has(n.mac) || self.networks.exists_one(m, has(m.mac) && m.mac == n.mac))",
            "two interfaces must not have the same mac",
            ".networks",
        ),
    )

    zone: Annotated[Name, IMMUTABLE]
    """Zone that the VM runs in. Immutable."""
    power_state: PowerState = PowerState.ON
    """Whether the VM should run: "On" or "Off", in quotes since YAML reads plain On as a boolean. Default "On"."""
    offering: Name
    """ServiceOffering with CPU and memory; another one resizes the VM, where that needs a restart at the next one."""
    template: TemplateReference | None = None
    """Template that the root disk is made from. Default: none, for a VM that is adopted; every other needs one. Immutable."""
    adopt: Adopt | None = None
    """VM in the hypervisor that is taken over in place of one that is made; only the mode can be changed later. Default: none."""
    root_disk: RootDisk = Field(default_factory=RootDisk)
    """The disk that the VM boots from. Default: of the template's size, in any pool."""
    networks: Annotated[list[NetworkInterface], Field(max_length=8), ListType("map", ("name",))] = Field(default_factory=list)
    """Network interfaces, by name. Default: none."""
    volumes: Annotated[list[VolumeMount], Field(max_length=16), ListType("map", ("name",))] = Field(default_factory=list)
    """Volumes attached to the VM, by name; attached and detached while it runs, where the hypervisor can. Default: none."""
    hostname: Label | None = None
    """Host name for the guest. Default: the VM's name up to its first dot, at most 63 characters."""
    ssh_keys: Annotated[list[SSHKey], Field(max_length=32), ListType("set")] = Field(default_factory=list)
    """Public SSH keys of the guest's first user, one line of at most 8192 characters each; read at first boot. Default: none."""
    user_data: UserData | None = None
    """cloud-init user data, read at the first boot. Default: none."""
    firmware: Firmware | None = None
    """Firmware: BIOS or UEFI. Default: the template's, or the one that an adopted VM has. Immutable."""
    placement: Placement = Field(default_factory=Placement)
    """Where the VM may run. Default: anywhere in the zone."""
    stop_mode: StopMode = StopMode.TRY_SOFT
    """Soft (ask the guest, and wait), TrySoft (ask, then cut the power after stopTimeout) or Hard (cut it). Default TrySoft."""
    stop_timeout: Annotated[
        Duration,
        Rule("duration(self) >= duration('1s') && duration(self) <= duration('1h')", "must be between 1s and 1h"),
    ] = Duration("120s")
    """Time that the guest has to stop, a duration from 1s to 1h. Default 120s."""
    restarted_at: (
        Annotated[
            Timestamp,
            Rule("timestamp(self) >= timestamp('1970-01-01T00:00:00Z')", "must be a day of the calendar, from 1970 on"),
        ]
        | None
    ) = None
    """A later time than status.appliedRestartAt restarts the VM once, when it has come; RFC 3339 UTC. Default: no restart."""
    deletion_policy: DeletionPolicy | None = None
    """Delete the VM and its disks with this object, or Retain them in the hypervisor. Default: Delete, Retain for an adopted VM."""
    drift_policy: DriftPolicy | None = None
    """Correct what was changed behind Vireo's back, or Report it. Default: power is corrected, hardware is reported."""
    recreate_policy: RecreatePolicy = RecreatePolicy.ON_ROOT_DISK
    """A VM deleted in the hypervisor is made again OnRootDisk (if that is left), Never, or Fresh (with a new root disk if need be).
    An adopted VM is never made again. Default OnRootDisk."""


class VirtualMachine(Resource):
    """A virtual machine."""

    KIND: ClassVar[str] = "VirtualMachine"
    DEFINITION: ClassVar[Definition] = Definition(
        plural="virtualmachines",
        scope="Namespaced",
        short_names=("vvm",),
        columns=(
            Column("State", ".status.state"),
            Column("Ready", '.status.conditions[?(@.type=="Ready")].status'),
            Column("Host", ".status.host"),
            Column("IP", ".status.ipAddress"),
            Column("Age", ".metadata.creationTimestamp", "date"),
            Column("Offering", ".spec.offering", wide=True),
            Column("Template", ".spec.template.name", wide=True),
            Column("Job", ".status.job.command", wide=True),
            Column("Reason", '.status.conditions[?(@.type=="Ready")].reason', wide=True),
        ),
        selectable=(".spec.zone", ".spec.offering", ".spec.powerState", ".status.state", ".status.host"),
    )

    spec: VirtualMachineSpec
    """What the VM should be."""
    status: VirtualMachineStatus = Field(default_factory=VirtualMachineStatus)
    """State of the VM."""
