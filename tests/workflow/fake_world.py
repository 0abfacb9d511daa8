"""A small world with the behaviour of ours: activities under the contracts' names act on it.

It plans from what it sees, like the real planner; effects stay when an activity "dies" after
them. Faults are ordered by the activity's name: fail with one of our errors, hang (a worker that
died), or stop at a gate until the test opens it.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from temporalio import activity
from temporalio.exceptions import ApplicationError

from api import payloads as p
from api.errors import PlatformError, Remedy

UNTIL_SECONDS = 20.0
"""Real seconds that a test waits for something to happen; everything here takes milliseconds."""

BEAT_SECONDS = 0.2


RETRY_DELAY = timedelta(milliseconds=10)
"""The test server does not jump over the time between an activity's attempts."""


class Lost:
    """The effect happened and its report was lost: what a crash looks like from outside."""


class Hang:
    """As `Lost`, but only a timeout finds out, in real time."""


def as_activity_error(error: PlatformError) -> ApplicationError:
    """Say it the way `activities/errors.py` does."""
    return ApplicationError(
        str(error),
        type=error.reason(),
        non_retryable=error.remedy is not Remedy.FAST_RETRY,
        next_retry_delay=RETRY_DELAY,
    )


@dataclass
class FakeWorkspace:
    """The custom resource."""

    uid: str = "uid-1"
    generation: int = 1
    spec: str = "a"
    deleting: bool = False
    finalizer: bool = False
    problem: p.Problem | None = None

    @property
    def revision(self) -> str:
        """A revision a spec."""
        return f"rev-{self.spec}"


@dataclass
class Owned:
    """What one uid owns."""

    claims: set[str] = field(default_factory=set)
    offers: dict[str, p.Offer] = field(default_factory=dict)
    """What each claim asks for, by its name."""
    nodes: set[str] = field(default_factory=set)
    pulled: set[str] = field(default_factory=set)
    workloads: dict[str, bool] = field(default_factory=dict)
    """Ready or not, by revision."""
    stopped: set[str] = field(default_factory=set)
    """Revisions whose workload is kept without pods."""
    records: dict[str, p.RevisionOutcome] = field(default_factory=dict)
    """What became of each recorded revision, oldest first."""
    verified: set[str] = field(default_factory=set)
    service: str = ""
    home: set[str] = field(default_factory=set)
    """Nodes that the workloads run on."""

    def leftovers(self) -> list[str]:
        """Everything that carries the ownership labels."""
        return [
            *(f"NodeClaim/{name}" for name in sorted(self.claims)),
            *(f"StatefulSet/{name}" for name in sorted({*self.workloads, *self.stopped})),
            *(["Service/w"] if self.service else []),
        ]


