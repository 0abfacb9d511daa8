"""What crosses the wire between workflows, activities and the watcher.

Payloads carry names, counts, reasons and digests, never manifests: a history is readable by many
and kept for long. Unknown fields are ignored and every new field needs a default, so that old
histories replay and a newer watcher can talk to an older worker.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict


class Payload(BaseModel):
    """Base of everything on the wire: frozen, tolerant of unknown fields."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class WorkspaceRef(Payload):
    """One Workspace object; an empty uid means "whichever object has this name now"."""

    namespace: str
    name: str
    uid: str = ""


class NodeClaimRef(Payload):
    """One NodeClaim object (cluster-scoped)."""

    name: str
    uid: str = ""


# --- Signals ----------------------------------------------------------------------------------


class DesiredChanged(Payload):
    """The watcher's hint: it wakes a workflow and carries no orders.

    `generation` is 0 when an owned object changed rather than the Workspace itself.
    """

    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    deleting: bool = False
    cause: str = ""


class OperatorOrder(Payload):
    """An operator's order; `reason` is kept in the history of operations."""

    reason: str = ""


class RollbackOrder(Payload):
    """Order to return to `revision`, or to the previous good one when empty."""

    revision: str = ""
    reason: str = ""


class ApproveOrder(Payload):
    """Order to carry out `revision`, or whichever waits for an approval when empty."""

    revision: str = ""
    reason: str = ""


# --- Steps of an operation ----------------------------------------------------------------------


class Step(StrEnum):
    """Steps that a person watches, in the order in which they run."""

    NODES = "nodes"
    IMAGES = "images"
    WORKLOAD = "workload"
    ENDPOINT = "endpoint"
    TRAFFIC = "traffic"
    RETIRE = "retire"
    """Earlier revisions are drained and stopped, where they went on answering until now."""


class StepState(StrEnum):
    """Where a step is."""

    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    WAITING = "waiting"
    BLOCKED = "blocked"


class StepRecord(Payload):
    """One line of `.status.timeline`."""

    step: Step
    state: StepState = StepState.PENDING
    seconds: float = 0.0
    reason: str = ""
    message: str = ""
    attempts: int = 0


class OperationOutcome(StrEnum):
    """How an operation ended, or (FellBack) how an attempt within one did."""

    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    SUPERSEDED = "Superseded"
    FELL_BACK = "FellBack"
    """An offer could not be had, and the next one was tried; the operation goes on."""
    GIVEN_UP = "GivenUp"
    """The revision failed, and the last good one is brought back."""
    RESTORED = "Restored"
    """The last good revision serves again."""


class OperationRecord(Payload):
    """One line of `.status.history`."""

    revision: str = ""
    generation: int = 0
    outcome: OperationOutcome
    reason: str = ""
    message: str = ""
    seconds: float = 0.0
    finished_at: datetime | None = None


class LifecyclePhase(StrEnum):
    """`.status.phase` and the search attribute KaitoPhase: one word for people."""

    PENDING = "Pending"
    PROVISIONING = "Provisioning"
    PULLING = "Pulling"
    DEPLOYING = "Deploying"
    VERIFYING = "Verifying"
    READY = "Ready"
    AWAITING_APPROVAL = "AwaitingApproval"
    RESTORING = "Restoring"
    """The last good revision is being brought back, because a newer one failed."""
    ROLLED_BACK = "RolledBack"
    """The last good revision serves; the spec asks for one that failed."""
    WAITING = "Waiting"
    FAILED = "Failed"
    PAUSED = "Paused"
    DELETING = "Deleting"


class Problem(Payload):
    """Why something can't go on: the reason is a class name of `api.errors`."""

    reason: str
    message: str


class EventKind(StrEnum):
    """Kubernetes knows two kinds of Events."""

    NORMAL = "Normal"
    WARNING = "Warning"


class EventNote(Payload):
    """A Kubernetes Event to write on the Workspace; its name derives from `key` (idempotent)."""

    kind: EventKind = EventKind.NORMAL
    reason: str
    message: str
    key: str = ""


# --- plan -----------------------------------------------------------------------------------------


