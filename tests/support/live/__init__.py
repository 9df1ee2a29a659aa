"""A whole cloud of real parts: API server, controller process, simulator server, image server.

Each has a control plane of its own: the controller is cluster-wide, and tests kill it, stop it, and restart the API server.
"""

from tests.support.live.api import Api, Refused
from tests.support.live.cloud import LiveCloud, live_cloud, working_cloud
from tests.support.live.history import History

__all__ = ["Api", "History", "LiveCloud", "Refused", "live_cloud", "working_cloud"]
