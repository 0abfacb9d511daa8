"""A cluster in miniature: it carries out the steps of a plan the way the activities do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from api import names
from api.payloads import RevisionOutcome, RevisionRecord, RolloutMode, Step, WorkspacePlan
from api.preset import Preset
from api.workspace import Workspace
from planner.plan import plan
from planner.world import (
    ClaimFacts,
    NodeFacts,
    PlatformSettings,
    ServiceFacts,
    WorkloadFacts,
    World,
)
from presets.loader import load_catalogue

UID = "uid-1"
PRESET_NAME = "smollm2-135m-instruct"
INSTANCE_TYPE = "onebox.small"
ONEBOX = PlatformSettings(provisioner="onebox")
BYO = PlatformSettings(provisioner="byo")


def catalogue_preset() -> Preset:
    preset = load_catalogue().get(PRESET_NAME)
    assert preset is not None
    return preset


def workspace(
    count: int = 1,
    *,
    name: str = "llm",
    instance_type: str = INSTANCE_TYPE,
    preset: str = PRESET_NAME,
    config: str = "",
    preferred: tuple[str, ...] = (),
    selector: dict[str, Any] | None = None,
    finalizers: tuple[str, ...] = (names.FINALIZER_WORKSPACE,),
    deleting: bool = False,
    annotations: dict[str, str] | None = None,
    rollout: dict[str, Any] | None = None,
    status: dict[str, Any] | None = None,
) -> Workspace:
    metadata: dict[str, Any] = {
        "name": name,
        "namespace": "default",
        "uid": UID,
        "generation": 3,
        "finalizers": list(finalizers),
        "annotations": annotations or {},
    }
    if deleting:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return Workspace.from_object(
        {
            "metadata": metadata,
            "resource": {
                "count": count,
                "instanceType": instance_type,
                "labelSelector": selector or {"matchLabels": {"apps": "llm"}},
                "preferredNodes": list(preferred),
            },
            "inference": {"preset": {"name": preset}, "config": config},
            **({"rollout": rollout} if rollout is not None else {}),
            **({"status": status} if status is not None else {}),
        }
    )


def node(name: str, **facts: object) -> NodeFacts:
    labels = {names.LABEL_INSTANCE_TYPE: INSTANCE_TYPE, "apps": "llm"}
    whole = NodeFacts(name, labels=labels, is_ready=True, gpu_capacity=1)
    return replace(whole, **facts)  # type: ignore[arg-type]


def claim_name(index: int, instance_type: str = INSTANCE_TYPE) -> str:
    return names.node_claim_name(UID, instance_type, index)


@dataclass
class Simulation:
    """The world as it is now, and what was done to it."""

    settings: PlatformSettings = ONEBOX
    nodes: dict[str, NodeFacts] = field(default_factory=dict)
    claims: dict[str, ClaimFacts] = field(default_factory=dict)
    workloads: dict[str, WorkloadFacts] = field(default_factory=dict)
    active_revision: str = ""
    recorded: dict[str, RevisionRecord] = field(default_factory=dict)
    """By revision, the newest last."""
    gpu_requests: dict[str, int] = field(default_factory=dict)
    config_text: str | None = None
    bought: list[str] = field(default_factory=list)
    moves: list[tuple[str, frozenset[str]]] = field(default_factory=list)

    def world(self) -> World:
        service = ServiceFacts("llm", UID, self.active_revision) if self.active_revision else None
        return World(
            nodes=tuple(self.nodes.values()),
            claims=tuple(self.claims.values()),
            workloads=tuple(self.workloads.values()),
            service=service,
            gpu_requests=self.gpu_requests,
            config_text=self.config_text,
            own_gpu_requests={
                one.revision: dict.fromkeys(one.node_names, 1)
                for one in self.workloads.values()
                if one.has_home
            },
            recorded=tuple(reversed(self.recorded.values())),
        )

    def plan(self, of: Workspace) -> WorkspacePlan:
        return plan(of, self.world(), catalogue_preset(), self.settings, load_catalogue())

    def carry_out(self, decision: WorkspacePlan) -> None:
        if not decision.adopted:
            self.record(decision.revision)
        for step in decision.steps:
            self.take(step, decision)
        if decision.steps:
            self.record(decision.revision, RevisionOutcome.GOOD)

    def record(
        self, revision: str, outcome: RevisionOutcome = RevisionOutcome.UNKNOWN
    ) -> RevisionRecord:
        """Write down a revision as the newest, or what became of one that is recorded."""
        known = self.recorded.get(revision)
        if known is None or outcome is RevisionOutcome.UNKNOWN:
            number = 1 + max((one.number for one in self.recorded.values()), default=0)
            self.recorded.pop(revision, None)
            known = RevisionRecord(revision=revision, number=number)
        self.recorded[revision] = known.model_copy(update={"outcome": outcome})
        return self.recorded[revision]

    def take(self, step: Step, decision: WorkspacePlan) -> None:
        """Carry out one step as the activities do."""
        if step is Step.NODES:
            self._bring_up_nodes(decision)
        if step is Step.WORKLOAD:
            is_surge = decision.mode is RolloutMode.SURGE
            kept = {decision.active_revision} if is_surge else set()
            self._stop(one for one in decision.stale_revisions if one not in kept)
            self._run(decision)
        if step is Step.TRAFFIC:
            self.active_revision = decision.revision
        if step is Step.RETIRE:
            self._stop(decision.stale_revisions)

    def _stop(self, revisions: Iterable[str]) -> None:
        for revision in revisions:
            self.workloads[revision] = replace(
                self.workloads[revision], replicas=0, pod_count=0, ready_replicas=0
            )

    def _bring_up_nodes(self, decision: WorkspacePlan) -> None:
        for spec in decision.claims:
            existing = self.claims.get(spec.name)
            if existing is None or existing.is_deleting:
                self.bought.append(spec.name)
                existing = ClaimFacts(spec.name, instance_type=spec.instance_type)
            self.claims[spec.name] = replace(
                existing, is_ready=True, node_name=spec.name, failure_reason=""
            )
            labels = {
                names.LABEL_INSTANCE_TYPE: spec.instance_type,
                names.LABEL_WORKSPACE_UID: UID,
            }
            self.nodes[spec.name] = node(spec.name, labels=labels)
        for name in decision.existing_nodes:
            capacity = max(1, self.nodes[name].gpu_capacity)
            self.nodes[name] = replace(self.nodes[name], is_ready=True, gpu_capacity=capacity)

    def _run(self, decision: WorkspacePlan) -> None:
        claimed = [self.claims[spec.name].node_name for spec in decision.claims]
        node_names = frozenset([*claimed, *decision.existing_nodes])
        assert len(node_names) == decision.node_count, "a workload runs on all nodes of its plan"
        self.moves.append((decision.revision, node_names))
        self.workloads[decision.revision] = WorkloadFacts(
            names.workload_name("llm", decision.revision),
            decision.revision,
            replicas=decision.replicas,
            pod_count=decision.replicas,
            ready_replicas=decision.replicas,
            is_current=True,
            node_names=node_names,
        )

    def settle(self, of: Workspace, passes: int = 4) -> WorkspacePlan:
        """Plan and carry out until nothing is left to do, or nothing can be done."""
        for _ in range(passes):
            decision = self.plan(of)
            if decision.problem is not None or not decision.steps:
                return decision
            self.carry_out(decision)
        raise AssertionError(f"still not settled: {decision}")
