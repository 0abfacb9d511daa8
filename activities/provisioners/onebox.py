"""onebox: a NodeClaim becomes a real node on this machine, through its node agent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from activities.clients.onebox_agent import OneboxAgentClient
from activities.provisioners.base import Machine, MachineRequest


class OneboxProvisioner:
    """Speaks to the node agent, which is idempotent by name."""

    name = "onebox"

    def __init__(self, agent: OneboxAgentClient) -> None:
        """Take the agent's client."""
        self._agent = agent

    async def launch(self, request: MachineRequest) -> Machine:
        """Ask the agent for the machine."""
        machine, created = await self._agent.put_machine(
            request.name,
            instance_type=request.instance_type,
            tags=request.tags,
            labels=request.labels,
            taints=request.taints,
        )
        return _machine(machine, created=created)

    async def observe(
        self,
        name: str,
        operation: str = "",  # noqa: ARG002 - the agent has none
    ) -> Machine | None:
        """Return the machine, or None when the agent has none of that name."""
        machine = await self._agent.find_machine(name)
        return None if machine is None else _machine(machine)

    async def terminate(self, name: str) -> None:
        """Ask the agent to end the machine."""
        await self._agent.delete_machine(name)

    async def list_owned(self, tags: Mapping[str, str]) -> list[str]:
        """Return the names of machines that carry `tags`, sorted."""
        return sorted(machine["name"] for machine in await self._agent.list_machines(tags))

    async def close(self) -> None:
        """Close the agent's client."""
        await self._agent.close()


def _machine(answer: Mapping[str, Any], *, created: bool = False) -> Machine:
    return Machine(
        name=answer["name"],
        provider_id=answer["providerID"],
        state=answer["state"],
        message=answer.get("message", ""),
        created=created,
    )
