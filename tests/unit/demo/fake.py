"""A kubectl that answers from a table, for tests of what is made of its answers."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from standalone.demo.commands import Kubectl, Runner

_PROGRAM = """#!{python} -IS
import json, sys
words = [word for word in sys.argv[1:] if not word.startswith("--request-timeout")]
with open({calls!r}, "a") as calls:
    calls.write(json.dumps({{"words": words, "stdin": sys.stdin.read() if "-" in words else ""}}) + "\\n")
for begin, (code, output) in json.load(open({table!r})):
    if " ".join(words).startswith(begin):
        print(output, end="\\n" if output else "", file=sys.stderr if code else sys.stdout)
        sys.exit(code)
sys.exit("no answer to " + " ".join(words))
"""


class FakeKubectl:
    """`answers`: the beginning of the arguments to (exit code, output); the first that fits is given."""

    def __init__(self, directory: Path, answers: Mapping[str, tuple[int, Any]]) -> None:
        self.program = directory / "kubectl"
        self._calls = directory / "calls"
        table = directory / "table.json"
        table.write_text(json.dumps([(begin, (code, _text(output))) for begin, (code, output) in answers.items()]))
        self.program.write_text(_PROGRAM.format(python=sys.executable, calls=str(self._calls), table=str(table)))
        self.program.chmod(0o755)
        self.kubectl = Kubectl(Runner(directory / "log"), [str(self.program)])

    @property
    def calls(self) -> list[tuple[list[str], str]]:
        """Arguments and standard input of each call."""
        lines = self._calls.read_text().splitlines() if self._calls.exists() else []
        return [(each["words"], each["stdin"]) for each in map(json.loads, lines)]


def _text(output: Any) -> str:
    return output if isinstance(output, str) else json.dumps(output)


def objects(*items: Mapping[str, Any]) -> dict[str, Any]:
    """What `kubectl get -o json` prints for several objects."""
    return {"apiVersion": "v1", "kind": "List", "items": list(items)}


def named(kind: str, name: str, namespace: str = "", **metadata: Any) -> dict[str, Any]:
    """An object with nothing but its name."""
    return {"kind": kind, "metadata": {"name": name, **({"namespace": namespace} if namespace else {}), **metadata}}
