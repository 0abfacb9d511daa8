"""Facts that decisions are made from: small frozen views of Kubernetes objects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from api import names
from api.payloads import RevisionRecord


@dataclass(frozen=True)
class PlatformSettings:
    """What the operator of the platform decided; `worker/settings.py` reads it."""

    provisioner: str = "byo"
    """`byo`: existing nodes only; `onebox`: nodes of this machine through its node agent."""
    image_registry: str = "ghcr.io"
    """Host (and port) put in front of the relative image references of the catalogue."""
    registry_plain_http: bool = False
    """The registry speaks HTTP without TLS (onebox)."""
    hub_endpoint: str = "https://huggingface.co"
    """Where models are downloaded from that no registry holds: Hugging Face, or a mirror of it."""
    default_instance_type: str = "Standard_NC24ads_A100_v4"
    """Instance type of new nodes where the Workspace names none; upstream's default."""
    max_nodes_per_instance: int = 8
    """Most nodes that one instance of a model may span; more is refused with the reason."""
    node_class_group: str = names.NODE_CLASS_GROUP
    node_class_kind: str = names.NODE_CLASS_KIND_ONEBOX
    node_class_name: str = "default"
    region: str = ""
    """Region of new nodes, where known: labels of Azure's and AWS' zones begin with it."""

    @property
    def provisions_nodes(self) -> bool:
        """Whether nodes may be asked for at all."""
        return self.provisioner != "byo"

    @property
    def sells_spot(self) -> bool:
        """Whether new nodes can be had at another price, for as long as nobody else wants them."""
        # Arc's nodes are the owner's own machines: nobody else wants them.
        return self.provisioner not in {"byo", "onebox", "aks-arc"}


class NodeFault(StrEnum):
    """What is wrong with a node, whoever says so and however they call it."""

    UNREACHABLE = "unreachable"
    """Its kubelet is silent, or says that the node is not ready."""
    REMOVED = "removed"
    """Its Node object is deleted or gone, or an operator declared the node lost."""
    PREEMPTED = "preempted"
    """The cloud takes the machine back, or somebody scales it away."""
    GPU_MISSING = "gpu-missing"
    XID = "xid"
    """The NVIDIA driver logged errors (Xid) of a kind that does not go away."""
    NVLINK = "nvlink"
    ECC = "ecc"
    """The accelerator's memory has errors that can't be corrected."""
    THERMAL = "thermal"
    OTHER = "other"


class SignalWeight(StrEnum):
    """What a signal about a node may lead to."""

    NOTICE = "notice"
    """The machine goes, for certain and soon: nobody waits."""
    FAULT = "fault"
    """The node is lost if the signal stays for its deadline."""
    WARNING = "warning"
    """Worth telling, and never a reason to leave the node."""


@dataclass(frozen=True)
class NodeSignal:
    """One thing that somebody reports about a node, and that is not well."""

    fault: NodeFault
    weight: SignalWeight
    source: str
    """Where it is said, for people: "condition XIDErrors"; the same for as long as it is said."""
    since: datetime | None = None
    """None: the object does not tell (labels and most taints carry no time)."""


@dataclass(frozen=True)
class NodeFacts:
    """One Node."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    is_ready: bool = False
    is_schedulable: bool = True
    """False when cordoned or being deleted."""
    is_deleting: bool = False
    uid: str = ""
    provider_id: str = ""
    gpu_capacity: int = 0
    """`status.allocatable` of the GPU resource."""
    gpu_total: int = 0
    """`status.capacity` of the GPU resource: the broken ones too, while their plugin answers."""
    gpus_since: datetime | None = None
    """Since when it has shown as many devices as now, as far as this process saw."""
    mig_capacity: Mapping[str, int] = field(default_factory=dict)
    """`status.allocatable` of MIG slices, by resource: `nvidia.com/mig-1g.10gb`."""
    blocking_taint: str = ""
    """First taint that keeps our pods away, as "key=value:NoSchedule"; empty when none does."""
    is_out_of_service: bool = False
    """An operator declared it lost for good (`node.kubernetes.io/out-of-service`)."""
    signals: tuple[NodeSignal, ...] = ()
    """What is known to be wrong with it (`planner/node_signals.py`); judged by `node_health`."""
    image_names: frozenset[str] = frozenset()
    """References that the kubelet reports as present (it reports at most 50)."""

    @property
    def instance_type(self) -> str:
        """Return the well-known label's value, or an empty string."""
        return self.labels.get(names.LABEL_INSTANCE_TYPE, "")

    def capacity_of(self, device: str) -> int:
        """Return how many of a device the node shows."""
        return (
            self.gpu_capacity if device == names.GPU_RESOURCE else self.mig_capacity.get(device, 0)
        )


