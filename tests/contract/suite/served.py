"""What tests of volumes that a server keeps begin with: LUNs and images of Ceph."""

import pytest

from drivers.types import DesiredVM

from .base import ContractBase
from .tools import MIB, Maker

SIZE = 8 * MIB


class Served(ContractBase):
    """Volumes come to VMs that are off, and to such as run."""

    @pytest.fixture(params=["off", "running"])
    def vm(self, request: pytest.FixtureRequest, make: Maker) -> DesiredVM:
        return make.running() if request.param == "running" else make.created()
