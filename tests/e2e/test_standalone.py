"""A control plane of its own: start, stop, data, ports, and what it says when it can't."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from standalone import ports, processes
from standalone.components import Layout
from standalone.errors import StandaloneError
from standalone.plane import ControlPlane
from tests.kubectl import Kubectl

MakePlane = Callable[[str], ControlPlane]

ROOT = Path(__file__).parent.parent.parent


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "standalone", *arguments]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), cwd=ROOT, capture_output=True, text=True, timeout=400)


def eventually(holds: Callable[[], bool], what: str, seconds: float = 200.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not after {seconds} s: {what}"
        time.sleep(0.05)


def processes_below(directory: Path) -> list[int]:
    """Every process of the machine whose command line names `directory`, except this test's own."""
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [pid for pid in pids if pid != os.getpid() and any(str(directory) in word for word in processes.command_line(pid))]


def pids(plane: ControlPlane) -> list[int | None]:
    return [process.pid() for process in plane.processes()]


def listening(pid: int) -> set[tuple[str, int]]:
    """(address, port) of each TCP socket on which the process listens; IPv6 addresses in the kernel's hex."""
    inodes = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            inodes.add(os.readlink(link).removeprefix("socket:[").removesuffix("]"))
        except FileNotFoundError:  # closed meanwhile
            continue
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A" and words[9] in inodes:
                address, _, port = words[1].partition(":")
                plain = ".".join(str(octet) for octet in reversed(bytes.fromhex(address))) if table == "tcp" else address
                found.add((plain, int(port, 16)))
    return found


def test_life_of_a_control_plane(new_plane: MakePlane, unique: str) -> None:
    plane = new_plane("one")
    assert not plane.running()
    plane.start()
    first = pids(plane)
    assert None not in first
    kubectl = Kubectl(plane.kubectl())
    kubectl("create", "namespace", unique)

    plane.start()
    assert pids(plane) == first, "starting again leaves a running one alone"

    chosen = ports.load(Layout(plane.directory).ports)
    assert chosen is not None
    sockets = set().union(*(listening(pid) for pid in first if pid))
    assert sockets == {("127.0.0.1", chosen.api), ("127.0.0.1", chosen.etcd), ("127.0.0.1", chosen.peer)}

    credentials = plane.kubeconfig.read_bytes(), plane.controller_kubeconfig.read_bytes()
    plane.stop()
    assert processes_below(plane.directory) == []
    assert all(ports.is_free(port) for port in (chosen.api, chosen.etcd, chosen.peer))
    plane.stop()

    plane.start()
    assert kubectl.json("get", "namespace", unique)["metadata"]["name"] == unique, "data survives"
    assert (plane.kubeconfig.read_bytes(), plane.controller_kubeconfig.read_bytes()) == credentials


def test_a_killed_component_is_replaced_by_the_next_start(new_plane: MakePlane, unique: str) -> None:
    plane = new_plane("one")
    plane.start()
    kubectl = Kubectl(plane.kubectl())
    kubectl("create", "namespace", unique)
    for process in plane.processes():
        victim = process.pid()
        assert victim is not None
        os.kill(victim, signal.SIGKILL)
        eventually(lambda process=process: process.pid() is None, f"{process.name} is dead")  # type: ignore[misc]
        assert not plane.running()
        plane.start()
        assert plane.running()
        assert kubectl.json("get", "namespace", unique)["status"]["phase"] == "Active"


def test_two_side_by_side(new_plane: MakePlane, unique: str) -> None:
    one, two = new_plane("one"), new_plane("two")
    one.start()
    two.start()
    Kubectl(one.kubectl())("create", "namespace", unique)
    assert unique not in Kubectl(two.kubectl())("get", "namespaces", "-o", "name")
    two_as_one = [*two.kubectl(), f"--token={json.loads(one.kubeconfig.read_text())['users'][0]['user']['token']}"]
    assert "Unauthorized" in Kubectl(two_as_one).run("get", "namespaces").stderr


