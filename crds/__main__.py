"""`python -m crds generate|docs|check`: the files made from the models."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from crds.files import Files, differences, manifests, reference, schema_problems, write
from crds.v1alpha1 import KINDS

_ROOT = Path(__file__).parent.parent


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 when all is well, 1 when a schema breaks a rule or, for check, a file is out of date."""
    options = _parser().parse_args(arguments)
    if found := schema_problems(KINDS):
        print("\n".join(found), file=sys.stderr)
        return 1
    targets = _targets(options.root)
    if options.command == "check":
        return _check(targets)
    for path in write(*targets[options.command]):
        print(path)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m crds", description=__doc__)
    parser.add_argument("--root", type=Path, default=_ROOT, help="the repository (default: the one this runs from)")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("generate", help="write crds/manifests")
    commands.add_parser("docs", help="write docs/reference/api")
    commands.add_parser("check", help="say which of them are out of date")
    return parser


def _targets(root: Path) -> dict[str, tuple[Path, Files]]:
    """Directory and files by the command that writes them."""
    return {
        "generate": (root / "crds" / "manifests", manifests(KINDS)),
        "docs": (root / "docs" / "reference" / "api", reference(KINDS)),
    }


def _check(targets: dict[str, tuple[Path, Files]]) -> int:
    """Name each file that is out of date, and the command that renews it."""
    stale = [(command, target[0] / name) for command, target in targets.items() for name in differences(*target)]
    for command, path in stale:
        print(f"{path} is out of date: run `python -m crds {command}`", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
