"""Connects with the KVM driver and says how that went, in a process of its own: it runs in another network namespace.

Reads a pickled Endpoint on standard input, writes one line of JSON.
"""

import json
import pickle
import sys

from drivers.errors import DriverError
from drivers.kvm import driver
from drivers.types import Endpoint


def outcome(endpoint: Endpoint) -> dict[str, str]:
    """The host's name, or the kind of error and its text."""
    try:
        connection = driver().connect(endpoint)
    except DriverError as error:
        return {"error": type(error).__name__, "text": str(error)}
    host = connection.hosts.list_hosts()[0].host
    connection.close()
    return {"host": host}


if __name__ == "__main__":
    print(json.dumps(outcome(pickle.load(sys.stdin.buffer))))