class PlanInput(Payload):
    """What to plan. The plan activity reads everything else itself."""

    workspace: WorkspaceRef
    failed_offers: list[FailedOffer] = []
    """Offers that the current operation tried in vain, in the order of trying."""
    recent_claims: dict[str, datetime] = {}
    """What the plan before this one said in its field of this name."""
    given_up: str = ""
    """Revision that failed: while the spec asks for it, `restore` is planned in its stead."""
    restore: str = ""
    """The good revision to bring back, and to keep, in its stead."""


class Offer(Payload):
    """One kind of capacity that a provider may have or not have."""

    instance_type: str
    capacity_type: str = "on-demand"
    zone: str = ""
    """Empty: any zone will do."""


class ClaimSpec(Payload):
    """One NodeClaim that the plan wants."""

    name: str
    instance_type: str
    index: int
    capacity_type: str = ""
    """Empty: on demand."""
    zone: str = ""
    """Empty: any zone will do."""


class FailedOffer(Payload):
    """An offer that was tried and could not be had."""

    offer: Offer
    reason: str
    message: str
    """In the provider's own words."""
    seconds: float = 0.0
    """From the asking to the refusal."""
    failed_at: datetime | None = None


class StepDeadlines(Payload):
    """How long each wait may take, in seconds; from the preset, else from settings."""

    nodes_seconds: int = 1800
    images_seconds: int = 1800
    workload_seconds: int = 1800
    endpoint_seconds: int = 300


class RolloutMode(StrEnum):
    """How a plan takes the Workspace from what serves to what is wanted."""

    NONE = "None"
    """No pod is replaced: nothing serves yet, or the pods are those that are wanted."""
    IN_PLACE = "InPlace"
    SURGE = "Surge"


class RevisionOutcome(StrEnum):
    """What became of a recorded revision; an annotation of its ControllerRevision."""

    UNKNOWN = ""
    """It was never verified: it is being brought up, or a newer spec came first."""
    GOOD = "Good"
    """It was verified and got the traffic."""
    GIVEN_UP = "GivenUp"
    """It failed."""


class RevisionRecord(Payload):
    """One revision that the cluster remembers."""

    revision: str
    number: int = 0
    """Counts the revisions of the Workspace; a revision that is asked for again gets a new one."""
    outcome: RevisionOutcome = RevisionOutcome.UNKNOWN


class GivenUp(Payload):
    """A revision that failed and is not tried again, and why."""

    revision: str
    problem: Problem
    failed_at: datetime | None = None


class Parallelism(Payload):
    """How one instance of the model is split over GPUs, and how many share a pod."""

    tensor: int = 1
    """GPUs that each layer is split over."""
    pipeline: int = 1
    """Groups of layers; each node of an instance holds one or more of them."""
    data: int = 1
    """Whole copies of the model in one pod."""


class MemoryBudget(Payload):
    """What the memory of one GPU is spent on, in bytes."""

    total: int
    usable: int
    """Part of `total` that the model server may take (`gpu-memory-utilization`)."""
    weights: int
    kv_cache: int
    """Cache that `context_tokens` of one sequence need."""
    overhead: int
    """What the server itself takes: activations, graphs, the CUDA context."""
    kv_cache_bytes_per_token: int = 0
    """Over all GPUs of one instance of the model."""
    context_tokens: int = 0
    """Tokens of context that the budget was made for."""

    @property
    def free(self) -> int:
        """Return what is left for more and longer sequences; negative when it does not fit."""
        return self.usable - self.weights - self.kv_cache - self.overhead


class InstanceCandidate(Payload):
    """One instance type that could carry the Workspace, in the order of trying."""

    instance_type: str
    capacity_type: str = "on-demand"
    nodes: int = 0
    usd_per_hour: float | None = None
    """List price of all its nodes; None where the catalogue has none."""
    problem: str = ""
    """Why it can't be used; empty when it can."""


