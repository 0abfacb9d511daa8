"""The contract of a provisioner.

Every verb is idempotent by the machine's name, which is the NodeClaim's name: asking twice buys one
machine. Errors come out as classes of `api.errors` or as SDK errors that `activities/errors.py`
knows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from api.errors import PlatformError

ON_DEMAND = "on-demand"
SPOT = "spot"


@dataclass(frozen=True)
class MachineRequest:
    """What a NodeClaim asks for."""

    name: str
    instance_type: str
    labels: Mapping[str, str] = field(default_factory=dict)
    """Labels that the Node must carry when it joins."""
    taints: Sequence[Mapping[str, str]] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    """Ownership, kept by the provider: what the proof of deletion and the sweep look for."""
    claim_uid: str = ""
    """Of the claim that asks: the idempotency key of all requests made for it."""
    capacity_type: str = ON_DEMAND
    """`on-demand` or `spot`."""
    zones: Sequence[str] = ()
    """Any of these will do, as Nodes are labelled with them; empty: any at all."""
    disk_gib: int | None = None
    """Of the machine's own disk; None: what its type comes with."""


@dataclass(frozen=True)
class Machine:
    """A machine as its provider tells it."""

    name: str
    provider_id: str
    state: str
    """`creating`, `running`, `failed` or `deleting`."""
    message: str = ""
    created: bool = False
    """This very call asked for it first."""
    operation: str = ""
    """Finds the provider's operation that makes it again, from any process; empty where there is
    none, or where an earlier call began it."""
    error: PlatformError | None = None
    """With `failed`: what the failure is to us, where the provider's words tell."""


class Provisioner(Protocol):
    """Gets machines and gives them back."""

    name: str

    async def launch(self, request: MachineRequest) -> Machine:
        """Ask for the machine; return at once, before it runs.

        Raises:
            CapacityUnavailable: the provider has none, or the quota forbids it.
            AccessDenied: the platform may not ask.
            ProviderFailed: the provider failed in its own words, or somebody else's machine has
                the name.
            NotReadyYet: an earlier machine of that name must be gone first.
        """

    async def observe(self, name: str, operation: str = "") -> Machine | None:
        """Return the machine, or None when the provider itself says that there is none.

        Args:
            name: Of the machine.
            operation: What `launch` returned, if anything: it tells slow from stuck.
        """

    async def terminate(self, name: str) -> None:
        """Ask for the machine's end; the end has come when `observe` returns None.

        May have to be called again: a provider may refuse for as long as another operation runs.
        """

    async def list_owned(self, tags: Mapping[str, str]) -> list[str]:
        """Return the names of all machines that carry `tags`, sorted."""

    async def close(self) -> None:
        """Close connections."""
