"""Commands over SSH: the command line, what a host's answers mean, and bounds."""

import re
import shlex
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.errors import AuthFailed, DriverError, InvalidSpec, Transient, Unanswered, Unsupported
from drivers.kvm.link import shell
from drivers.kvm.link.shell import Command, Shell, arguments, call
from drivers.kvm.link.url import parse
from drivers.types import Credentials, Endpoint

LOGIN = Credentials(ssh_key=b"KEY\n", known_hosts=b"kvm1 ssh-ed25519 AAAA\n")
PAGE = Path(__file__).parents[4] / "docs/concepts/kvm.md"
FILES = {"id": Path("/k/id"), "known_hosts": Path("/k/known_hosts")}


def words(url: str, endpoint: Endpoint | None = None, files: dict[str, Path] | None = None) -> list[str]:
    return list(arguments(parse(url), endpoint or Endpoint(url, LOGIN), FILES if files is None else files))


def option(found: list[str], flag: str) -> str:
    return found[found.index(flag) + 1]


def test_key_host_key_port_and_user_are_those_that_were_given() -> None:
    found = words("qemu+ssh://operator@kvm1.example:2222/system")
    assert found[-2:] == ["--", "kvm1.example"]
    assert (option(found, "-p"), option(found, "-l"), option(found, "-i")) == ("2222", "operator", "/k/id")
    for wanted in (
        "UserKnownHostsFile=/k/known_hosts",
        "GlobalKnownHostsFile=/dev/null",
        "StrictHostKeyChecking=yes",
        "BatchMode=yes",
    ):
        assert wanted in found


def test_without_known_hosts_those_of_the_account_count_and_still_strictly() -> None:
    found = words("qemu+ssh://kvm1/system", files={})
    assert "StrictHostKeyChecking=yes" in found
    assert "UserKnownHostsFile" not in " ".join(found)
    assert "-l" not in found


def test_insecure_says_so_and_checks_nothing() -> None:
    url = "qemu+ssh://kvm1/system"
    found = words(url, Endpoint(url, LOGIN, insecure=True))
    assert "StrictHostKeyChecking=no" in found
    assert "/k/known_hosts" not in " ".join(found)


def test_a_host_with_tls_is_reached_as_root_on_the_usual_port() -> None:
    found = words("qemu+tls://kvm1:16999/system")
    assert option(found, "-l") == "root"
    assert "-p" not in found


@given(st.text(max_size=30), st.text(max_size=30), st.integers())
def test_nothing_from_outside_becomes_an_option(user: str, host: str, port: int) -> None:
    """Whatever URL is accepted: the host follows `--`, and is none of ssh's own words."""
    url = f"qemu+ssh://{user}@{host}:{port}/system"
    try:
        found = words(url)
    except InvalidSpec:
        return
    end = found.index("--")
    assert len(found) == end + 2
    assert not found[-1].startswith("-")
    assert all(not word.startswith("-") for word in found[end + 1 :])
    if "-l" in found:
        assert option(found, "-l").isascii()
        assert not option(found, "-l").startswith("-")


@given(st.text(min_size=1, max_size=30))
def test_a_user_of_the_secret_is_a_user_or_refused(user: str) -> None:
    url = "qemu+ssh://kvm1/system"
    try:
        found = words(url, Endpoint(url, Credentials(username=user)), {})
    except InvalidSpec:
        return
    assert option(found, "-l") == user
    assert set(user) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")


@pytest.mark.parametrize("command", Command)
def test_a_command_is_words_that_no_shell_changes(command: Command) -> None:
    text = command.text("ovsbr0", "vnet3", 10)
    meant = {shell.BRIDGE: "ovsbr0", shell.PORT: "vnet3", shell.TAG: "tag=10"}
    assert shlex.split(text) == [meant.get(word, word) for word in command.value]
    assert text == " ".join(shlex.split(text)), "nothing in it needs quotes"


def test_administrators_are_told_of_all_commands_and_of_no_others() -> None:
    _, _, told = PAGE.read_text().partition("### Commands on hosts\n")
    listed = re.findall(r"^\| `([^`]+)` \|", told.partition("\n### ")[0], re.MULTILINE)
    assert sorted(listed) == sorted(command.text("BRIDGE", "PORT", 1).replace("tag=1", "tag=VLAN") for command in Command)


