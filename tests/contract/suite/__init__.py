"""One suite for every driver: what `drivers.base` says, as tests.

A driver is bound in a class that inherits `DriverContract`, and those of the others that its counterpart can show, and has
a class-scoped fixture `binding` that yields a `Binding`. What a class doesn't inherit is seen in its list of bases; nothing is
skipped at run time.
"""

from .adopting import Adopting
from .altering import Altering
from .applying import Applying
from .attaching import Attaching
from .base import ContractBase
from .binding import (
    Alteration,
    AlteringBinding,
    Binding,
    CephBinding,
    FaultyBinding,
    LUNBinding,
    MovingBinding,
    StorageBinding,
    UnmanagedBinding,
    UnpluggingBinding,
)
from .capabilities import Capabilities
from .ceph import CephVolumes
from .connecting import Connecting, Credentialed
from .consoles import Consoles
from .creating import Creating
from .deleting import Deleting
from .eventing import Eventing
from .guests import Guests
from .hostile import Hostile
from .hosts import Hosts
from .limiting import Limiting
from .listing import Listing
from .luns import LUNs
from .moving import Moving
from .observing import Observing
from .owning import Owning
from .powering import Powering
from .releasing import Releasing
from .replies import LostReplies
from .snapshot_memory import SnapshotMemory, SnapshotQuiesce
from .snapshots import Snapshots
from .storage_replies import LostStorageReplies
from .storing import Storing
from .tasks import Tasks
from .threads import Threads
from .undeclared import Undeclared
from .unplugging import Unplugging
from .volume_snapshots import VolumeSnapshots
from .volumes import Volumes

__all__ = [
    "Adopting",
    "Alteration",
    "Altering",
    "AlteringBinding",
    "Attaching",
    "Binding",
    "Capabilities",
    "CephBinding",
    "CephVolumes",
    "Consoles",
    "ContractBase",
    "Credentialed",
    "DriverContract",
    "FaultyBinding",
    "Guests",
    "LUNBinding",
    "LUNs",
    "Limiting",
    "Listing",
    "LostReplies",
    "LostStorageReplies",
    "Moving",
    "MovingBinding",
    "SnapshotMemory",
    "SnapshotQuiesce",
    "Snapshots",
    "StorageBinding",
    "UnmanagedBinding",
    "Unplugging",
    "UnpluggingBinding",
    "VolumeSnapshots",
    "Volumes",
]


class DriverContract(
    Connecting,
    Hosts,
    Observing,
    Creating,
    Deleting,
    Applying,
    Powering,
    Storing,
    Releasing,
    Owning,
    Tasks,
    Eventing,
    Capabilities,
    Hostile,
    Threads,
    Undeclared,
):
    """All that every driver with power and storage must do."""
