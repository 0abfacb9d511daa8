"""Where nodes come from: one module a provider, all behind the contract in `base`."""

from __future__ import annotations

from activities.provisioners.base import (
    ON_DEMAND,
    SPOT,
    Machine,
    MachineRequest,
    Provisioner,
)
from activities.provisioners.byo import ByoProvisioner
from activities.provisioners.onebox import OneboxProvisioner

__all__ = [
    "ON_DEMAND",
    "SPOT",
    "ByoProvisioner",
    "Machine",
    "MachineRequest",
    "OneboxProvisioner",
    "Provisioner",
]