@given(st.text(max_size=20) | st.from_regex(r"[a-z0-9 ;$'\"`|&<>(){}\n-]{1,15}", fullmatch=True))
def test_a_bridge_is_one_word_or_refused(bridge: str) -> None:
    try:
        text = Command.CHANGE_FLOWS.text(bridge)
    except InvalidSpec:
        return
    assert shlex.split(text) == [word.replace(shell.BRIDGE, bridge) for word in Command.CHANGE_FLOWS.value]
    assert not bridge.startswith("-")
    assert set(bridge) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")


@given(st.text(max_size=20) | st.from_regex(r"[a-z0-9 ;$'\"`|&<>(){}\n-]{1,15}", fullmatch=True), st.integers(1, 4094))
def test_an_interface_is_one_word_or_refused(port: str, vlan: int) -> None:
    try:
        text = Command.ADD_TAGGED_PORT.text("ovsbr0", port, vlan)
    except InvalidSpec:
        return
    assert shlex.split(text)[-2:] == [port, f"tag={vlan}"]
    assert not port.startswith("-")
    assert set(port) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")


@pytest.mark.parametrize("vlan", [None, 0, -1, 4095])
def test_a_port_is_never_made_without_the_tag_that_it_needs(vlan: int | None) -> None:
    with pytest.raises(InvalidSpec, match="VLAN"):
        Command.ADD_TAGGED_PORT.text("ovsbr0", "vnet3", vlan)


@pytest.mark.parametrize("url", ["qemu+unix:///system", "qemu+tls://kvm1/system"])
def test_without_a_login_nothing_is_run(url: str) -> None:
    found = Shell(Endpoint(url), 1.0)
    assert "ssh-privatekey" in found.missing
    with pytest.raises(Unsupported, match="no SSH login"):
        found.run(Command.WHO)


def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> Shell:
    """A shell whose `ssh` is a script."""
    (tmp_path / "ssh").write_text(f"#!/bin/sh\n{script}\n")
    (tmp_path / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return Shell(Endpoint("qemu+ssh://root@kvm1/system", LOGIN), 20.0)


def test_what_is_given_and_what_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = stand_in(tmp_path, monkeypatch, f'cat; for last; do :; done; echo "$last"; echo "$@" > {tmp_path}/arguments')
    assert found.run(Command.CHANGE_LINKS, "link set dev x up\n") == "link set dev x up\nip -batch -\n"
    key = Path(option((tmp_path / "arguments").read_text().split(), "-i"))
    assert not key.parent.exists()


@pytest.mark.parametrize(
    ("script", "kind", "text"),
    [
        ("echo 'root@kvm1: Permission denied (publickey).' >&2; exit 255", AuthFailed, "refuses the SSH user or key"),
        ("echo 'Host key verification failed.' >&2; exit 255", AuthFailed, "known_hosts"),
        ("echo 'ssh: connect to host kvm1 port 22: Connection refused' >&2; exit 255", Unanswered, "Connection refused"),
        ("echo 'sh: ip: not found' >&2; exit 127", Unsupported, "no command ip"),
        ("echo 'RTNETLINK answers: Operation not permitted' >&2; exit 2", Transient, "ip failed on the host: RTNETLINK"),
        ("exit 1", Transient, "exit status 1"),
    ],
)
def test_what_failures_mean(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, kind: type[DriverError], text: str
) -> None:
    found = stand_in(tmp_path, monkeypatch, script)
    with pytest.raises(kind, match=text) as caught:
        found.run(Command.SHOW_LINKS)
    assert type(caught.value) is kind
    assert "kvm1" not in str(caught.value)


def test_no_ssh_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Transient, match="ssh cannot be run"):
        Shell(Endpoint("qemu+ssh://root@kvm1/system", LOGIN), 20.0).run(Command.WHO)


def test_a_host_that_never_ends_is_given_up() -> None:
    with pytest.raises(Unanswered, match=r"within 0\.5 seconds") as caught:
        call([sys.executable, "-c", "import time; time.sleep(600)"], b"", 0.5)
    assert caught.value.outcome_unknown


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_host_that_talks_without_end_is_given_up(stream: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shell, "LONGEST_REPLY", 1 << 16)
    with pytest.raises(Transient, match="more over SSH than makes sense") as caught:
        call([sys.executable, "-c", f"import sys\nwhile True: sys.{stream}.write('x' * 4096)"], b"", 60.0)
    assert not isinstance(caught.value, Unanswered)


def test_a_host_that_reads_nothing_is_no_trouble() -> None:
    assert call([sys.executable, "-c", "print(1)"], b"x" * (1 << 20), 60.0).output == b"1\n"