class FakeWorld:
    """One Workspace's world, with a log of what was done to it."""

    def __init__(self, namespace: str = "default", name: str = "w") -> None:
        self.ref = p.WorkspaceRef(namespace=namespace, name=name)
        self.workspace: FakeWorkspace | None = FakeWorkspace()
        self.owned: dict[str, Owned] = defaultdict(Owned)
        self.claims_wanted = 1
        self.offers = [p.Offer(instance_type="onebox.small")]
        """What nodes may be asked for as, in the order of trying."""
        self.may_fall_back = False
        """What the planner says while nothing is at home."""
        self.refused: dict[str, PlatformError] = {}
        """Why the provider refuses, by instance type or "type/capacity type"."""
        self.ready_before_refusal = 0
        """Nodes of a refused offer that come up all the same."""
        self.asked: list[p.Offer] = []
        """What was asked for, in order."""
        self.lost: set[int] = set()
        """Indices of claims whose nodes are lost."""
        self.look_again_at: datetime | None = None
        """When the planner says that a sick node may be lost."""
        self.recent_claims: dict[str, datetime] | None = None
        """What plans say of claims that count against the budget."""
        self.recent_claims_told: list[dict[str, datetime]] = []
        """What each plan was told of them."""
        self.warnings: list[str] = []
        self.is_model_known = True
        """False: the pods are the user's own, and nobody knows what to ask them."""
        self.mode = p.RolloutMode.IN_PLACE
        """How the Workspace wants its edits carried out."""
        self.auto_rollback = True
        self.requires_approval = False
        self.frees_failed = False
        self.lets_go = False
        """The finalizer may go though something is left."""
        self.broken: dict[tuple[str, str], PlatformError] = {}
        """Why an activity fails each time for a revision, by (activity, revision)."""
        self.marks: list[p.MarkRevisionInput] = []
        self.retired: list[list[str]] = []
        self.plan_inputs: list[p.PlanInput] = []
        self.calls: list[str] = []
        self.reports: list[p.ReportInput] = []
        self.events: dict[str, p.EventNote] = {}
        self.writes_count = 0
        self.running: Counter[str] = Counter()
        self.most_running: Counter[str] = Counter()
        self.stuck: list[str] = []
        """Leftovers that no deletion removes."""
        self.lagging_plans: deque[FakeWorkspace | None] = deque()
        """Views that the next plans see instead of the truth: a cache that lags."""
        self._faults: dict[str, deque[PlatformError | Lost | Hang]] = defaultdict(deque)
        self._gates: dict[str, asyncio.Event] = {}
        self._changed = asyncio.Condition()

    # --- For tests ----------------------------------------------------------------------------

    def fail(self, name: str, error: PlatformError, times: int = 1) -> None:
        """Let the next attempts of an activity fail before their effect."""
        self._faults[name].extend([error] * times)

    def lose(self, name: str, times: int = 1) -> None:
        """Let the next attempts of an activity do their work and lose the result."""
        self._faults[name].extend([Lost()] * times)

    def hang(self, name: str) -> None:
        """Let the next attempt of an activity do its work and never tell."""
        self._faults[name].append(Hang())

    def close_gate(self, name: str) -> None:
        """Hold an activity before its effect."""
        self._gates[name] = asyncio.Event()

    def open_gate(self, name: str) -> None:
        """Let it go on."""
        self._gates.pop(name).set()

    def edit(self, spec: str) -> None:
        """Change the spec, as a user does."""
        assert self.workspace is not None
        self.workspace.spec = spec
        self.workspace.generation += 1

    def delete(self) -> None:
        """Delete the Workspace, as the API server does."""
        assert self.workspace is not None
        if self.workspace.finalizer:
            self.workspace.deleting = True
            self.workspace.generation += 1
        else:
            self.workspace = None

    async def until(self, what: Callable[[], bool]) -> None:
        """Wait until something is true of this world."""
        async with asyncio.timeout(UNTIL_SECONDS), self._changed:
            await self._changed.wait_for(what)

    async def until_count(self, name: str, count: int) -> None:
        """Wait until an activity has begun at least so often, attempts included."""
        await self.until(lambda: self.count(name) >= count)

    async def until_phase(self, phase: p.LifecyclePhase) -> p.ReportInput:
        """Wait for a report of a phase."""
        await self.until(lambda: bool(self.reports) and self.reports[-1].phase is phase)
        return self.reports[-1]

    def count(self, name: str) -> int:
        """How often an activity began, attempts included."""
        return self.calls.count(name)

    @property
    def mine(self) -> Owned:
        """What the Workspace of now owns."""
        assert self.workspace is not None
        return self.owned[self.workspace.uid]

    def steps(self, claims: list[p.ClaimSpec], revision: str) -> list[p.Step]:
        """Name what is not as it should be."""
        mine = self.mine
        nodes = {f"node-of-{claim.name}" for claim in claims}
        is_serving = mine.workloads.get(revision, False) and mine.home == nodes
        has_traffic = mine.service == revision
        wanted = {
            p.Step.NODES: not nodes <= mine.nodes,
            p.Step.IMAGES: revision not in mine.workloads,
            p.Step.WORKLOAD: not is_serving,
            p.Step.ENDPOINT: self.is_model_known and not (is_serving and has_traffic),
            p.Step.TRAFFIC: not has_traffic,
            p.Step.RETIRE: self.mode is p.RolloutMode.SURGE
            and bool({*mine.workloads} - {revision}),
        }
        return [step for step, is_wanted in wanted.items() if is_wanted]

    def claim_name(self, uid: str, offer: p.Offer, index: int) -> str:
        """Return a claim's name, which is another for each offer."""
        number = self.offers.index(offer) if offer in self.offers else "other"
        return f"claim-{uid}-{index}" if number == 0 else f"claim-{uid}-{index}-{number}"

    def _refusal(self, offer: p.Offer) -> PlatformError | None:
        whole = f"{offer.instance_type}/{offer.capacity_type}"
        return self.refused.get(whole) or self.refused.get(offer.instance_type)

    # --- The frame of every activity --------------------------------------------------------------

    @asynccontextmanager
    async def _act(self, revision: str = "") -> AsyncIterator[None]:
        name = activity.info().activity_type
        await self._log(name)
        self.running[name] += 1
        self.most_running[name] = max(self.most_running[name], self.running[name])
        try:
            await self._pass_gate(name)
            fault = self._faults[name].popleft() if self._faults[name] else None
            fault = fault or self.broken.get((name, revision))
            if isinstance(fault, PlatformError):
                raise as_activity_error(fault)
            yield
            await self._tell()
            if isinstance(fault, Lost):
                raise ApplicationError("lost", type="Lost", next_retry_delay=RETRY_DELAY)
            if isinstance(fault, Hang):
                await asyncio.Event().wait()
        finally:
            self.running[name] -= 1

    async def _log(self, name: str) -> None:
        self.calls.append(name)
        await self._tell()

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _pass_gate(self, name: str) -> None:
        while (gate := self._gates.get(name)) is not None:
            activity.heartbeat("held by the test")
            try:
                async with asyncio.timeout(BEAT_SECONDS):
                    await gate.wait()
            except TimeoutError:
                continue

    def _owner(self, ref: p.WorkspaceRef) -> Owned:
        assert ref.uid, "only plan_workspace may ask by name"
        return self.owned[ref.uid]

    # --- Activities ---------------------------------------------------------------------------

    @activity.defn(name="plan_workspace")
    async def plan_workspace(self, payload: p.PlanInput) -> p.WorkspacePlan:
        async with self._act():
            assert payload.workspace.uid == "", "plans look at whatever has the name now"
            self.recent_claims_told.append(payload.recent_claims)
            seen = self.lagging_plans.popleft() if self.lagging_plans else self.workspace
            self.plan_inputs.append(payload)
            return self._plan(seen, payload)

    def _plan(self, seen: FakeWorkspace | None, payload: p.PlanInput) -> p.WorkspacePlan:
        failed = payload.failed_offers
        if seen is None:
            return p.WorkspacePlan()
        base = p.WorkspacePlan(
            found=True,
            uid=seen.uid,
            generation=seen.generation,
            active_revision=self.owned[seen.uid].service,
        )
        if seen.deleting:
            return base.model_copy(update={"deleting": True, "released": not seen.finalizer})
        if seen.problem is not None:
            return base.model_copy(update={"problem": seen.problem})
        mine = self.owned[seen.uid]
        is_kept = payload.given_up == seen.revision and payload.restore in mine.records
        revision = payload.restore if is_kept else seen.revision
        is_replacing = bool(mine.service) and mine.service != revision
        why = {one.offer.model_dump_json(): one for one in failed}
        left = [one for one in self.offers if one.model_dump_json() not in why]
        home = [one for name, one in mine.offers.items() if f"node-of-{name}" in mine.home]
        offer = (home or left or self.offers)[0]
        claims = [
            p.ClaimSpec(
                name=self.claim_name(seen.uid, offer, index), index=index, **offer.model_dump()
            )
            for index in range(self.claims_wanted + len(self.lost))
            if index not in self.lost
        ]
        lost = {self.claim_name(seen.uid, offer, index) for index in self.lost} & mine.claims
        exhausted = None
        if not home and not left:
            words = [f"{one.offer.instance_type}: {one.message}" for one in failed]
            exhausted = p.Problem(reason="InsufficientCapacity", message="\n".join(words))
        return base.model_copy(
            update={
                "revision": revision,
                "spec_revision": seen.revision,
                "adopted": seen.finalizer and revision in mine.records,
                "stale_revisions": sorted(set(mine.workloads) - {revision}),
                "recorded": [
                    p.RevisionRecord(revision=name, outcome=outcome)
                    for name, outcome in reversed(mine.records.items())
                ],
                "mode": self.mode if is_replacing else p.RolloutMode.NONE,
                "announcement": f"{mine.service} to {revision}" if is_replacing else "",
                "auto_rollback": self.auto_rollback,
                "requires_approval": self.requires_approval and is_replacing and not is_kept,
                "frees_failed": self.frees_failed,
                "problem": exhausted,
                "steps": [] if exhausted else self.steps(claims, revision),
                "warnings": self.warnings,
                "preset": "smollm2",
                "instance_type": offer.instance_type,
                "node_count": self.claims_wanted,
                "claims": claims,
                "surplus_claims": sorted(mine.claims - {claim.name for claim in claims}),
                "lost_claims": sorted(lost),
                "look_again_at": self.look_again_at,
                "recent_claims": self.recent_claims,
                "offer": offer,
                "may_fall_back": self.may_fall_back and not mine.home,
                "candidates": [
                    p.InstanceCandidate(
                        instance_type=one.instance_type,
                        capacity_type=one.capacity_type,
                        problem="" if one in left else why[one.model_dump_json()].message,
                    )
                    for one in self.offers
                ],
                "served_model_name": "smollm2",
                "replicas": self.claims_wanted,
            }
        )

    @activity.defn(name="adopt_workspace")
    async def adopt_workspace(self, payload: p.AdoptInput) -> p.AdoptResult:
        async with self._act():
            found = self.workspace
            if found is None or found.uid != payload.workspace.uid:
                return p.AdoptResult(superseded=True)
            if found.generation != payload.generation:
                return p.AdoptResult(superseded=True)
            self.writes_count += (not found.finalizer) + (payload.revision not in self.mine.records)
            found.finalizer = True
            outcome = self.mine.records.pop(payload.revision, p.RevisionOutcome.UNKNOWN)
            self.mine.records[payload.revision] = outcome
            return p.AdoptResult(revision_number=len(self.mine.records))

    @activity.defn(name="ensure_node_claims")
    async def ensure_node_claims(
        self, payload: p.EnsureNodeClaimsInput
    ) -> p.EnsureNodeClaimsResult:
        async with self._act():
            mine = self._owner(payload.workspace)
            created = {claim.name for claim in payload.claims} - mine.claims
            mine.claims |= created
            self.writes_count += len(created)
            for claim in payload.claims:
                offer = p.Offer(
                    instance_type=claim.instance_type,
                    capacity_type=claim.capacity_type,
                    zone=claim.zone,
                )
                mine.offers[claim.name] = offer
            self.asked.append(offer)
            return p.EnsureNodeClaimsResult(created=sorted(created))

    @activity.defn(name="release_surplus_claims")
    async def release_surplus_claims(self, payload: p.ReleaseClaimsInput) -> p.ReleaseClaimsResult:
        async with self._act():
            mine = self._owner(payload.workspace)
            is_home = {f"node-of-{name}" for name in payload.claim_names} & mine.home
            assert not is_home or mine.service, "what serves is taken away"
            may_go = self.may_fall_back or self.frees_failed
            assert mine.service or may_go, "taken away before traffic is in place"
            released = mine.claims & set(payload.claim_names)
            mine.claims -= released
            mine.nodes -= {f"node-of-{name}" for name in released}
            return p.ReleaseClaimsResult(released=sorted(released))

    @activity.defn(name="await_nodes")
    async def await_nodes(self, payload: p.AwaitNodesInput) -> p.AwaitNodesResult:
        async with self._act():
            mine = self._owner(payload.workspace)
            assert set(payload.claim_names) <= mine.claims, "waits for what was never asked for"
            offer = mine.offers[payload.claim_names[0]] if payload.claim_names else None
            if offer is not None and (error := self._refusal(offer)) is not None:
                ready = payload.claim_names[: self.ready_before_refusal]
                mine.nodes |= {f"node-of-{name}" for name in ready}
                raise as_activity_error(error)
            nodes = {f"node-of-{name}" for name in payload.claim_names}
            mine.nodes |= nodes
            return p.AwaitNodesResult(node_names=sorted(nodes))

    @activity.defn(name="pull_images")
    async def pull_images(self, payload: p.PullImagesInput) -> p.PullImagesResult:
        async with self._act(payload.revision):
            assert payload.node_names, "images go to nodes"
            self._owner(payload.workspace).pulled.add(payload.revision)
            return p.PullImagesResult(images=["image"])

    @activity.defn(name="ensure_workload")
    async def ensure_workload(self, payload: p.EnsureWorkloadInput) -> p.EnsureWorkloadResult:
        async with self._act(payload.revision):
            mine = self._owner(payload.workspace)
            assert payload.node_names, "workloads go to nodes"
            is_new = payload.revision not in mine.workloads
            mine.workloads.setdefault(payload.revision, False)
            mine.stopped.discard(payload.revision)
            mine.home = set(payload.node_names)
            self.writes_count += is_new
            return p.EnsureWorkloadResult(
                workload_name=f"w-{payload.revision}", created=is_new, replicas=1
            )

    @activity.defn(name="await_workload")
    async def await_workload(self, payload: p.AwaitWorkloadInput) -> p.AwaitWorkloadResult:
        async with self._act(payload.revision):
            mine = self._owner(payload.workspace)
            if payload.revision in mine.workloads:
                mine.workloads[payload.revision] = True
            return p.AwaitWorkloadResult(pod_names=[f"w-{payload.revision}-0"])

    @activity.defn(name="verify_endpoint")
    async def verify_endpoint(self, payload: p.VerifyEndpointInput) -> p.VerifyEndpointResult:
        async with self._act(payload.revision):
            self._owner(payload.workspace).verified.add(payload.revision)
            return p.VerifyEndpointResult(model=payload.served_model_name, answer="42")

    @activity.defn(name="ensure_traffic")
    async def ensure_traffic(self, payload: p.RevisionInput) -> p.EnsureTrafficResult:
        async with self._act(payload.revision):
            mine = self._owner(payload.workspace)
            is_verified = payload.revision in mine.verified or not self.is_model_known
            assert is_verified, "no traffic to what nobody verified"
            self.writes_count += mine.service != payload.revision
            mine.service = payload.revision
            return p.EnsureTrafficResult(service_name="w", moved=True)

    @activity.defn(name="retire_workloads")
    async def retire_workloads(self, payload: p.RetireWorkloadsInput) -> p.RetireWorkloadsResult:
        async with self._act():
            mine = self._owner(payload.workspace)
            for revision in payload.revisions:
                is_needed = self.mode is p.RolloutMode.SURGE and revision == mine.service
                assert not is_needed, "what serves was stopped"
                if mine.workloads.pop(revision, None) is not None:
                    mine.stopped.add(revision)
            if self.frees_failed and not mine.workloads:
                mine.home.clear()
            self.retired.append(payload.revisions)
            return p.RetireWorkloadsResult(retired=payload.revisions)

    @activity.defn(name="mark_revision")
    async def mark_revision(self, payload: p.MarkRevisionInput) -> p.MarkRevisionResult:
        async with self._act(payload.revision):
            mine = self._owner(payload.workspace)
            self.marks.append(payload)
            if payload.revision in mine.records:
                self.writes_count += mine.records[payload.revision] != payload.outcome
                mine.records[payload.revision] = payload.outcome
            return p.MarkRevisionResult()

    @activity.defn(name="restore_spec")
    async def restore_spec(self, payload: p.RestoreSpecInput) -> p.RestoreSpecResult:
        async with self._act(payload.revision):
            found = self.workspace
            assert found is not None
            if found.revision == payload.revision:
                return p.RestoreSpecResult(generation=found.generation)
            if found.generation != payload.generation:
                return p.RestoreSpecResult(superseded=True)
            self.edit(payload.revision.removeprefix("rev-"))
            return p.RestoreSpecResult(generation=found.generation, changed=True)

    @activity.defn(name="report_status")
    async def report_status(self, payload: p.ReportInput) -> p.ReportResult:
        async with self._act():
            found = self.workspace
            if found is None or found.uid != payload.workspace.uid:
                return p.ReportResult(written=False)
            news = [event for event in payload.events if event.key not in self.events]
            self.events |= {event.key: event for event in news}
            is_new = not self.reports or _without_events(self.reports[-1]) != _without_events(
                payload
            )
            self.writes_count += is_new + len(news)
            self.reports.append(payload)
            return p.ReportResult(written=is_new)

    @activity.defn(name="delete_workloads")
    async def delete_workloads(self, payload: p.TeardownInput) -> p.TeardownResult:
        async with self._act():
            mine = self._owner(payload.workspace)
            removed = sorted({*mine.workloads, *mine.stopped})
            mine.workloads.clear()
            mine.stopped.clear()
            mine.home.clear()
            mine.service = ""
            return p.TeardownResult(removed=removed)

    @activity.defn(name="delete_node_claims")
    async def delete_node_claims(self, payload: p.TeardownInput) -> p.TeardownResult:
        async with self._act():
            mine = self._owner(payload.workspace)
            removed = sorted(mine.claims)
            mine.claims.clear()
            mine.nodes.clear()
            return p.TeardownResult(removed=removed)

    @activity.defn(name="prove_deleted")
    async def prove_deleted(self, payload: p.TeardownInput) -> p.ProofResult:
        async with self._act():
            return p.ProofResult(
                leftovers=[*self._owner(payload.workspace).leftovers(), *self.stuck]
            )

    @activity.defn(name="release_workspace")
    async def release_workspace(self, payload: p.TeardownInput) -> p.TeardownResult:
        async with self._act():
            mine, found = self._owner(payload.workspace), self.workspace
            assert self.lets_go or not mine.leftovers(), "released before everything was gone"
            if found is not None and found.uid == payload.workspace.uid and found.deleting:
                self.workspace = None
            return p.TeardownResult()

    def activities(self) -> list[Callable[..., object]]:
        """Everything to register, on either queue."""
        found = (getattr(self, name) for name in dir(type(self)))
        return [each for each in found if hasattr(each, "__temporal_activity_definition")]


def _without_events(report: p.ReportInput) -> p.ReportInput:
    return report.model_copy(update={"events": []})
