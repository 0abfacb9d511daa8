"""What is asked of Azure and what it answers, without a line of its SDK."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import ip_address
from typing import Final, Protocol
from urllib.parse import urlsplit

from planner.azure_errors import AzureFailure

PUBLIC_CLOUD_URL: Final = "https://management.azure.com"

_TAG_NAME_REFUSED: Final = re.compile(r"[<>%&\\?/]")
"""Azure refuses these with InvalidTagNameCharacters."""


def tag_name(key: str) -> str:
    """Return the name under which a label's key stands as a tag: `kaito.sh/x` as `kaito.sh_x`.

    Karpenter's Azure provider writes its keys the same way.
    """
    return _TAG_NAME_REFUSED.sub("_", key)


@dataclass(frozen=True)
class AzureEndpoint:
    """Which cluster, in which subscription of which cloud."""

    subscription_id: str
    resource_group: str
    cluster_name: str
    base_url: str = PUBLIC_CLOUD_URL
    """Resource Manager: of a sovereign cloud, or an emulator."""
    token_scope: str = ""
    """Empty: `<base_url>/.default`, right for every cloud of Microsoft's."""
    allow_plain_http: bool = False
    """Send tokens unencrypted to another machine than this one: never to Azure."""

    def __post_init__(self) -> None:
        """Refuse an address to which no token may go."""
        parts = urlsplit(self.base_url)
        if parts.scheme == "https" and parts.hostname:
            return
        if parts.scheme != "http" or not (self.allow_plain_http or _is_local(parts.hostname or "")):
            raise ValueError(
                f"{self.base_url!r} is no address for Azure Resource Manager: it must begin with "
                "https://, as nobody else may read the token"
            )

    @property
    def is_encrypted(self) -> bool:
        """Say whether calls go over TLS."""
        return self.base_url.startswith("https://")

    @property
    def scope(self) -> str:
        """Return what a token must be good for."""
        return self.token_scope or f"{self.base_url.rstrip('/')}/.default"


@dataclass(frozen=True)
class PoolSpec:
    """An agent pool to be made."""

    name: str
    vm_size: str
    count: int = 1
    labels: Mapping[str, str] = field(default_factory=dict)
    """Without Kubernetes' own prefixes, which AKS keeps for itself."""
    taints: Sequence[str] = ()
    """`key=value:Effect`."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """By our keys; `tag_name` makes Azure's of them."""
    is_spot: bool = False
    zones: Sequence[str] = ()
    """Numbers of zones; none: Azure chooses, in no zone."""
    os_disk_size_gib: int | None = None
    """None: the size's default."""
    os_sku: str = "Ubuntu"
    subnet_id: str = ""
    """Empty: the cluster's own."""


@dataclass(frozen=True)
class Pool:
    """An agent pool, as its provider tells it."""

    name: str
    vm_size: str
    count: int
    provisioning_state: str
    """`Creating`, `Updating`, `Succeeded`, `Failed`, `Canceled`, `Deleting`, … as Azure says."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """By Azure's names; ask with `tag`."""
    labels: Mapping[str, str] = field(default_factory=dict)
    zones: Sequence[str] = ()
    is_spot: bool = False
    failure: AzureFailure | None = None
    """Why the last operation failed: it can be read without the operation's token."""

    def tag(self, key: str) -> str:
        """Return a tag by our key; empty when it is not there."""
        return self.tags.get(tag_name(key), "")

    def has_tags(self, tags: Mapping[str, str]) -> bool:
        """Say whether the pool carries all of `tags`, by our keys."""
        return all(self.tag(key) == value for key, value in tags.items())


@dataclass(frozen=True)
class Begun:
    """A pool that was asked for."""

    token: str = ""
    """Resumes its operation from any process; empty when there is none that we began."""
    created: bool = False
    """This very call began it; False: it was there already (look with `find`)."""


class OperationState(StrEnum):
    """How far a long-running operation is."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    FORGOTTEN = "forgotten"
    """Azure keeps no record of it any more (or never had one); the pool itself tells."""


@dataclass(frozen=True)
class OperationStatus:
    """One look at an operation."""

    state: OperationState
    failure: AzureFailure | None = None
    """With FAILED and CANCELED."""
    retry_after_seconds: float | None = None
    """When Azure would like to be asked again."""


@dataclass(frozen=True)
class ClusterFacts:
    """The managed cluster."""

    name: str
    location: str
    provisioning_state: str
    node_resource_group: str


@dataclass(frozen=True)
class Usage:
    """One vCPU quota of a region."""

    name: str
    """The family, or `cores` (all on-demand), or `lowPriorityCores` (all spot)."""
    used: int
    limit: int

    @property
    def remaining(self) -> int:
        """Return what may still be asked for."""
        return max(0, self.limit - self.used)


@dataclass(frozen=True)
class SkuFacts:
    """A VM size in a region, as this subscription may use it."""

    name: str
    family: str
    """The quota's name, for `Usage`."""
    vcpu_count: int
    gpu_count: int
    zones: Sequence[str]
    """Where it may be asked for by zone, sorted; empty: in no zone."""
    is_restricted: bool
    """This subscription may not use it in this region at all."""
    restriction: str = ""
    """Azure's reason: `NotAvailableForSubscription`, `QuotaId`."""


class AgentPools(Protocol):
    """Agent pools of one cluster; AKS and Arc alike.

    Every call takes `key`, the idempotency key of what it belongs to: its client request id is
    derived from it, so that all requests of one intention can be found in Azure's log and ours.
    Every call raises AzureFailed.
    """

    async def begin_create(self, spec: PoolSpec, *, key: str) -> Begun:
        """Ask for a pool; return before it is there. Idempotent by its name."""

    async def begin_delete(self, name: str, *, key: str) -> Begun:
        """Ask for a pool's end; without a token when there is none."""

    async def abort(self, name: str, *, key: str) -> None:
        """Stop the operation that runs on a pool, where the provider can."""

    async def poll(self, token: str, *, key: str) -> OperationStatus:
        """Look once at the operation of `token`, begun by whatever process."""

    async def find(self, name: str, *, key: str) -> Pool | None:
        """Return the pool, or None when the provider itself says that there is none."""

    async def list(self, tags: Mapping[str, str], *, key: str) -> list[Pool]:
        """Return the pools that carry all of `tags`, sorted by name."""

    async def close(self) -> None:
        """Close the connections."""


def _is_local(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