@dataclass(frozen=True)
class ClaimFacts:
    """One NodeClaim."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    uid: str = ""
    instance_type: str = ""
    created_at: datetime | None = None
    is_ready: bool = False
    is_initialized: bool = False
    """Its node was once all that was asked for: what it lacks now, it has lost."""
    is_deleting: bool = False
    node_name: str = ""
    provider_id: str = ""
    failure_reason: str = ""
    """Reason of the first condition that is False with a reason of `api.errors`."""
    failure_message: str = ""
    sentence: str = ""
    """Where the claim is, for people: "launched, waiting for its node"."""


@dataclass(frozen=True)
class PodFacts:
    """One Pod of a workload."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    node_name: str = ""
    phase: str = ""
    ip: str = ""
    is_ready: bool = False
    is_deleting: bool = False
    gpu_request: int = 0
    waiting_reason: str = ""
    """Reason of the first container (init containers first) that waits: "ImagePullBackOff"."""
    waiting_message: str = ""
    running_init_container: str = ""
    """Init container that runs now, if one does: "weights"."""
    restart_count: int = 0
    last_exit: str = ""
    """How the last container to end ended: "exit code 1", "OOMKilled"; empty when none did."""
    last_exit_message: str = ""
    unschedulable_message: str = ""
    failure: str = ""
    """Why the pod as a whole ended, when it did: "Evicted: The node was low on memory"."""


@dataclass(frozen=True)
class WorkloadFacts:
    """One StatefulSet of a revision."""

    name: str
    revision: str = ""
    replicas: int = 0
    """Pods that are wanted; 0 for an earlier revision that is kept to go back to."""
    pod_count: int = 0
    """Pods that there are, also such as are ending."""
    ready_replicas: int = 0
    is_current: bool = False
    """The controller has seen the newest spec and every pod runs it."""
    node_names: frozenset[str] = frozenset()
    """Nodes that its pods may run on (the required node affinity)."""
    is_deleting: bool = False

    @property
    def is_at_rest(self) -> bool:
        """Whether it is but a memory: no pod runs, and none is wanted."""
        return self.replicas < 1 and self.pod_count < 1

    @property
    def has_home(self) -> bool:
        """Whether its nodes are where it is, or is about to be."""
        return not self.is_deleting and not self.is_at_rest


@dataclass(frozen=True)
class ServiceFacts:
    """The Service of a Workspace."""

    name: str
    workspace_uid: str = ""
    active_revision: str = ""
    is_public: bool = False
    """It has an address outside the cluster (type LoadBalancer)."""


@dataclass(frozen=True)
class World:
    """Everything that one planning pass knows."""

    nodes: tuple[NodeFacts, ...] = ()
    """All nodes of the cluster."""
    claims: tuple[ClaimFacts, ...] = ()
    """Claims that carry this Workspace's uid."""
    workloads: tuple[WorkloadFacts, ...] = ()
    """Workloads that carry this Workspace's uid."""
    service: ServiceFacts | None = None
    gpu_requests: Mapping[str, int] = field(default_factory=dict)
    """GPUs (or MIG slices, where the Workspace wants those) asked for by pods of *others*, by node
    name."""
    own_gpu_requests: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """The same of this Workspace's own pods, by revision and then by node name."""
    config_text: str | None = None
    """Content of `inference.config`'s key, when the field is set and the ConfigMap exists."""
    missing: tuple[str, ...] = ()
    """Objects that the spec names and that do not exist, as "ConfigMap default/name"."""
    recorded: tuple[RevisionRecord, ...] = ()
    """Revisions that have a ControllerRevision, newest first."""
    workspace_uid: str = ""
    now: datetime | None = None
    """When this was observed. None: nothing is judged by time."""
    absent_nodes: Mapping[str, datetime] = field(default_factory=dict)
    """Names of claims' nodes that are not there, and since when, as far as this process saw."""
    gone_claims: tuple[datetime, ...] = ()
    """When claims were made that came up and are gone, for as long as they count against the budget
    of replacements; the Workspace's workflow remembers them."""
