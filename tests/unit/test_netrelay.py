"""A relay between two networks goes with whoever started it."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

from tests.support.live.controller import ROOT

STARTER = """
import subprocess, sys
from pathlib import Path
from tests.support import netrelay
relay = subprocess.Popen(netrelay.command("outer", 1, Path(sys.argv[1])), stdout=subprocess.PIPE)
assert relay.stdout.readline() == b"listening\\n"
print(relay.pid, flush=True)
sys.stdin.read()
"""


def test_a_relay_does_not_outlive_a_test_run_that_is_killed(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", STARTER, str(tmp_path / "relay")]
    with subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        relay = os.pidfd_open(int(run.stdout.readline()))
        try:
            run.send_signal(signal.SIGKILL)
            ended, _, _ = select.select([relay], [], [], 120)
        finally:
            os.close(relay)
    assert ended
