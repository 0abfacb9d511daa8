"""Activity contracts: typed stubs whose docstrings are the promises.

Workflows call these; `activities/` registers implementations under the same names. A test proves
that each contract is implemented exactly once with the same types. Common to all: every activity
may run twice (a worker can die after the effect and before its report), so each says what it is
idempotent by. Errors reach the workflow as `ApplicationError` whose type is a reason of
`api.errors`; `non_retryable` there says that the workflow, not the activity, decides what is next.
"""

from __future__ import annotations

from typing import Final, NoReturn

from temporalio import activity

from api import payloads as p


def _contract_only() -> NoReturn:
    message = "a contract is called through Temporal; the implementation is in activities/"
    raise NotImplementedError(message)


@activity.defn
async def plan_workspace(_: p.PlanInput) -> p.WorkspacePlan:
    """Read the Workspace and its world, judge, and say what must be done.

    Idempotent by: reads only. Retries on: ClusterUnavailable. Gives up on: nothing; a bad spec,
    and a model that can't be had, are results (`problem`), not errors. Heartbeats: no. Typical
    0.05 s, worst 25 s, when the model hub is asked and is slow.
    """
    _contract_only()


@activity.defn
async def adopt_workspace(_: p.AdoptInput) -> p.AdoptResult:
    """Put the finalizer on the Workspace and record the revision, before the first resource.

    A revision that is asked for again keeps its record, which becomes the newest one.
    Idempotent by: finalizer and ControllerRevision `<workspace>-<revision>`. Retries on:
    ClusterUnavailable. Gives up on: HubUnavailable (the model is no longer remembered from
    planning). Heartbeats: no. Typical 0.05 s, worst 25 s.
    """
    _contract_only()


@activity.defn
async def ensure_node_claims(_: p.EnsureNodeClaimsInput) -> p.EnsureNodeClaimsResult:
    """Create the claims that do not exist yet.

    Idempotent by: claim names, derived from (Workspace uid, instance type, index). Retries on:
    ClusterUnavailable. Heartbeats: no. Typical 0.05 s, worst 10 s.
    """
    _contract_only()


@activity.defn
async def await_nodes(_: p.AwaitNodesInput) -> p.AwaitNodesResult:
    """Wait until every claim is Ready and every node is Ready and shows its GPUs.

    Idempotent by: reads only. Gives up on: CapacityUnavailable or ProviderFailed told by a claim,
    DeadlineExceeded. Heartbeats: yes, a sentence such as "1 of 2 nodes ready", on each change and
    every few seconds. Typical seconds (onebox) to 10 min (clouds).
    """
    _contract_only()


@activity.defn
async def pull_images(_: p.PullImagesInput) -> p.PullImagesResult:
    """Bring the revision's images onto the nodes before anything is stopped or started.

    Idempotent by: pods `<workspace>-<revision>-pull-<n>`, removed when done; nodes that list the
    image already are left alone. Gives up on: MissingReference (no such image), AccessDenied (no
    right to pull), DeadlineExceeded. Heartbeats: yes. Typical 0.05 s (present) to 10 min.
    """
    _contract_only()


@activity.defn
async def ensure_workload(_: p.EnsureWorkloadInput) -> p.EnsureWorkloadResult:
    """Create or match the workload of a revision.

    Idempotent by: StatefulSet and ConfigMap `<workspace>-<revision>`. Retries on:
    ClusterUnavailable. Gives up on: InvalidWorkspace when the API server refuses what the spec asks
    for. Heartbeats: no. Typical 0.05 s, worst 10 s.
    """
    _contract_only()


@activity.defn
async def await_workload(_: p.AwaitWorkloadInput) -> p.AwaitWorkloadResult:
    """Wait until every pod of the revision is ready.

    Idempotent by: reads only. Gives up on: RuntimeFailed (crash loop, image that can't be pulled,
    OOM kill), DeadlineExceeded. Heartbeats: yes, where the pods are ("loading weights"). Typical
    1 min, worst the preset's deadline.
    """
    _contract_only()