def test_command_line(tmp_path: Path) -> None:
    """It outlives the command that started it, and is found again by others."""
    directory = tmp_path / "demo"
    at = ("--directory", str(directory))
    try:
        assert run("status", *at).returncode == 1
        up = run("up", *at)
        assert up.returncode == 0, up.stderr
        assert up.stdout == f"export KUBECONFIG={directory}/admin.kubeconfig\n"
        status = run("status", *at)
        assert (status.returncode, status.stdout.count("running, pid")) == (0, 3)
        nodes = run("kubectl", *at, "get", "namespaces", "-o", "jsonpath={.items[*].metadata.name}")
        assert "default" in nodes.stdout.split()
        failing = run("kubectl", *at, "get", "namespace", "absent")
        assert (failing.returncode, failing.stdout) == (1, "")
        down = run("down", *at)
        assert (down.returncode, down.stdout, down.stderr) == (0, "", "")
        assert processes_below(directory) == []
        assert (directory / "etcd").exists()
    finally:
        assert run("down", "--delete", *at).returncode == 0
    assert not directory.exists()


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_demanded_port_in_use(tmp_path: Path, taken_port: int) -> None:
    done = run("up", "--directory", str(tmp_path / "one"), "--port", str(taken_port))
    assert done.returncode == 1
    said = f"port {taken_port} on 127.0.0.1 is in use: stop the program that has it or choose another port"
    assert done.stderr == f"error: {said}\n"
    assert processes_below(tmp_path) == []


def test_remembered_port_in_use(new_plane: MakePlane, taken_port: int) -> None:
    """Ports nobody asked for are no reason to fail: others are chosen, and the kubeconfigs follow."""
    plane = new_plane("one")
    plane.directory.mkdir()
    ports.save(Layout(plane.directory).ports, ports.Ports(taken_port, taken_port, taken_port))
    plane.start()
    assert f"127.0.0.1:{taken_port}" not in plane.kubeconfig.read_text()
    Kubectl(plane.kubectl())("get", "namespaces")


def test_dies_with_the_process_that_started_it(tmp_path: Path) -> None:
    program = """if True:
        import pathlib, sys, time
        from standalone import plane
        own = plane.ControlPlane(pathlib.Path(sys.argv[1]), durable=False, die_with_parent=True)
        own.start()
        print("started", flush=True)
        time.sleep(600)
    """
    directory = tmp_path / "one"
    starter = subprocess.Popen([sys.executable, "-c", program, str(directory)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert starter.stdout is not None
    with starter.stdout as said:
        assert said.readline() == "started\n"
    starter.kill()
    starter.wait()
    eventually(lambda: processes_below(directory) == [], "the kernel ended the control plane")


def test_an_api_server_without_etcd_and_without_a_pid_file_is_ended(new_plane: MakePlane) -> None:
    """As runs that are killed and files that are removed may leave it: by itself it never ends, nor when it is asked to."""
    plane = new_plane("one")
    plane.start()
    etcd = plane.processes()[0].pid()
    assert etcd is not None
    os.kill(etcd, signal.SIGKILL)
    for path in Layout(plane.directory).run.glob("*.pid"):
        path.unlink()
    plane.delete()
    assert processes_below(plane.directory) == []


@pytest.mark.parametrize("size", ["16k", "4m"], ids=["no room for keys", "no room for etcd"])
def test_disk_full(tmp_path: Path, size: str) -> None:
    """On a file system that really is too small, in a mount namespace of its own."""
    script = f'mount -t tmpfs -o size={size} tmpfs "$0" && exec "$@"'
    directory = tmp_path / "small"
    directory.mkdir()
    inside = command("up", "--directory", str(directory / "one"))
    done = subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", script, str(directory), *inside],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 1, done.stderr
    last = done.stderr.splitlines()[-1].lower()
    assert last.startswith("error: "), done.stderr
    assert "disk is full" in last or "no space left on device" in last
    assert "Traceback" not in done.stderr
    assert processes_below(directory) == []


def test_unusable_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = run("up", "--directory", str(tmp_path / "file"))
    assert (done.returncode, done.stderr) == (1, f"error: cannot create {tmp_path / 'file'}: File exists\n")


def test_damaged_data(new_plane: MakePlane) -> None:
    """A start that fails leaves no process, and says which component failed and where its log is."""
    plane = new_plane("one")
    plane.directory.mkdir()
    (plane.directory / "etcd").write_text("not a directory")
    with pytest.raises(StandaloneError, match=r"^etcd stopped at its start: .*\(log: .*/log/etcd.log\)$"):
        plane.start()
    assert processes_below(plane.directory) == []
