"""Use of a namespaced object from another namespace (the pattern of Gateway API's allowedRoutes)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from controller.runtime.store import Store
from controller.shared.namespace import Namespace
from crds.base import ObjectMeta
from crds.references import AllowedNamespaces, LabelSelector, NamespacesFrom, SelectorOperator, SelectorRequirement


class Granting(Protocol):
    """An object that others may use."""

    @property
    def metadata(self) -> ObjectMeta:
        """Its metadata."""


def granted(target: Granting, allowed: AllowedNamespaces, namespace: str, store: Store) -> bool:
    """Whether objects of `namespace` may use `target`; its own namespace always may."""
    if target.metadata.namespace == namespace or allowed.from_ is NamespacesFrom.ALL:
        return True
    if allowed.from_ is not NamespacesFrom.SELECTOR or allowed.selector is None:
        return False
    user = store.get(Namespace, namespace)
    return user is not None and selects(allowed.selector, user.metadata.labels)


def selects(selector: LabelSelector, labels: Mapping[str, str]) -> bool:
    """Whether labels meet a selector (metav1.LabelSelector); an empty selector selects everything."""
    exact = all(labels.get(key) == value for key, value in selector.match_labels.items())
    return exact and all(_holds(requirement, labels) for requirement in selector.match_expressions)


def _holds(requirement: SelectorRequirement, labels: Mapping[str, str]) -> bool:
    present = requirement.key in labels
    value = labels.get(requirement.key)
    match requirement.operator:
        case SelectorOperator.IN:
            return present and value in requirement.values
        case SelectorOperator.NOT_IN:
            return not present or value not in requirement.values
        case SelectorOperator.EXISTS:
            return present
        case SelectorOperator.DOES_NOT_EXIST:
            return not present
