"""What has lost what it belongs to, and what may be done about it: judged from lists alone.

Two rules stand above all others. What could not be listed in full proves nothing: absence counts
only in a complete list that was read past every cache. And nothing is deleted at first sight: a
suspect must be found again when its grace period is over, and once more just before the deletion.

The order of reading matters. What belongs to something is listed before what it belongs to
(machines, then claims, then Workspaces): an owner is made first and goes last, so that whatever
existed at the first list has its owner in the second.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final, Generic, TypeVar

from api import names
from api.payloads import (
    RepairOutcome,
    RepairStrayResult,
    Stray,
    StrayAction,
    StrayKind,
    WorkspaceRef,
)
from planner.fields import is_deleting, labels_of, mapping_at, text_at, text_map_at, texts_at
from planner.render.node_claim import OUR_NODE_CLASS_KINDS

GRACE: Final = timedelta(minutes=10)
"""10 min between the first sight of a stray and its deletion: a worker that died may have had a
create under way, and `launch_node` may take 10 min (workflows/limits.py)."""

YOUNG: Final = timedelta(minutes=1)
"""1 min for the watcher to start the workflow of an object that was just made, and for Temporal's
visibility to show it: both take about a second."""

MAX_STRAYS: Final = 100
"""100 strays worked on in one sweep, so that its history stays below 2,000 events; the rest is
counted, and is the next one's."""

_Item = TypeVar("_Item")


@dataclass(frozen=True)
class Listing(Generic[_Item]):
    """What a list said; `problem` tells why it is not the whole truth, and is empty when it is."""

    items: tuple[_Item, ...] = ()
    problem: str = ""

    @property
    def is_complete(self) -> bool:
        """Whether what is missing here is missing in the world."""
        return not self.problem


@dataclass(frozen=True)
class WorkspaceSeen:
    """A Workspace in the API server."""

    ref: WorkspaceRef
    created_at: datetime | None = None
    is_deleting: bool = False
    has_finalizer: bool = False


@dataclass(frozen=True)
class ClaimSeen:
    """A NodeClaim in the API server."""

    name: str
    uid: str
    owner: WorkspaceRef | None
    """The Workspace that its labels name, if it is a claim of ours."""
    is_served_by_us: bool = False
    is_deleting: bool = False
    has_finalizer: bool = False
    created_at: datetime | None = None


@dataclass(frozen=True)
class MachineSeen:
    """A machine at the provider that carries our tags."""

    name: str
    live_owner: WorkspaceRef | None = None
    """The Workspace that it carries the uid of, if that one exists and stays."""


@dataclass(frozen=True)
class Scene:
    """Everything that a sweep could see."""

    now: datetime
    workspaces: Listing[WorkspaceSeen] = field(default_factory=Listing)
    claims: Listing[ClaimSeen] = field(default_factory=Listing)
    machines: Listing[MachineSeen] = field(default_factory=Listing)
    workflow_ids: Listing[str] = field(default_factory=Listing)
    """Open workflows of ours. Visibility lags: this list may hold what has ended and lack what has
    begun, so that it may lead to a hint and to nothing else."""
    namespace: str = ""
    """The only namespace whose Workspaces are ours; empty: all."""

    def blind_spots(self) -> list[str]:
        """Return what could not be listed in full, and why."""
        listings: Mapping[str, Listing[Any]] = {
            "Workspaces": self.workspaces,
            "NodeClaims": self.claims,
            "machines": self.machines,
            "workflows": self.workflow_ids,
        }
        return [f"{name}: {one.problem}" for name, one in listings.items() if not one.is_complete]


@dataclass(frozen=True)
class Findings:
    """What a sweep found: what to work on, and how many there are of each kind."""

    strays: tuple[Stray, ...] = ()
    counts: Mapping[StrayKind, int] = field(default_factory=dict)


# --- Judging ----------------------------------------------------------------------------------


def find_strays(scene: Scene, suspects: Sequence[Stray] = ()) -> Findings:
    """Return the strays of a scene.

    Args:
        scene: What was listed.
        suspects: What the sweep before suspected, for the end of grace periods.
    """
    since = {_identity(one): one.first_seen_at for one in suspects if one.first_seen_at}
    found = [
        *_machines_without_claim(scene),
        *_claims_without_owner(scene),
        *_workspaces_without_workflow(scene),
        *_claims_without_workflow(scene),
        *_workflows_without_object(scene),
    ]
    judged = [_after_grace(one, since, scene.now) for one in found]
    return Findings(
        strays=tuple(judged[:MAX_STRAYS]), counts=dict(Counter(one.kind for one in judged))
    )


def _after_grace(stray: Stray, since: Mapping[tuple[str, ...], datetime], now: datetime) -> Stray:
    if stray.action is not StrayAction.DELETE:
        return stray
    # A time to come is another clock's, and proves nothing.
    first_seen_at = min(since.get(_identity(stray), now), now)
    action = StrayAction.DELETE if now - first_seen_at >= GRACE else StrayAction.WAIT
    return stray.model_copy(update={"action": action, "first_seen_at": first_seen_at})