class WorkspacePlan(Payload):
    """The decision of one planning pass, recorded in history.

    `steps` names what is not yet as it should be, in order: empty means all is well.
    `problem` set means that nothing can be done until someone acts; `steps` is then empty.
    """

    found: bool = False
    uid: str = ""
    generation: int = 0
    deleting: bool = False
    released: bool = False
    """The object is being deleted and no longer carries our finalizer."""
    problem: Problem | None = None

    revision: str = ""
    adopted: bool = False
    """The finalizer and the ControllerRevision of `revision` are in place."""
    active_revision: str = ""
    """The revision that the Service selects now, empty when there is no Service."""
    stale_revisions: list[str] = []
    """Revisions that still have pods (or want some) and are not `revision`."""
    spec_revision: str = ""
    """The revision that the spec asks for: `revision`, unless that was given up and an earlier one
    is planned in its stead. Empty in plans of earlier versions: `revision`."""
    recorded: list[RevisionRecord] = []
    """What the cluster remembers, newest first."""
    mode: RolloutMode = RolloutMode.NONE
    announcement: str = ""
    """What the edit changes, how that is done and what it costs, in a sentence or two; empty where
    nothing that serves is replaced."""
    expected_downtime_seconds: int | None = None
    """While nobody answers, as far as past steps tell; 0 under Surge, None where nobody knows."""
    auto_rollback: bool = True
    """The last good revision is brought back when this one fails."""
    requires_approval: bool = False
    """The steps wait for the order `approve`: something serves, and something else is asked for."""
    frees_failed: bool = False
    """Nodes and pods are given back when the revision fails and there is none to go back to."""
    history_limit: int = 10
    """Revisions to keep, with their workloads."""
    steps: list[Step] = []

    preset: str = ""
    instance_type: str = ""
    node_count: int = 0
    claims: list[ClaimSpec] = []
    existing_nodes: list[str] = []
    """Nodes to use that no claim of ours made."""
    surplus_claims: list[str] = []
    """Claims of this Workspace that the plan does not use (fewer nodes, another instance type)."""
    offer: Offer | None = None
    """What the plan's new claims ask for; None where no node is asked for."""
    may_fall_back: bool = False
    """Nothing runs on the plan's claims yet: when the offer can't be had, they are given back and
    the next offer is tried."""
    lost_claims: list[str] = []
    """Claims whose node is lost or sick beyond its deadline: they are replaced by `claims`."""
    look_again_at: datetime | None = None
    """When a node that is sick now may be lost, if nothing else happens; None: no such moment."""
    recent_claims: dict[str, datetime] | None = None
    """When claims were made that came up within the last hour, by uid, those that are gone too:
    they count against the budget of replacements. None: this plan did not look."""
    served_model_name: str = ""
    replicas: int = 0
    deadlines: StepDeadlines = StepDeadlines()
    runtime: str = ""
    parallelism: Parallelism = Parallelism()
    budget: MemoryBudget | None = None
    """None where the accelerators' memory is not known, or the pods are the user's own."""
    candidates: list[InstanceCandidate] = []
    """Instance types in the order in which they would be tried."""
    usd_per_hour: float | None = None
    """List price of the nodes that the plan asks for; existing nodes cost nothing more."""
    warnings: list[str] = []
    """What works otherwise than one may think; nothing is refused because of it."""


# --- steps' inputs and results --------------------------------------------------------------------


class RevisionInput(Payload):
    """Which revision of which Workspace a step works on."""

    workspace: WorkspaceRef
    revision: str


class AdoptInput(RevisionInput):
    """`generation` guards against adopting a spec that was edited after planning."""

    generation: int = 0


class AdoptResult(Payload):
    """`superseded` means that the spec changed since it was planned: plan again."""

    superseded: bool = False
    revision_number: int = 0


class EnsureNodeClaimsInput(RevisionInput):
    """Claims that must exist."""

    claims: list[ClaimSpec]


class EnsureNodeClaimsResult(Payload):
    """Names of the claims that this call created."""

    created: list[str] = []


class ReleaseClaimsInput(Payload):
    """Claims that no revision uses any more."""

    workspace: WorkspaceRef
    claim_names: list[str]


class ReleaseClaimsResult(Payload):
    """Names of the claims that this call asked to end."""

    released: list[str] = []


class AwaitNodesInput(RevisionInput):
    """Wait for these claims and these existing nodes."""

    claim_names: list[str] = []
    existing_nodes: list[str] = []
    deadline_seconds: int


