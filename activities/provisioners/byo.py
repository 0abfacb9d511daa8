"""Bring your own: existing nodes only, so there is never a machine to get or to give back."""

from __future__ import annotations

from collections.abc import Mapping

from activities.provisioners.base import Machine, MachineRequest
from api.errors import InsufficientCapacity


class ByoProvisioner:
    """Refuses to buy; everything else is trivially true."""

    name = "byo"

    async def launch(self, request: MachineRequest) -> Machine:
        """Refuse: with provisioning off, only existing nodes count."""
        raise InsufficientCapacity(
            f"provisioning is off, so no {request.instance_type} can be brought up for "
            f"{request.name}; add a node of that type, or set KAITO_PROVISIONER"
        )

    async def observe(
        self,
        name: str,  # noqa: ARG002 - the contract's name
        operation: str = "",  # noqa: ARG002 - as above
    ) -> Machine | None:
        """Return None: no machine is ours."""
        return None

    async def terminate(self, name: str) -> None:
        """Do nothing: existing nodes belong to their owner."""

    async def list_owned(self, tags: Mapping[str, str]) -> list[str]:  # noqa: ARG002 - as above
        """Return nothing: no machine is ours."""
        return []

    async def close(self) -> None:
        """Nothing is open."""
