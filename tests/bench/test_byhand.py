"""Guests started by hand: what is taken over from libvirt's command line, and what is not; and the figures of both ways."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bench import byhand
from tests.bench.client import BenchError
from tests.bench.figures import Figure
from tests.support.ending import tidy_end

pytest.importorskip("libvirt", reason="libvirt-python is not installed (scripts/bootstrap says why)")

from tests.bench import kvm

POOL = "/lab/pools/local"
TAKEN = [
    *("-machine", "pc-q35-7.2,usb=off", "-accel", "tcg,tb-size=32", "-m", "96", "-no-user-config", "-nodefaults"),
    *("-mon", "chardev=charmonitor,id=monitor,mode=control", "-no-shutdown", "-boot", "strict=on"),
    *("-device", '{"driver":"virtio-blk-pci","drive":"libvirt-2-format","id":"virtio-disk0"}'),
    *("-object", '{"qom-type":"rng-random","id":"objrng0","filename":"/dev/urandom"}'),
]
IMAGE = ("-blockdev", f'{{"driver":"file","filename":"{POOL}/vireo-image-qcow2-12ab.qcow2","node-name":"libvirt-3-storage"}}')
DISK = ("-blockdev", f'{{"driver":"file","filename":"{POOL}/41-root.qcow2","node-name":"libvirt-2-storage"}}')
FORMAT = ("-blockdev", '{"node-name":"libvirt-2-format","driver":"qcow2","file":"libvirt-2-storage","backing":"libvirt-3-format"}')
ARGV = [
    "/usr/bin/qemu-system-x86_64",
    *("-name", "guest=shop-web-41,debug-threads=on", "-S"),
    *("-object", '{"qom-type":"secret","id":"masterKey0","format":"raw","file":"/var/lib/key.aes"}'),
    *TAKEN,
    *("-uuid", "41714978-2b76-5296-b0f9-f43930375dad"),
    *("-chardev", "socket,id=charmonitor,fd=30,server=on,wait=off"),
    *(*IMAGE, *DISK, *FORMAT),
    *("-netdev", '{"type":"tap","fd":"33","id":"hostnet0"}', "-add-fd", "set=0,fd=28,opaque=serial0-log"),
    *("-chardev", "pty,id=charserial0,logfile=/dev/fdset/0,logappend=on"),
    *("-chardev", "socket,id=charchannel0,fd=29,server=on,wait=off"),
    *("-vnc", "vnc=unix:/var/lib/vnc.sock,audiodev=audio1"),
]


def drawn(tmp_path: Path, number: int = 7) -> dict[str, list[str]]:
    """The values of each option of the command line for a guest."""
    found: dict[str, list[str]] = {}
    for name, value in byhand.options(byhand.draw(ARGV, tmp_path, number).argv):
        found.setdefault(name, []).append(value)
    return found


def test_what_makes_the_machine_is_taken_over_in_its_order(tmp_path: Path) -> None:
    kept = [pair for pair in byhand.options(byhand.draw(ARGV, tmp_path, 7).argv) if pair in set(byhand.options(["", *TAKEN]))]
    assert kept == list(byhand.options(["", *TAKEN]))


def test_what_libvirt_hands_over_is_not(tmp_path: Path) -> None:
    text = " ".join(byhand.draw(ARGV, tmp_path, 7).argv)
    for of_libvirt in ("fd=", "fdset", "-S ", "masterKey0", "/var/lib", "tap", "shop-web-41", "41714978"):
        assert of_libvirt not in text


def test_its_files_and_sockets_are_the_guest_s_own(tmp_path: Path) -> None:
    found, stem = drawn(tmp_path), f"{tmp_path}/guest-7"
    assert found["-name"] == ["guest=guest-7"]
    assert found["-chardev"] == [
        f"socket,id=charmonitor,path={stem}.monitor,server=on,wait=off",
        f"file,id=charserial0,path={stem}.console",
        f"socket,id=charchannel0,path={stem}.agent,server=on,wait=off",
    ]
    assert (found["-netdev"], found["-vnc"]) == (["user,id=hostnet0"], [f"vnc=unix:{stem}.vnc,audiodev=audio1"])
    files = [json.loads(value).get("filename") for value in found["-blockdev"]]
    assert files == [f"{POOL}/vireo-image-qcow2-12ab.qcow2", f"{stem}.qcow2", None]
    assert found["-uuid"] != drawn(tmp_path, 8)["-uuid"]


def test_the_image_is_the_one_below_the_disk() -> None:
    assert byhand.backing(ARGV) == Path(POOL, "vireo-image-qcow2-12ab.qcow2")
    with pytest.raises(BenchError, match="not one image"):
        byhand.backing([ARGV[0], *TAKEN, *DISK])


@pytest.mark.parametrize("disks", [0, 2])
def test_a_guest_without_its_one_disk_is_refused(tmp_path: Path, disks: int) -> None:
    others = [ARGV[0], *TAKEN, *IMAGE]
    with pytest.raises(BenchError, match=f"{disks} writable disks"):
        byhand.draw([*others, *(DISK * disks)], tmp_path, 1)


def test_seeds_are_kept(tmp_path: Path) -> None:
    seed, kept = tmp_path / "41-seed-0123.iso", tmp_path / "kept"
    seed.write_text("seed")
    kept.mkdir()
    value = json.dumps({"driver": "file", "filename": str(seed), "node-name": "libvirt-1-storage"})
    found = byhand.keep([*ARGV, "-blockdev", value], kept)
    seed.unlink()
    assert found[:-1] == [*ARGV, "-blockdev"]
    assert json.loads(found[-1]) == json.loads(value) | {"filename": str(kept / seed.name)}
    assert (kept / seed.name).read_text() == "seed"


SERVE = """
import json, socket, sys, time
server = socket.socket(socket.AF_UNIX)
server.bind(sys.argv[1])
server.listen()
peer = server.accept()[0].makefile("rwb")
for said in ({"QMP": {}}, *json.loads(sys.argv[2])):
    peer.write(json.dumps(said).encode() + b"\\n")
    peer.flush()
