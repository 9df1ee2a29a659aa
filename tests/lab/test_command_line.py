"""python -m tests.lab: what the demo and people call."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab import Lab
from tests.lab.__main__ import main

pytestmark = pytest.mark.lab


def call(lab: Lab, *arguments: str) -> int:
    return main(["--state", str(lab.layout.state), "--prefix", lab.layout.prefix, *arguments])


def test_a_life_of_a_lab(new_lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(new_lab, "up", "--hosts", "2") == 0
    uris = [host.uri for host in new_lab.hosts()]
    assert capsys.readouterr().out.splitlines() == [f"h1  on         {uris[0]}", f"h2  on         {uris[1]}"]
    for arguments, state in [
        (("host", "hang", "h1"), "hung"),
        (("host", "unhang", "h1"), "on"),
        (("host", "daemon-kill", "h1"), "no-daemon"),
        (("host", "daemon-start", "h1"), "on"),
        (("host", "crash", "h1"), "off"),
        (("host", "start", "h1"), "on"),
    ]:
        assert call(new_lab, *arguments) == 0
        assert new_lab.host("h1").state == state, arguments
    assert call(new_lab, "status") == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert call(new_lab, "down") == 0
    assert not new_lab.layout.state.exists()


def test_enter(lab: Lab) -> None:
    argv = ["-m", "tests.lab", "--state", str(lab.layout.state), "--prefix", lab.layout.prefix]
    for place, interfaces in (("ctl", {"lo", "mgmt0"}), ("h1", {"lo", "mgmt0", "trunk0"})):
        done = subprocess.run([sys.executable, *argv, "enter", place, "ls", "/sys/class/net"], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
        assert set(done.stdout.split()) >= interfaces
    done = subprocess.run([sys.executable, *argv, "enter", "h2", "hostname"], capture_output=True, text=True)
    assert done.stdout == "h2\n"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["status"], "no lab is up in "),
        (["host", "crash", "h1"], "no lab is up in "),
        (["enter", "ctl", "true"], "this lab has no place 'ctl'"),
        (["ssh", "--key", "/nowhere", "10", "10.10.0.5"], "this lab has no place 'vlan10'"),
        (["up", "--hosts", "0"], "0 hosts: a lab has 1 to 30"),
        (["up", "--hosts", "31"], "31 hosts: a lab has 1 to 30"),
        (["gateway", "5000", "10.0.0.1/24"], "VLAN 5000: use 1 to 4094"),
        (["vlan", "0"], "VLAN 0: use 1 to 4094"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    new_lab: Lab, capsys: pytest.CaptureFixture[str], arguments: list[str], complaint: str
) -> None:
    assert call(new_lab, *arguments) == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith(complaint)
    assert len(output.err.splitlines()) == 1


def test_refusals_of_a_lab_that_is_up(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(lab, "up", "--backend", "vxlan") == 1
    assert "backend ovs: take it down first" in capsys.readouterr().err
    assert call(lab, "host", "crash", "h3") == 1
    assert "no host h3: it has h1 to h2" in capsys.readouterr().err
    assert call(lab, "enter", "fabrik", "true") == 1
    assert "no place 'fabrik'" in capsys.readouterr().err


def test_directory_of_another_lab_is_refused(lab: Lab) -> None:
    assert main(["--state", str(lab.layout.state), "--prefix", "other", "up"]) == 1
    assert [host.state for host in lab.hosts()] == ["on", "on"]


def test_without_root_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.lab.requirements.missing", lambda: "lab hosts need root: run as root")
    assert main(["--state", str(tmp_path / "lab"), "up"]) == 1
    assert capsys.readouterr().err == "lab hosts need root: run as root\n"
    assert not (tmp_path / "lab").exists()
