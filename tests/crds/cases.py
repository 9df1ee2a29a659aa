"""How a CEL rule is told by example, and the examples that several kinds share.

`good` and `bad` are merge patches on spec. A rule about a change (oldSelf) is tried by changing a stored object of spec `old`; any
other by creating an object.
"""

from dataclasses import dataclass
from typing import Any

from crds.base import Resource
from tests.crds.samples import MINIMAL

Spec = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """`field` as the server names it, without indexes; `transition` if the rule compares with what was stored."""

    kind: type[Resource]
    field: str
    message: str
    good: Spec
    bad: Spec
    old: Spec
    transition: bool = False

    @property
    def rule(self) -> tuple[str, str, str]:
        return self.kind.KIND, self.field, self.message

    def __str__(self) -> str:
        return f"{self.kind.KIND}-{self.field}-{self.message[:40]}"


def value(kind: type[Resource], field: str, message: str, good: Spec, bad: Spec, old: Spec | None = None) -> Case:
    """A rule about one object."""
    return Case(kind, field, message, good, bad, MINIMAL[kind] if old is None else old)


def change(kind: type[Resource], field: str, message: str, good: Spec, bad: Spec, old: Spec | None = None) -> Case:
    """A rule about a change of a stored object."""
    return Case(kind, field, message, good, bad, MINIMAL[kind] if old is None else old, transition=True)


def fixed(
    kind: type[Resource], field: str, good: Spec, *bad: Spec, old: Spec | None = None, message: str = "is immutable"
) -> list[Case]:
    """An immutable field: `good` changes something else, each of `bad` that field."""
    return [change(kind, field, message, good, each, old) for each in bad]


IPV4 = "must be an IPv4 address such as 10.1.0.20"
CIDR = "must be an IPv4 network without host bits such as 10.1.0.0/24"
SIZE = "must be more than 0 and less than 1Ei"
PASSWORD = "must not hold a password: put it into a Secret and name that in credentials.secretRef"
OFFERING = "is immutable: create another offering and point the VM at it"
VALUES = "values are needed by In and NotIn, and by them only"
SELECTOR = "selector goes with from: Selector, and only with it"
SCOPE = "scope Cluster needs cluster, scope Host needs host, and neither goes with another scope"

NOT_IPV4 = ["", "10.1.0", "10.1.0.256", "10.1.0.020", "10.1.0.1/24", "2001:db8::1", "::ffff:10.1.0.1", "gateway"]
NOT_CIDR = ["10.1.0.0", "10.1.0.1/24", "10.1.0.0/33", "2001:db8::/64", "10.1/16", "net"]

DISABLED = {"allocationState": "Disabled"}


def ipv4(kind: type[Resource], field: str, place: Any, old: Spec | None = None) -> list[Case]:
    """The rule of every IPv4 field; `place(text)` is the patch that sets it."""
    return [value(kind, field, IPV4, place("10.1.0.9"), place(text), old) for text in NOT_IPV4]


def size(kind: type[Resource], field: str, place: Any) -> list[Case]:
    """The rule of every size that a user asks for."""
    pairs = [("1", 0), (1, "0"), ("1023Pi", "1Ei"), ("1.5Gi", "0Gi"), ("1e9", "1e19"), ("999P", "9999999999999999999")]
    return [value(kind, field, SIZE, place(good), place(bad)) for good, bad in pairs]


def endpoint(kind: type[Resource]) -> list[Case]:
    """The rules of an endpoint."""
    url, tls = "spec.endpoint.url", "spec.endpoint.tls"

    def at(text: str) -> Spec:
        return {"endpoint": {"url": text}}

    exclude = "caSecretRef and insecure exclude each other"
    authority = {"caSecretRef": {"namespace": "infra", "name": "ca"}}
    both = {"endpoint": {"url": "a:b", "tls": authority | {"insecure": True}}}
    return [
        value(kind, url, PASSWORD, at("qemu+ssh://root@h1/system"), at("qemu+ssh://root:secret@h1/system")),
        value(kind, url, PASSWORD, at("http://[2001:db8::1]:8080/a@b"), at("https://admin:@h1")),
        value(kind, url, PASSWORD, at("qemu+unix:///system?socket=/run/a:b@c"), at("https://:secret@h1/")),
        value(kind, tls, exclude, {"endpoint": {"url": "a:b", "tls": authority}}, both),
        value(kind, tls, exclude, {"endpoint": {"url": "a:b", "tls": {"insecure": True}}}, both),
    ]


def grant(kind: type[Resource], name: str = "allowedNamespaces") -> list[Case]:
    """The rules of allowedNamespaces, or of a field like it."""

    def to(source: str, selector: Spec | None) -> Spec:
        return {name: {"from": source} | ({} if selector is None else {"selector": selector})}

    def expression(operator: str, *values: str) -> Spec:
        return to(
            "Selector", {"matchExpressions": [{"key": "team", "operator": operator} | ({"values": list(values)} if values else {})]}
        )

    where = f"spec.{name}"
    requirement = f"{where}.selector.matchExpressions[]"
    return [
        value(kind, where, SELECTOR, to("Selector", {}), to("Selector", None)),
        value(kind, where, SELECTOR, to("All", None), to("All", {"matchLabels": {"a": "b"}})),
        value(kind, where, SELECTOR, to("Same", None), {name: {"selector": {}}}),
        value(kind, requirement, VALUES, expression("In", "a"), expression("In")),
        value(kind, requirement, VALUES, expression("NotIn", "a", "b"), expression("NotIn")),
        value(kind, requirement, VALUES, expression("Exists"), expression("Exists", "a")),
        value(kind, requirement, VALUES, expression("DoesNotExist"), expression("DoesNotExist", "a")),
    ]