peer.readline()
open(sys.argv[1] + ".asked", "w").close()
time.sleep(float(sys.argv[3]))
"""


def monitor(tmp_path: Path, *said: object, stays: float = 0) -> byhand.Drawn:
    """A process that talks as QEMU's monitor does; it says these things and stays so many seconds."""
    path = tmp_path / "guest-1.monitor"
    return byhand.Drawn([sys.executable, "-c", SERVE, str(path), json.dumps(said), str(stays)], path.with_suffix(".qcow2"), path)


def port(opened: bool) -> dict[str, object]:
    return {"event": "VSERPORT_CHANGE", "data": {"open": opened, "id": "channel0"}}


def test_a_guest_is_ready_when_its_agent_opens_the_port(tmp_path: Path) -> None:
    guest = monitor(tmp_path, {"return": {}}, {"event": "RTC_CHANGE"}, port(False), port(True), stays=600)
    with byhand.running([guest]) as processes:
        assert len(byhand.ready([guest], processes, 60)) == 1
        assert processes[0].poll() is None
    assert processes[0].poll() is not None, "it is ended in the end"


def test_one_that_ends_before_says_so(tmp_path: Path) -> None:
    guest = monitor(tmp_path, {"return": {}}, port(False))
    with byhand.running([guest]) as processes, pytest.raises(BenchError, match="guest-1 has no agent"):
        byhand.ready([guest], processes, 60)


