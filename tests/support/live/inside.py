"""A controller in another network namespace than its API server, as where hosts are that only that network reaches."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tests.support import netrelay
from tests.support.live.controller import ROOT, ControllerProcess


@dataclass
class Inside(ControllerProcess):
    """`enter` begins command lines that run there."""

    enter: Sequence[str] = ()

    def command(self) -> list[str]:
        """Its command line."""
        return [*self.enter, *super().command()]


@contextmanager
def port_in(enter: Sequence[str], url: str, path: Path) -> Iterator[None]:
    """A server of this machine on the same port of the other network's loopback; `path` is the relay's own socket."""
    port = urlsplit(url).port
    assert port is not None
    with ExitStack() as stack:
        for place, side in (((), "outer"), (enter, "inner")):
            argv = [*place, *netrelay.command(side, port, path)]
            process = stack.enter_context(subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE))
            stack.callback(process.kill)
            assert process.stdout is not None
            assert process.stdout.readline() == b"listening\n"
        yield