def _identity(stray: Stray) -> tuple[str, ...]:
    return (stray.kind, stray.namespace, stray.name, stray.uid)


def _machines_without_claim(scene: Scene) -> Iterator[Stray]:
    lists = (scene.machines, scene.claims, scene.workspaces)
    if not all(one.is_complete for one in lists):
        return
    claim_names = {claim.name for claim in scene.claims.items}
    for machine in scene.machines.items:
        if machine.name in claim_names:
            continue
        stray = Stray(
            kind=StrayKind.MACHINE_WITHOUT_CLAIM,
            action=StrayAction.DELETE,
            name=machine.name,
            evidence=(
                f"the provider has machine {machine.name} with our tags; the API server has no "
                "NodeClaim of that name, and no Workspace that stays owns the machine"
            ),
        )
        if machine.live_owner is not None:
            # Its Workspace may ask for the claim again, by the same name, at any moment.
            stray = _for_owner(stray, machine.live_owner)
        yield stray


def _for_owner(stray: Stray, owner: WorkspaceRef) -> Stray:
    return stray.model_copy(
        update={
            "action": StrayAction.WAKE,
            "owner": owner,
            "evidence": (
                f"the provider has machine {stray.name} of Workspace {owner.namespace}/"
                f"{owner.name}, which exists; the API server has no NodeClaim of that name. It "
                "stays as long as the Workspace does"
            ),
        }
    )


def _claims_without_owner(scene: Scene) -> Iterator[Stray]:
    if not scene.workspaces.is_complete:
        return
    living = {one.ref.uid for one in scene.workspaces.items}
    for claim in scene.claims.items:
        owner = claim.owner
        if owner is None or claim.is_deleting or owner.uid in living:
            continue
        if scene.namespace not in {"", owner.namespace}:
            continue
        yield Stray(
            kind=StrayKind.CLAIM_WITHOUT_OWNER,
            action=StrayAction.DELETE,
            name=claim.name,
            uid=claim.uid,
            owner=owner,
            evidence=(
                f"NodeClaim {claim.name} belongs to Workspace {owner.namespace}/{owner.name} with "
                f"uid {owner.uid}; a complete list of Workspaces has no such uid"
            ),
        )


def _workspaces_without_workflow(scene: Scene) -> Iterator[Stray]:
    # A Workspace is evidence enough for its workflow: to start one that runs only wakes it.
    if not scene.workflow_ids.is_complete:
        return
    running = set(scene.workflow_ids.items)
    for one in scene.workspaces.items:
        workflow_id = names.workspace_workflow_id(one.ref.namespace, one.ref.name)
        is_going = one.is_deleting and not one.has_finalizer
        if workflow_id in running or is_going or _is_young(one.created_at, scene.now):
            continue
        yield Stray(
            kind=StrayKind.WORKSPACE_WITHOUT_WORKFLOW,
            action=StrayAction.START,
            name=one.ref.name,
            namespace=one.ref.namespace,
            uid=one.ref.uid,
            owner=one.ref,
            evidence=f"the Workspace exists; Temporal shows no open workflow {workflow_id}",
        )


def _claims_without_workflow(scene: Scene) -> Iterator[Stray]:
    if not scene.workflow_ids.is_complete:
        return
    running = set(scene.workflow_ids.items)
    for claim in scene.claims.items:
        workflow_id = names.node_claim_workflow_id(claim.name)
        is_going = claim.is_deleting and not claim.has_finalizer
        if not claim.is_served_by_us or is_going or workflow_id in running:
            continue
        if _is_young(claim.created_at, scene.now):
            continue
        yield Stray(
            kind=StrayKind.CLAIM_WITHOUT_WORKFLOW,
            action=StrayAction.START,
            name=claim.name,
            uid=claim.uid,
            owner=claim.owner,
            evidence=f"the NodeClaim exists; Temporal shows no open workflow {workflow_id}",
        )


def _workflows_without_object(scene: Scene) -> Iterator[Stray]:
    workspaces = {
        names.workspace_workflow_id(one.ref.namespace, one.ref.name)
        for one in scene.workspaces.items
    }
    claims = {names.node_claim_workflow_id(one.name) for one in scene.claims.items}
    for workflow_id in scene.workflow_ids.items:
        match workflow_id.split("/"):
            case ["workspace", namespace, name]:
                is_ours = scene.namespace in {"", namespace}
                is_gone = scene.workspaces.is_complete and workflow_id not in workspaces
                if is_ours and is_gone:
                    yield _workflow_without(
                        StrayKind.WORKFLOW_WITHOUT_WORKSPACE, workflow_id, name, namespace
                    )
            case ["nodeclaim", name]:
                if scene.claims.is_complete and workflow_id not in claims:
                    yield _workflow_without(StrayKind.WORKFLOW_WITHOUT_CLAIM, workflow_id, name)


def _workflow_without(kind: StrayKind, workflow_id: str, name: str, namespace: str = "") -> Stray:
    what = "Workspace" if kind is StrayKind.WORKFLOW_WITHOUT_WORKSPACE else "NodeClaim"
    return Stray(
        kind=kind,
        action=StrayAction.WAKE,
        name=name,
        namespace=namespace,
        evidence=f"workflow {workflow_id} is open; a complete list has no such {what}",
    )