@activity.defn
async def verify_endpoint(_: p.VerifyEndpointInput) -> p.VerifyEndpointResult:
    """See that the server is healthy, lists the expected model and answers one question.

    Idempotent by: asks only. Gives up on: RuntimeFailed (wrong model, broken answers),
    DeadlineExceeded. Heartbeats: yes. Typical 1 s, worst the deadline.
    """
    _contract_only()


@activity.defn
async def ensure_traffic(_: p.RevisionInput) -> p.EnsureTrafficResult:
    """Let the Service `<workspace>` select this revision; create the Service if there is none.

    Idempotent by: the Service's name, type, ports and selector; traffic moves in one write. Retries
    on: ClusterUnavailable. Heartbeats: no. Typical 0.05 s, worst 10 s.
    """
    _contract_only()


@activity.defn
async def release_surplus_claims(_: p.ReleaseClaimsInput) -> p.ReleaseClaimsResult:
    """Ask for the end of claims that the Workspace does not use any more; wait for none of them.

    Runs when traffic is where it should be, so that nothing is taken from under a workload.
    Idempotent by: claim names, and only claims that carry the Workspace's uid. Retries on:
    ClusterUnavailable. Heartbeats: no. Typical 0.05 s, worst 10 s.
    """
    _contract_only()


@activity.defn
async def retire_workloads(_: p.RetireWorkloadsInput) -> p.RetireWorkloadsResult:
    """Scale workloads of earlier revisions to nothing, and wait until their pods are gone.

    The workloads stay, so that a rollback is a matter of scaling. Pods answer what they were asked
    before they end. Idempotent by: StatefulSet names. Gives up on: DeadlineExceeded. Heartbeats:
    yes. Typical 2 s to 1 min (the pods' grace period).
    """
    _contract_only()


@activity.defn
async def mark_revision(_: p.MarkRevisionInput) -> p.MarkRevisionResult:
    """Record what became of a revision, and remove the oldest ones with their workloads.

    Idempotent by: annotations of the ControllerRevision `<workspace>-<revision>`. A record that is
    gone is no error. Retries on: ClusterUnavailable. Heartbeats: no. Typical 0.05 s, worst 10 s.
    """
    _contract_only()


@activity.defn
async def restore_spec(_: p.RestoreSpecInput) -> p.RestoreSpecResult:
    """Make the Workspace's spec what it was when the revision was recorded, in one write.

    What only chooses nodes (fallbacks, preferred nodes, the way to pay) stays as it is.
    Idempotent by: content. Retries on: ClusterUnavailable. Gives up on: MissingReference (no such
    record), InvalidWorkspace (the API server refuses the old spec). Heartbeats: no. Typical 0.05 s.
    """
    _contract_only()


@activity.defn
async def report_status(_: p.ReportInput) -> p.ReportResult:
    """Write `.status` and Events, if they differ from what is there.

    Idempotent by: content; Events by their key. Retries on: ClusterUnavailable. An object that is
    gone is no error. Heartbeats: no. Typical 0.05 s, worst 10 s.
    """
    _contract_only()


@activity.defn
async def delete_workloads(_: p.TeardownInput) -> p.TeardownResult:
    """Delete everything in the Workspace's namespace that it owns, and wait until it is gone.

    Idempotent by: ownership labels. Gives up on: DeadlineExceeded, naming what stays. Heartbeats:
    yes. Typical 5 s, worst the deadline.
    """
    _contract_only()


@activity.defn
async def delete_node_claims(_: p.TeardownInput) -> p.TeardownResult:
    """Delete the Workspace's claims, and wait until the claims themselves are gone.

    Idempotent by: ownership labels. Gives up on: DeadlineExceeded, naming what stays. Heartbeats:
    yes. Typical 5 s (onebox) to 5 min (clouds).
    """
    _contract_only()


@activity.defn
async def prove_deleted(_: p.TeardownInput) -> p.ProofResult:
    """List everything that still carries the Workspace's ownership labels or tags.

    Reads the API server past every cache, and the provider. Idempotent by: reads only. Heartbeats:
    no. Typical 0.1 s, worst 30 s.
    """
    _contract_only()


