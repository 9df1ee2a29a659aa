"""Tokens and kubeconfigs."""

import base64
import itertools
import json
import stat
from pathlib import Path

import pytest

from standalone.access import USERS, kubeconfig, tokens


def test_made_once(tmp_path: Path) -> None:
    numbers = itertools.count(1)
    path = tmp_path / "tokens.csv"
    made = tokens(path, lambda: f"token{next(numbers)}")
    assert made == {"admin": "token1", "controller": "token2", "controller-manager": "token3"}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text() == (
        "token1,vireo-admin,vireo-admin,system:masters\n"
        "token2,vireo-controller,vireo-controller,\n"
        "token3,system:kube-controller-manager,system:kube-controller-manager,\n"
    )
    assert tokens(path, lambda: pytest.fail("there are tokens already")) == made


def test_only_what_is_missing_is_made(tmp_path: Path) -> None:
    path = tmp_path / "tokens.csv"
    path.write_text('kept,vireo-controller,vireo-controller,""\n\nhalf a line\n')
    made = tokens(path, lambda: "new")
    assert made == {"admin": "new", "controller": "kept", "controller-manager": "new"}
    assert tokens(path) == made


def test_tokens_are_random_and_long(tmp_path: Path) -> None:
    drawn = [*tokens(tmp_path / "one").values(), *tokens(tmp_path / "two").values()]
    assert len(set(drawn)) == 2 * len(USERS)
    assert all(len(base64.urlsafe_b64decode(token + "=")) == 32 for token in drawn)


def test_nobody_but_the_administrator_is_in_a_group() -> None:
    assert {key: user.groups for key, user in USERS.items() if user.groups} == {"admin": ("system:masters",)}


def test_kubeconfig() -> None:
    content = json.loads(kubeconfig(6443, b"-----PEM-----", "controller", "secret"))
    (cluster,), (user,), (context,) = content["clusters"], content["users"], content["contexts"]
    assert cluster["cluster"]["server"] == "https://127.0.0.1:6443"
    assert base64.b64decode(cluster["cluster"]["certificate-authority-data"]) == b"-----PEM-----"
    assert user["user"] == {"token": "secret"}
    assert context["context"] == {"cluster": cluster["name"], "user": user["name"]}
    assert content["current-context"] == context["name"]
