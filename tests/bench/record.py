"""What is kept of a measurement beside its figures: when, how, on which code and machine it was made."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.bench.figures import Figure

ROOT = Path(__file__).parents[2]
RESULTS = Path(__file__).parent / "results"


def circumstances(started: datetime) -> dict[str, Any]:
    """The date, the commit and the machine of a run that begins now: neither load nor checkout is the same at its end."""
    machine = {"cpus": os.cpu_count(), "load_at_start": round(os.getloadavg()[0], 2), "python": platform.python_version()}
    return {"date": started.isoformat(timespec="seconds"), "commit": commit(), "machine": machine}


def commit(root: Path = ROOT) -> str:
    """The commit of a checkout, with `-dirty` behind it where a tracked file differs from it; "" where there is no git."""
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--exclude=*", "--abbrev=12"]
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def document(figures: Iterable[Figure], about: Mapping[str, Any], command: str) -> str:
    """What is kept of a run; `about` are its `circumstances`."""
    content = {**about, "command": command}
    return json.dumps({**content, "figures": [asdict(each) for each in figures]}, indent=1, ensure_ascii=False) + "\n"


def keep(figures: Iterable[Figure], about: Mapping[str, Any], command: Sequence[str], kind: str, output: Path | None) -> None:
    """Write the `document` of a run, and print where: `output`, or a file of RESULTS with its `kind` and date."""
    path = output or RESULTS / f"{kind}{datetime.fromisoformat(about['date']):%Y-%m-%dT%H%M%SZ}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(document(figures, about, " ".join(command)))
    print(f"\n{path}")


def add_output(parser: argparse.ArgumentParser) -> None:
    """The option that says where to `keep` the record."""
    parser.add_argument("--output", type=Path, help=f"default: a dated file in {RESULTS.name}/")