class AwaitNodesResult(Payload):
    """Nodes on which the workload will run, sorted."""

    node_names: list[str]


class PullImagesInput(RevisionInput):
    """Bring the revision's images onto these nodes."""

    node_names: list[str]
    deadline_seconds: int


class PullImagesResult(Payload):
    """`already_present` counts nodes that had everything."""

    images: list[str] = []
    already_present: int = 0


class EnsureWorkloadInput(RevisionInput):
    """Create or match the workload of a revision on these nodes."""

    node_names: list[str]


class EnsureWorkloadResult(Payload):
    """What the workload is called and how many pods it wants."""

    workload_name: str
    created: bool = False
    replicas: int = 0


class AwaitWorkloadInput(RevisionInput):
    """Wait until every pod of the revision is ready."""

    replicas: int
    deadline_seconds: int


class AwaitWorkloadResult(Payload):
    """Pods that are ready, sorted."""

    pod_names: list[str]


class VerifyEndpointInput(RevisionInput):
    """Ask the model server itself, before any traffic reaches it."""

    served_model_name: str
    pod_names: list[str] = []
    deadline_seconds: int


class VerifyEndpointResult(Payload):
    """What the endpoint said; the answer is cut short."""

    model: str
    answer: str = ""
    first_answer_seconds: float = 0.0


class EnsureTrafficResult(Payload):
    """`moved` is true when the Service did not select this revision before."""

    service_name: str
    previous_revision: str = ""
    moved: bool = False


class RetireWorkloadsInput(Payload):
    """Scale the workloads of these revisions to nothing and wait until their pods are gone."""

    workspace: WorkspaceRef
    revisions: list[str]
    deadline_seconds: int = 300


class RetireWorkloadsResult(Payload):
    """Names of the workloads that have no pods any more."""

    retired: list[str] = []


class MarkRevisionInput(RevisionInput):
    """Write down what became of a revision, and forget the oldest beyond the limit."""

    outcome: RevisionOutcome
    message: str = ""
    """Why it was given up."""
    history_limit: int = 10
    keep: list[str] = []
    """Revisions that are not forgotten, however old: what serves, and what may be gone back to."""


class MarkRevisionResult(Payload):
    """Names of the revisions that were forgotten, with their workloads."""

    pruned: list[str] = []


class RestoreSpecInput(RevisionInput):
    """Write a recorded revision back into the spec of its Workspace."""

    generation: int = 0
    """Generation that the order was about; a newer one is an edit that came in between."""


class RestoreSpecResult(Payload):
    """The generation that the spec has now."""

    generation: int = 0
    changed: bool = False
    """False when the spec was as recorded already."""
    superseded: bool = False
    """An edit came in between; nothing was written."""


class ReportInput(Payload):
    """What `.status` and the Events should tell; the activity judges it into conditions."""

    workspace: WorkspaceRef
    generation: int = 0
    phase: LifecyclePhase
    revision: str = ""
    active_revision: str = ""
    preset: str = ""
    instance_type: str = ""
    node_names: list[str] = []
    timeline: list[StepRecord] = []
    history: list[OperationRecord] = []
    problem: Problem | None = None
    paused_reason: str = ""
    deleting: bool = False
    has_inference: bool = True
    target_node_count: int = 0
    warnings: list[str] = []
    events: list[EventNote] = []
    spec_revision: str = ""
    given_up: GivenUp | None = None
    mode: RolloutMode = RolloutMode.NONE
    """How the revision takes the place of the active one."""


class ReportResult(Payload):
    """`written` is false when nothing had changed, or the object is gone."""

    written: bool = False


class TeardownInput(Payload):
    """Whose things to remove."""

    workspace: WorkspaceRef
    deadline_seconds: int = 900


class TeardownResult(Payload):
    """What was removed, sorted `Kind/name`."""

    removed: list[str] = []


class ProofResult(Payload):
    """What still carries the Workspace's ownership labels or tags: empty is the proof."""

    leftovers: list[str] = []


# --- NodeClaim workflow ---------------------------------------------------------------------------


class NodeClaimFacts(Payload):
    """What a NodeClaim and its machine look like now."""

    found: bool = False
    uid: str = ""
    deleting: bool = False
    has_finalizer: bool = False
    instance_type: str = ""
    launched: bool = False
    ready: bool = False
    node_name: str = ""
    provider_id: str = ""