def _is_young(created_at: datetime | None, now: datetime) -> bool:
    return created_at is not None and now - created_at < YOUNG


# --- The look just before a deletion ----------------------------------------------------------


def objection_to_deleting_claim(
    stray: Stray, claim: Mapping[str, Any], workspace: Mapping[str, Any] | None
) -> RepairStrayResult | None:
    """Return why a claim must not be deleted now; None when it may be.

    Args:
        stray: What was found by the lists.
        claim: The claim of that name, read a moment ago.
        workspace: The Workspace that the claim's labels name, read after the claim; None only when
            the API server itself said NotFound.
    """
    found = claim_seen(claim)
    if found.uid != stray.uid or found.is_deleting:
        return _passed("the claim is gone, or going already")
    if found.owner is None or found.owner != stray.owner:
        return _kept("the claim's labels name another Workspace than before")
    if workspace is not None and text_at(workspace, "metadata", "uid") == found.owner.uid:
        return _kept("its Workspace exists")
    if stray.action is not StrayAction.DELETE:
        return _kept("its grace period is not over")
    return None


def objection_to_ending_machine(
    stray: Stray, claim: Mapping[str, Any] | None, machine_state: str
) -> RepairStrayResult | None:
    """Return why a machine must not be given back now; None when it may be.

    Args:
        stray: What was found by the lists.
        claim: The NodeClaim of that name, read after the machine; None only when the API server
            itself said NotFound.
        machine_state: As the provider tells it now; empty when it has no such machine of ours.
    """
    if machine_state in {"", "deleting"}:
        return _passed("the machine is gone, or going already")
    if claim is not None:
        return _kept("its NodeClaim exists")
    if machine_state not in {"creating", "running", "failed"}:
        return _kept(f"the machine is {machine_state}")
    if stray.owner is not None:
        return _kept("its Workspace exists")
    if stray.action is not StrayAction.DELETE:
        return _kept("its grace period is not over")
    return None


def _passed(message: str) -> RepairStrayResult:
    return RepairStrayResult(outcome=RepairOutcome.PASSED, message=message)


def _kept(message: str) -> RepairStrayResult:
    return RepairStrayResult(outcome=RepairOutcome.KEPT, message=message)


# --- Reading objects -------------------------------------------------------------------------


def workspace_seen(obj: Mapping[str, Any]) -> WorkspaceSeen:
    """Return what a sweep needs to know of a Workspace."""
    return WorkspaceSeen(
        ref=WorkspaceRef(
            namespace=text_at(obj, "metadata", "namespace"),
            name=text_at(obj, "metadata", "name"),
            uid=text_at(obj, "metadata", "uid"),
        ),
        created_at=_created_at(obj),
        is_deleting=is_deleting(obj),
        has_finalizer=names.FINALIZER_WORKSPACE in texts_at(obj, "metadata", "finalizers"),
    )


def claim_seen(obj: Mapping[str, Any]) -> ClaimSeen:
    """Return what a sweep needs to know of a NodeClaim, whoever made it."""
    labels = labels_of(obj)
    node_class = mapping_at(obj, "spec", "nodeClassRef")
    owner = WorkspaceRef(
        namespace=labels.get(names.LABEL_WORKSPACE_NAMESPACE, ""),
        name=labels.get(names.LABEL_WORKSPACE, ""),
        uid=labels.get(names.LABEL_WORKSPACE_UID, ""),
    )
    # Claims of upstream's controllers carry the first two labels, and are theirs.
    # Claims for Karpenter carry our mark as an annotation (`planner/render/node_claim.py`).
    marks = {**text_map_at(obj, "metadata", "annotations"), **labels}
    is_ours = (
        marks.get(names.LABEL_MANAGED_BY) == names.MANAGED_BY
        and bool(owner.namespace)
        and bool(owner.name)
        and bool(owner.uid)
    )
    return ClaimSeen(
        name=text_at(obj, "metadata", "name"),
        uid=text_at(obj, "metadata", "uid"),
        owner=owner if is_ours else None,
        is_served_by_us=(
            text_at(node_class, "group") == names.NODE_CLASS_GROUP
            and text_at(node_class, "kind") in OUR_NODE_CLASS_KINDS
        ),
        is_deleting=is_deleting(obj),
        has_finalizer=names.FINALIZER_NODE_CLAIM in texts_at(obj, "metadata", "finalizers"),
        created_at=_created_at(obj),
    )


def with_owners(
    machine_names: Sequence[str], owners: Mapping[str, WorkspaceRef]
) -> tuple[MachineSeen, ...]:
    """Return the machines, each with the living Workspace that owns it, if one does."""
    machines = (MachineSeen(name) for name in machine_names)
    return tuple(replace(one, live_owner=owners.get(one.name)) for one in machines)


def _created_at(obj: Mapping[str, Any]) -> datetime | None:
    try:
        found = datetime.fromisoformat(text_at(obj, "metadata", "creationTimestamp"))
    except ValueError:
        return None
    return found if found.tzinfo is not None else None
