"""Whether guests really run on this machine's /dev/kvm: the node alone says nothing, on some machines guests hang on it."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from standalone.cache import cache_directory
from tests.lab.guest import image
from tests.lab.record import exclusive

DEVICE = Path("/dev/kvm")
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
# What the guest image writes on its serial console when its init is done, one or two seconds after a start on KVM.
MARK = b"tinyguest: up"
LIMIT = 20.0


def usable() -> bool:
    """Whether a guest boots on /dev/kvm. Tried at most once per boot of the machine, for at most about 20 seconds.

    Raises LabError when the guest image to try it with cannot be built.
    """
    if not DEVICE.exists():
        return False
    cache = cache_directory() / "kvm"
    with exclusive(cache):
        answer, boot = cache / "probe.json", BOOT_ID.read_text().strip()
        known = _known(answer, boot)
        if known is None:
            known = boots(_command(image().path), MARK, LIMIT)
            answer.write_text(json.dumps({"boot": boot, "usable": known}) + "\n")
        return known


def boots(command: Sequence[str], mark: bytes, limit: float) -> bool:
    """Whether a command writes `mark` within `limit` seconds; it is killed in any case."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    try:
        return _reads(process.stdout, mark, time.monotonic() + limit)
    finally:
        process.kill()
        process.stdout.close()
        # a process stuck in the kernel does not even die; what counts is that nobody waits for it
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=5)


def _reads(stream: IO[bytes], mark: bytes, deadline: float) -> bool:
    seen = b""
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        while (left := deadline - time.monotonic()) > 0 and selector.select(left):
            piece = os.read(stream.fileno(), 65536)
            if not piece:
                return False
            seen = seen[-len(mark) :] + piece
            if mark in seen:
                return True
    return False


def _command(disk: Path) -> list[str]:
    return [
        *("qemu-system-x86_64", "-accel", "kvm", "-m", "128", "-nodefaults", "-no-user-config", "-display", "none"),
        *("-no-reboot", "-serial", "stdio", "-drive", f"file={disk},format=qcow2,if=virtio,snapshot=on"),
    ]


def _known(answer: Path, boot: str) -> bool | None:
    """The answer found earlier since the machine booted."""
    try:
        found = json.loads(answer.read_text())
        return bool(found["usable"]) if found["boot"] == boot else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
