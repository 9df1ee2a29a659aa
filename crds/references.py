"""Structures that several kinds share: Secrets, endpoints, grants to other namespaces, capacity."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from crds.base import Model
from crds.cel import Rule
from crds.fields import Count, ListType, Name, NamespaceName, Quantity

__all__ = [
    "TLS",
    "Allocated",
    "AllocationState",
    "AllowedNamespaces",
    "CASecretRef",
    "Capacity",
    "Credentials",
    "Endpoint",
    "LabelSelector",
    "NamespacesFrom",
    "SecretKeyRef",
    "SecretRef",
    "SelectorOperator",
    "SelectorRequirement",
]

SecretKey = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")]
LabelKey = Annotated[str, Field(min_length=1, max_length=317)]
LabelValue = Annotated[str, Field(max_length=63)]


class AllocationState(StrEnum):
    """Whether new VMs and disks may be placed here."""

    ENABLED = "Enabled"
    DISABLED = "Disabled"


class SecretRef(Model):
    """A Secret by namespace and name."""

    namespace: NamespaceName
    """Namespace of the Secret."""
    name: Name
    """Name of the Secret."""


class SecretKeyRef(Model):
    """A key of a Secret in the object's own namespace."""

    name: Name
    """Name of the Secret."""
    key: SecretKey
    """Key in the Secret's data."""


class CASecretRef(SecretRef):
    """A certificate authority in a Secret."""

    key: SecretKey = "ca.crt"
    """Key in the Secret's data that holds the PEM certificates; default ca.crt."""


class Credentials(Model):
    """How to log in to a hypervisor."""

    secret_ref: SecretRef
    """Secret with the keys of kubernetes.io/basic-auth (username, password), kubernetes.io/tls (tls.crt, tls.key) or
    kubernetes.io/ssh-auth (ssh-privatekey), as the URL needs."""


class TLS(Model):
    """How the hypervisor's certificate is checked."""

    RULES = (
        Rule(
            "!has(self.caSecretRef) || !has(self.insecure) || !self.insecure",
            "caSecretRef and insecure exclude each other",
        ),
    )

    ca_secret_ref: CASecretRef | None = None
    """Certificate authority to trust; default: those of the system."""
    insecure: bool = False
    """Accept any certificate; for test set-ups only. Default false."""


class Endpoint(Model):
    """Where a hypervisor answers."""

    url: Annotated[
        str,
        Field(min_length=1, max_length=512, pattern=r"^[a-z][a-z0-9+.-]*:[^\s]+$"),
        Rule(
            "!self.matches('^[a-z0-9+.-]+://[^/?#@]*:[^/?#@]*@')",
            "must not hold a password: put it into a Secret and name that in credentials.secretRef",
        ),
    ]
    """URL of the hypervisor's API, such as qemu+tls://h1.example.org/system for libvirt."""
    credentials: Credentials | None = None
    """Credentials; default: none, as for a local socket."""
    tls: TLS | None = None
    """Checking of the server's certificate; default: against the system's authorities."""


class NamespacesFrom(StrEnum):
    """Which namespaces may use an object."""

    SAME = "Same"
    ALL = "All"
    SELECTOR = "Selector"


class SelectorOperator(StrEnum):
    """Operator of a label selector requirement."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


class SelectorRequirement(Model):
    """metav1.LabelSelectorRequirement."""

    RULES = (
        Rule(
            "(self.operator in ['In', 'NotIn']) == (has(self.values) && size(self.values) > 0)",
            "values are needed by In and NotIn, and by them only",
        ),
    )

    key: LabelKey
    """Label key."""
    operator: SelectorOperator
    """In, NotIn, Exists or DoesNotExist."""
    values: Annotated[list[LabelValue], Field(max_length=32), ListType("atomic")] = Field(default_factory=list)
    """Label values; with In and NotIn only."""


class LabelSelector(Model):
    """metav1.LabelSelector: all requirements must hold; an empty one selects everything."""

    match_labels: Annotated[dict[str, LabelValue], Field(max_length=32)] = Field(default_factory=dict)
    """Labels with their values; all must be there. Default: any."""
    match_expressions: Annotated[list[SelectorRequirement], Field(max_length=32), ListType("atomic")] = Field(default_factory=list)
    """Requirements on labels; all must hold. Default: none."""


class AllowedNamespaces(Model):
    """The namespaces whose VMs may use this object."""

    RULES = (Rule("(self.from == 'Selector') == has(self.selector)", "selector goes with from: Selector, and only with it"),)

    from_: Annotated[NamespacesFrom, Field(alias="from")] = NamespacesFrom.SAME
    """Same (this namespace), All, or Selector (namespaces with matching labels). Default Same."""
    selector: LabelSelector | None = None
    """Labels of the allowed namespaces; with from: Selector only."""


class Capacity(Model):
    """CPU and memory."""

    cpus: Count = 0
    """CPUs, in logical CPUs."""
    memory: Quantity = Quantity("0")
    """Memory, a quantity in bytes."""


class Allocated(Capacity):
    """CPU and memory promised to VMs."""

    vms: Count = 0
    """VMs placed here."""