@activity.defn
async def release_workspace(_: p.TeardownInput) -> p.TeardownResult:
    """Drop the finalizer: the last act of a teardown.

    Idempotent by: finalizer. Heartbeats: no. Typical 0.05 s, worst 10 s.
    """
    _contract_only()


@activity.defn
async def observe_node_claim(_: p.NodeClaimRef) -> p.NodeClaimFacts:
    """Read a NodeClaim.

    Idempotent by: reads only. Heartbeats: no. Typical 0.02 s, worst 10 s.
    """
    _contract_only()


@activity.defn
async def launch_node(_: p.LaunchInput) -> p.LaunchResult:
    """Ask the provider for the claim's machine.

    Idempotent by: the machine's name is the claim's name. Gives up on: CapacityUnavailable,
    AccessDenied, ProviderFailed. Heartbeats: yes. Typical 0.1 s to 2 min.
    """
    _contract_only()


@activity.defn
async def await_node_initialized(_: p.AwaitInitializedInput) -> p.AwaitInitializedResult:
    """Wait until the machine joined the cluster, is Ready and shows its GPUs.

    While it waits it may write on the claim that Launched or Registered became true.

    Idempotent by: content of what it writes. Gives up on: ProviderFailed (the provider says so),
    DeadlineExceeded. Heartbeats: yes. Typical 10 s (onebox) to 10 min (clouds).
    """
    _contract_only()


@activity.defn
async def report_node_claim(_: p.ReportNodeClaimInput) -> p.ReportResult:
    """Write the NodeClaim's conditions, if they differ.

    Idempotent by: content. Retries on: ClusterUnavailable. Heartbeats: no. Typical 0.02 s.
    """
    _contract_only()


@activity.defn
async def terminate_node(_: p.TerminateInput) -> p.TeardownResult:
    """Give the machine back and wait until the provider says NotFound and the Node is gone.

    Idempotent by: the machine's name. Gives up on: DeadlineExceeded. Heartbeats: yes. Typical 5 s
    (onebox) to 5 min (clouds).
    """
    _contract_only()


@activity.defn
async def release_node_claim(_: p.NodeClaimRef) -> p.TeardownResult:
    """Drop the NodeClaim's finalizer.

    Idempotent by: finalizer. Heartbeats: no. Typical 0.02 s, worst 10 s.
    """
    _contract_only()


# --- Sweep ------------------------------------------------------------------------------------


@activity.defn
async def find_strays(_: p.FindStraysInput) -> p.FindStraysResult:
    """List what has lost what it belongs to, past every cache, and judge it.

    Idempotent by: reads only. Gives up on: nothing; what can't be listed is a blind spot in the
    result, and nothing is concluded from it. Heartbeats: no. Typical 0.2 s, worst 2 min (thousands
    of objects, a slow provider).
    """
    _contract_only()


@activity.defn
async def repair_stray(_: p.RepairStrayInput) -> p.RepairStrayResult:
    """Look at one stray again, past every cache, and repair it if it is still one.

    Deletes on positive evidence only. Idempotent by: workflow ids, the claim's uid, the machine's
    name. Gives up on: nothing; a failure is a result, and the next sweep tries again. Heartbeats:
    no. Typical 0.1 s, worst 30 s.
    """
    _contract_only()


QUICK_CONTRACTS: Final = (
    plan_workspace,
    adopt_workspace,
    ensure_node_claims,
    ensure_workload,
    ensure_traffic,
    release_surplus_claims,
    report_status,
    prove_deleted,
    release_workspace,
    observe_node_claim,
    report_node_claim,
    release_node_claim,
    find_strays,
    repair_stray,
    mark_revision,
    restore_spec,
)
"""Served on `api.names.TASK_QUEUE`."""

WAIT_CONTRACTS: Final = (
    await_nodes,
    pull_images,
    await_workload,
    verify_endpoint,
    retire_workloads,
    delete_workloads,
    delete_node_claims,
    launch_node,
    await_node_initialized,
    terminate_node,
)
"""Served on `api.names.WAIT_TASK_QUEUE`."""