def test_one_that_never_starts_is_told_of_with_its_words(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", "raise SystemExit('no such machine')"]
    guest = byhand.Drawn(argv, tmp_path / "guest-1.qcow2", tmp_path / "guest-1.monitor")
    with byhand.running([guest]) as processes, pytest.raises(BenchError, match=r"no monitor: .* no such machine"):
        byhand.ready([guest], processes, 60)


@contextmanager
def told_to_end(waiting: Path) -> Iterator[None]:
    """This process gets a signal in the block, when that file is there. One that came any earlier would end the test itself."""
    over = threading.Event()

    def tell() -> None:
        while not waiting.exists() and not over.is_set():
            time.sleep(0.02)
        if not over.is_set():
            os.kill(os.getpid(), signal.SIGTERM)

    telling = threading.Thread(target=tell)
    telling.start()
    try:
        yield
    finally:
        over.set()
        telling.join()


def test_whoever_waits_for_guests_can_be_ended(tmp_path: Path) -> None:
    guest = monitor(tmp_path, {"return": {}}, stays=600)
    told = told_to_end(Path(f"{guest.monitor}.asked"))
    with tidy_end(), told, byhand.running([guest]) as processes, pytest.raises(SystemExit) as ended:
        byhand.ready([guest], processes, 600)
    assert ended.value.code == 128 + signal.SIGTERM
    assert processes[0].poll() is not None


def test_all_are_ended_when_one_cannot_be_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lasting = byhand.Drawn(["sleep", "600"], tmp_path / "a.qcow2", tmp_path / "a.monitor")
    absent = byhand.Drawn([str(tmp_path / "absent")], tmp_path / "b.qcow2", tmp_path / "b.monitor")
    started: list[subprocess.Popen[bytes]] = []
    real = subprocess.Popen

    def noted(*arguments: Any, **others: Any) -> subprocess.Popen[bytes]:
        started.append(real(*arguments, **others))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", noted)
    with pytest.raises(FileNotFoundError), byhand.running([lasting, absent]):
        pass
    assert [process.returncode for process in started] == [-9]


HAND = kvm.Round(kvm.HAND, (10.0, 20.0, 30.0, 40.0), 400.0)
VIREO = kvm.Round(kvm.VIREO, (20.0, 25.0, 40.0, 50.0), 480.0)


def values(found: list[Figure]) -> dict[str, float]:
    return {each.name: each.value for each in found}


def test_figures_of_both_ways_and_their_ratio() -> None:
    found = values(kvm.figures([HAND, VIREO, VIREO, HAND]))
    assert (found["by hand: guests ready"], found["through Vireo: guests ready"]) == pytest.approx((6.0, 4.8))
    assert (found["by hand: until ready, P50"], found["through Vireo: until ready, P95"]) == (20.0, 50.0)
    assert (found["by hand: memory of a guest's QEMU"], found["through Vireo: memory of a guest's QEMU"]) == (100.0, 120.0)
    assert found["through Vireo / by hand: rate"] == pytest.approx(0.8)
    assert (found["through Vireo / by hand: P50"], found["through Vireo / by hand: P95"]) == (1.25, 1.25)


@given(st.floats(0.1, 10.0))
def test_a_machine_that_slows_down_between_the_pairs_changes_no_ratio(slower: float) -> None:
    later = [kvm.Round(each.way, [slower * second for second in each.seconds], each.memory) for each in (VIREO, HAND)]
    found, same = values(kvm.figures([HAND, VIREO, *later])), values(kvm.figures([HAND, VIREO, VIREO, HAND]))
    for name in ("rate", "P50", "P95"):
        assert found[f"through Vireo / by hand: {name}"] == pytest.approx(same[f"through Vireo / by hand: {name}"])


@pytest.mark.lab
@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_real_guests_are_booted_both_ways(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert kvm.main(["--guests", "2", "--hosts", "1", "--output", str(tmp_path / "found.json")]) == 0
    kept = json.loads((tmp_path / "found.json").read_text())
    found = {each["name"]: each for each in kept["figures"]}
    assert len(found["through Vireo: until ready, P95"]["samples"]) == len(found["by hand: until ready, P95"]["samples"]) == 4
    assert all(each["value"] > 0 for each in kept["figures"])
    assert "through Vireo / by hand: rate" in capsys.readouterr().out
