"""Uses the KVM driver and says how that went, in a process of its own: it runs in another network namespace.

python -m tests.contract.kvm_client [start INSTANCE | delete INSTANCE]

Reads a pickled Endpoint on standard input, writes one line of JSON. Without arguments it connects only; `start` creates and
starts a VM without disks.
"""

import json
import pickle
import sys
from collections.abc import Sequence
from contextlib import closing

from drivers.base import Connection
from drivers.errors import DriverError
from drivers.kvm import driver
from drivers.types import DesiredVM, Endpoint, HostID, InstanceID, Owner

MEMORY = 16 << 20


def outcome(endpoint: Endpoint, action: Sequence[str] = ()) -> dict[str, str]:
    """The host's name and what the action found, or the kind of error and its text."""
    try:
        with closing(driver().connect(endpoint)) as connection:
            host = connection.hosts.list_hosts()[0].host
            return {"host": host, **(acted(connection, host, *action) if action else {})}
    except DriverError as error:
        return {"error": type(error).__name__, "text": str(error)}


def acted(connection: Connection, host: HostID, action: str, name: str) -> dict[str, str]:
    """Start a VM and say its power state, or delete it and say which are left."""
    instance = InstanceID(name)
    if action == "delete":
        connection.compute.delete(host, instance)
        return {"left": " ".join(connection.compute.observe_all())}
    connection.compute.create(host, DesiredVM(instance, "web", Owner(f"uid-{name}", "shop", "web"), 1, MEMORY, ()))
    connection.power.start(host, instance)
    return {"power": connection.compute.observe(host, instance).power}


if __name__ == "__main__":
    print(json.dumps(outcome(pickle.load(sys.stdin.buffer), sys.argv[1:])))
