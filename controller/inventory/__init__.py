"""What the controller knows of the hypervisors: one session for each endpoint, what was last observed, and calls in lanes.

Reconcilers ask an `Inventory` for the link of a Host and call the hypervisor through it; sessions connect, watch and observe in the
background and put the keys of what changed on the queue.
"""

from controller.inventory.inventory import Inventory
from controller.inventory.lanes import Lanes, endpoint_lanes
from controller.inventory.link import HostLink, LinkState
from controller.inventory.outcomes import result_of
from controller.inventory.pacing import Cadence
from controller.inventory.pools import PoolRegistry

__all__ = ["Cadence", "HostLink", "Inventory", "Lanes", "LinkState", "PoolRegistry", "endpoint_lanes", "result_of"]
