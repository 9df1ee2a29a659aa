"""What a lab host with a complete kernel, and an NFS server, need and are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab import Lab, LabError, complete, hostconfig, nfsserver
from tests.lab.complete import CompleteHost
from tests.lab.layout import Layout
from tests.lab.nfsserver import NFSServer


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(complete, "find", lambda command: None if command == "linux.uml" else f"/sbin/{command}")
    assert complete.missing() == "it needs Debian packages that are not installed: apt-get install user-mode-linux"
    with pytest.raises(LabError, match="user-mode-linux"):
        CompleteHost(Lab(tmp_path / "lab", "t1")).start()
    monkeypatch.setattr(complete, "find", lambda command: f"/sbin/{command}")
    assert complete.missing() is None


def test_a_server_that_is_not_installed_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(nfsserver, "find", lambda command: None)
    with pytest.raises(LabError, match="apt-get install nfs-ganesha-vfs rpcbind"):
        NFSServer(Lab(tmp_path / "lab", "t1")).start()
    assert not (tmp_path / "lab").exists(), "nothing is left of the attempt"


def test_it_is_a_host_of_its_own_in_the_lab(tmp_path: Path) -> None:
    layout = Layout(tmp_path, "t1")
    text = hostconfig.complete(layout, complete.NAME, complete.ADDRESS)
    assert f'listen_addr = "{complete.ADDRESS}"' in text
    assert str(layout.host_uuid(complete.NAME)) in text
    others = {layout.management_address(f"h{number}") for number in range(1, 31)} | {"198.18.0.254"}
    assert len({complete.ADDRESS, nfsserver.ADDRESS} - others) == 2
    assert layout.owns_namespace("t1-stor"), "so it goes with the lab"
