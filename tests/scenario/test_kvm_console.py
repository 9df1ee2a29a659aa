"""`vireo console` as somebody types it: a real terminal, a real controller's VM, a real guest."""

import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support import pages
from tests.support.files import Served, etag
from tests.support.live import LiveCloud, live_cloud
from tests.support.live import manifests as make
from tests.support.live.controller import ROOT
from tests.support.pages import Reader

pytest.importorskip("libvirt", reason="libvirt-python is not installed (scripts/bootstrap says why)")

from tests.contract.kvm_binding import one_host
from tests.lab.guest.images import image
from tests.lab.host import Host

pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]

PATIENCE = 300.0

NUDGE = 5.0
"""Seconds after which somebody who sees no prompt presses Enter again."""


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with one_host() as running:
        yield running


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory, host: Host) -> Iterator[LiveCloud]:
    """A VM `shop/web-1` that runs, and `shop/idle` that is off."""
    with live_cloud(tmp_path_factory.mktemp("cloud"), hosts=1) as running:
        content = image().path.read_bytes()
        url = running.files.serve("/guest.qcow2", Served(content, etag(content)))
        running.api.apply(
            *make.kvm_site(host.uri, str(host.local / "pools" / "console")),
            make.template(url),
            make.offering("small", 1, "96Mi"),
            *(make.vm("web-1", stopMode="Hard"), make.vm("idle", powerState="Off")),
        )
        running.controller.start()
        running.await_current(names=["web-1", "idle"], deadline=PATIENCE)
        yield running


class Terminal:
    """`vireo console ARGUMENTS` in a terminal of its own."""

    def __init__(self, kubeconfig: Path, *arguments: str) -> None:
        self._own, theirs = pty.openpty()
        argv = [sys.executable, "-m", "controller", "console", *arguments, "--kubeconfig", str(kubeconfig)]
        self._process = subprocess.Popen(
            argv, cwd=ROOT, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True, close_fds=True
        )
        os.close(theirs)
        self.seen = ""

    def type(self, keys: str) -> None:
        os.write(self._own, keys.encode())

    def until(self, pattern: str, nudge: str = "") -> str:
        """Everything up to and with the pattern, which is then forgotten.

        `nudge` is typed every few seconds meanwhile, as people do: a guest that still boots throws away what was typed before.
        """
        deadline, nudged = time.monotonic() + PATIENCE, time.monotonic()
        while not (found := re.search(pattern, self.seen)):
            assert time.monotonic() < deadline, f"no {pattern} in {self.seen[-1000:]!r}"
            if nudge and time.monotonic() > nudged + NUDGE:
                self.type(nudge)
                nudged = time.monotonic()
            self._read()
        text, self.seen = self.seen[: found.end()], self.seen[found.end() :]
        return text

    def ends(self) -> int:
        code = self._process.wait(PATIENCE)
        os.close(self._own)
        return code

    def _read(self) -> None:
        if select.select([self._own], [], [], 0.5)[0]:
            with suppress(OSError):  # the other end is closed
                self.seen += os.read(self._own, 65536).decode(errors="replace")


def command(kubeconfig: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "controller", "console", *arguments, "--kubeconfig", str(kubeconfig)]
    return subprocess.run(
        argv, cwd=ROOT, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL, timeout=PATIENCE
    )


@pytest.fixture
def kubeconfig(cloud: LiveCloud) -> Path:
    return cloud.plane.kubeconfig


def test_log_in_run_a_command_and_leave(kubeconfig: Path) -> None:
    terminal = Terminal(kubeconfig, "shop/web-1")
    terminal.until(r"To leave it: \^\]")
    terminal.type("\r")
    terminal.until(r"login: ", nudge="\r")
    terminal.type("root\r")
    terminal.until(r"assword: ")
    terminal.type("lab\r")
    terminal.until(r"# ")
    terminal.type("echo be''gin; sleep 600\r")
    terminal.until(r"begin\r\n")
    terminal.type("\x03")
    terminal.until(r"# ", nudge="\x03")
    terminal.type("expr 6 \\* 7\r")
    terminal.until(r"\n42\r\n")
    terminal.type("exit\r")
    terminal.until(r"login: ", nudge="\r")
    terminal.type("\x1d")
    terminal.until(r"Left the console\.")
    assert terminal.ends() == 0


def test_the_page_s_session_and_log(cloud: LiveCloud, tmp_path: Path) -> None:
    """docs/how-to/console.md: what it types, and each line that it shows but for what the guest goes on to say."""
    session, log = pages.blocks("how-to/console.md")
    [opening], shown = pages.typed(session)
    banner, prompt, left = shown[0], shown[2].removesuffix(" root"), shown[-1]
    terminal = Terminal(cloud.plane.kubeconfig, *opening.split()[2:])
    terminal.until(re.escape(banner))
    terminal.until(re.escape(prompt), nudge="\r")
    terminal.type("\x1d")
    terminal.until(re.escape(left))
    assert terminal.ends() == 0
    assert "tinyguest: up" in Reader(cloud, tmp_path).run(log.replace("tail -50", "cat"))
    assert 0 < len(Reader(cloud, tmp_path / "again").run(log).splitlines()) <= 50


def test_a_second_user_is_refused_and_may_take_it(kubeconfig: Path) -> None:
    first = Terminal(kubeconfig, "shop/web-1")
    first.until(r"To leave it")
    refused = command(kubeconfig, "shop/web-1")
    assert (refused.returncode, refused.stderr) == (1, "vireo: somebody else has the console open; force takes it from them\n")
    second = Terminal(kubeconfig, "shop/web-1", "--force")
    second.until(r"To leave it")
    first.until(r"the console has ended")
    assert first.ends() == 1
    second.type("\r")
    second.until(r"login: ", nudge="\r")
    second.type("\x1d")
    assert second.ends() == 0


def test_the_log_has_the_boot(kubeconfig: Path) -> None:
    done = command(kubeconfig, "--log", "shop/web-1")
    assert done.returncode == 0, done.stderr
    assert "tinyguest: up" in done.stdout
    assert "login:" in done.stdout


@pytest.mark.parametrize(
    ("name", "told"),
    [("shop/idle", "the VM is off, and so is its console"), ("shop/nobody", "VirtualMachine/shop/nobody does not exist")],
)
def test_what_has_no_console(name: str, told: str, kubeconfig: Path) -> None:
    done = command(kubeconfig, name)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"vireo: {told}\n")


def test_a_vm_that_is_switched_off_ends_its_console(cloud: LiveCloud, kubeconfig: Path) -> None:
    terminal = Terminal(kubeconfig, "shop/web-1")
    terminal.until(r"To leave it")
    cloud.api.patch("VirtualMachine", "web-1", {"spec": {"powerState": "Off"}})
    terminal.until(r"the console has ended")
    assert terminal.ends() == 1
