"""Who may enter: tokens (made once, kept) and the kubeconfig files that carry them."""

import base64
import csv
import io
import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from certificates.files import write_private
from standalone.ports import LOOPBACK


@dataclass(frozen=True)
class User:
    """A user of the API server; `groups` as Kubernetes' RBAC knows them."""

    name: str
    groups: tuple[str, ...] = ()


USERS = {
    "admin": User("vireo-admin", ("system:masters",)),
    "controller": User("vireo-controller"),
    "controller-manager": User("system:kube-controller-manager"),
}
"""By the stem of their kubeconfig file.  What vireo-controller may do is in rbac.yaml; the last one's role is built in."""


def tokens(path: Path, generate: Callable[[], str] = lambda: secrets.token_urlsafe(32)) -> Mapping[str, str]:
    """The token of each of USERS, read from the token file at `path`, which is made (mode 0600) if it lacks one.

    Format: kube-apiserver's static token file, CSV `token,user,uid,"group,group"`.
    """
    known = _read(path)
    if missing := [key for key, user in USERS.items() if user.name not in known]:
        known.update({USERS[key].name: generate() for key in missing})
        text = io.StringIO()
        rows = ([known[user.name], user.name, user.name, ",".join(user.groups)] for user in USERS.values())
        csv.writer(text, lineterminator="\n").writerows(rows)
        write_private(path, text.getvalue().encode())
    return {key: known[user.name] for key, user in USERS.items()}


def kubeconfig(api_port: int, authority: bytes, user: str, token: str) -> str:
    """A kubeconfig (JSON, which is YAML) for `user` that trusts exactly the PEM certificate `authority`."""
    cluster = {
        "server": f"https://{LOOPBACK}:{api_port}",
        "certificate-authority-data": base64.b64encode(authority).decode(),
    }
    name = "vireo-standalone"
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": user, "user": {"token": token}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": user}}],
        "current-context": name,
    }
    return json.dumps(content, indent=2) + "\n"


def _read(path: Path) -> dict[str, str]:
    try:
        rows = list(csv.reader(path.read_text().splitlines()))
    except FileNotFoundError:
        return {}
    return {row[1]: row[0] for row in rows if len(row) >= 3}
