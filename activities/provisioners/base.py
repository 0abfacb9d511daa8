"""The contract of a provisioner.

Every verb is idempotent by the machine's name, which is the NodeClaim's name: asking twice buys one
machine. Errors come out as classes of `api.errors` or as SDK errors that `activities/errors.py`
knows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol


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


class Provisioner(Protocol):
    """Gets machines and gives them back."""

    name: str

    async def launch(self, request: MachineRequest) -> Machine:
        """Ask for the machine; return at once, before it runs.

        Raises:
            CapacityUnavailable: the provider has none, or the quota forbids it.
            AccessDenied: the platform may not ask.
            ProviderFailed: the provider failed in its own words.
        """

    async def observe(self, name: str) -> Machine | None:
        """Return the machine, or None when the provider itself says that there is none."""

    async def terminate(self, name: str) -> None:
        """Ask for the machine's end; the end has come when `observe` returns None."""

    async def list_owned(self, tags: Mapping[str, str]) -> list[str]:
        """Return the names of all machines that carry `tags`, sorted."""

    async def close(self) -> None:
        """Close connections."""