class LaunchInput(Payload):
    """Which claim to launch a machine for."""

    claim: NodeClaimRef


class LaunchResult(Payload):
    """The machine as the provider names it."""

    provider_id: str
    created: bool = False
    operation_token: str = ""
    """By which the provider's own operation is found again; empty where it has none."""


class AwaitInitializedInput(Payload):
    """Wait until the claim's node is registered, ready and shows its GPUs."""

    claim: NodeClaimRef
    deadline_seconds: int
    operation_token: str = ""


class AwaitInitializedResult(Payload):
    """The node that joined."""

    node_name: str


class ReportNodeClaimInput(Payload):
    """What the NodeClaim's conditions should say."""

    claim: NodeClaimRef
    launched: bool = False
    registered: bool = False
    initialized: bool = False
    provider_id: str = ""
    node_name: str = ""
    problem: Problem | None = None


class TerminateInput(Payload):
    """Whose machine to give back; ends when the provider says NotFound."""

    claim: NodeClaimRef
    deadline_seconds: int


# --- Sweep ------------------------------------------------------------------------------------


class StrayKind(StrEnum):
    """What can come apart that belongs together."""

    WORKSPACE_WITHOUT_WORKFLOW = "WorkspaceWithoutWorkflow"
    WORKFLOW_WITHOUT_WORKSPACE = "WorkflowWithoutWorkspace"
    CLAIM_WITHOUT_WORKFLOW = "ClaimWithoutWorkflow"
    WORKFLOW_WITHOUT_CLAIM = "WorkflowWithoutClaim"
    CLAIM_WITHOUT_OWNER = "ClaimWithoutOwner"
    MACHINE_WITHOUT_CLAIM = "MachineWithoutClaim"


class StrayAction(StrEnum):
    """What a sweep does about a stray."""

    START = "start"
    """Start the workflow that should run; one that runs after all is only woken."""
    WAKE = "wake"
    """Wake the workflow that should see to it."""
    WAIT = "wait"
    """Nothing yet: it must still be a stray when its grace period is over."""
    DELETE = "delete"


class Stray(Payload):
    """One thing that has lost what it belongs to."""

    kind: StrayKind
    action: StrayAction
    name: str
    """Of the Workspace, the NodeClaim or the machine."""
    namespace: str = ""
    uid: str = ""
    """Of the claim that may be deleted, or of the Workspace to wake."""
    owner: WorkspaceRef | None = None
    """The Workspace that it belongs to, or belonged to, where that is known."""
    evidence: str = ""
    """In words: what was seen, and where."""
    first_seen_at: datetime | None = None
    """Since when every sweep found it so."""


class FindStraysInput(Payload):
    """What earlier sweeps suspected, so that a grace period can end."""

    suspects: list[Stray] = []


class FindStraysResult(Payload):
    """What a sweep saw. It says nothing about what it could not see."""

    strays: list[Stray] = []
    """At most as many as one sweep works on; the counts are of all."""
    counts: dict[StrayKind, int] = {}
    blind_spots: list[str] = []
    """What could not be listed in full, and why: nothing was concluded from it."""


class RepairOutcome(StrEnum):
    """How the repair of one stray ended."""

    REPAIRED = "repaired"
    PASSED = "passed"
    """A look just before found nothing to do any more."""
    KEPT = "kept"
    """A look just before found a reason not to touch it."""
    FAILED = "failed"
    """Tried in vain; the next sweep tries again."""


class RepairStrayInput(Payload):
    """Which stray to repair."""

    stray: Stray


class RepairStrayResult(Payload):
    """What came of it, in words for people."""

    outcome: RepairOutcome
    message: str = ""


class SweepResult(Payload):
    """What one sweep did; the next one is given it by the schedule."""

    found: dict[StrayKind, int] = {}
    outcomes: dict[RepairOutcome, int] = {}
    deletions_count: int = 0
    deletions_left: int = 0
    """Not deleted because one sweep deletes only so many."""
    blind_spots: list[str] = []
    suspects: list[Stray] = []
