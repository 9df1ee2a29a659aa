"""The rights that the demo needs in a cluster that is not its own: those of rights.yaml."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import yaml

from standalone.demo.commands import Kubectl
from standalone.errors import StandaloneError

MANIFEST = Path(__file__).parent / "rights.yaml"
SHOWN = 4
"""How many missing rights a sentence names."""


class Right(NamedTuple):
    """One verb on one resource, everywhere in the cluster."""

    verb: str
    group: str
    resource: str

    def __str__(self) -> str:
        what = f"{self.resource}.{self.group}" if self.group else self.resource
        return f"{self.verb} {what}"


def needed() -> list[Right]:
    """All of rights.yaml."""
    rules = yaml.safe_load(MANIFEST.read_text())["rules"]
    return [right for rule in rules for right in _of_rule(rule)]


def _of_rule(rule: dict[str, list[str]]) -> Iterator[Right]:
    for group in rule["apiGroups"]:
        for resource in rule["resources"]:
            for verb in rule["verbs"]:
                yield Right(verb, group, resource)


def check(kubectl: Kubectl) -> None:
    """Raise StandaloneError naming rights that are missing."""
    wanted = needed()
    reviews = json.dumps({"apiVersion": "v1", "kind": "List", "items": [_review(right) for right in wanted]})
    output = 'jsonpath={.status.allowed}{"\\n"}'
    answers = kubectl("ask the cluster for rights", "create", "--validate=ignore", "-f", "-", "-o", output, stdin=reviews).split()
    lacking = [str(right) for right, answer in zip(wanted, answers, strict=True) if answer != "true"]
    if lacking:
        more = f" and {len(lacking) - SHOWN} more" if len(lacking) > SHOWN else ""
        named = f"{', '.join(lacking[:SHOWN])}{more}"
        raise StandaloneError(f"the demo lacks rights in the cluster of KUBECONFIG: {named} (all it needs: {MANIFEST})")


def _review(right: Right) -> dict[str, object]:
    """https://kubernetes.io/docs/reference/access-authn-authz/authorization/#checking-api-access; no namespace means all."""
    attributes = {"verb": right.verb, "group": right.group, "resource": right.resource}
    return {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
