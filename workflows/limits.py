"""Every limit of the workflows: its unit, its reason, its source.

"Measured" points to the numbers in docs/decisions/0003-workflows.md. Whether an error is worth a
retry is never said here: the activity says it (`ApplicationError(non_retryable=…)`), because a list
of class names at the call matches exact names only and forgets subclasses.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from temporalio.common import RetryPolicy
from temporalio.workflow import ActivityCancellationType

from api import names

# --- The entity's own clock -------------------------------------------------------------------

RESYNC_SECONDS: Final = 600.0
"""Seconds between two looks at a Workspace or claim that nobody hinted at. It repairs what the
watcher missed; shorter costs an activity and eleven history events per object and pass."""

RESYNC_JITTER: Final = 0.2
"""Share by which a resync comes early or late, so that a thousand entities spread out."""

LOOK_AGAIN_LEAST_SECONDS: Final = 10.0
"""Least delay before a look at a moment that a plan named. The planner's clock may be behind the
server's: the plan then names a moment that is over, and again until the clocks agree (a guess)."""

SLOW_RETRY_FIRST_SECONDS: Final = 30.0
"""Delay before the first slow retry: a pod that crashes or a full zone rarely heals sooner."""

SLOW_RETRY_GROWTH: Final = 2.0
SLOW_RETRY_CAP_SECONDS: Final = 600.0
"""Longest delay of a slow retry: an operator who raised a quota should not wait much longer, and
one attempt every 10 min is no load on a cloud."""

FAST_RETRY_FIRST_SECONDS: Final = 5.0
"""Delay before a fast retry; the activity's own retries went before it."""

FAST_RETRY_CAP_SECONDS: Final = 60.0
RETRY_JITTER: Final = 0.2
"""Share by which a retry comes early or late: a cloud that failed a hundred Workspaces at once
should not see all of them again in one second."""

STALE_PLAN_ATTEMPTS: Final = 5
"""Plans to ask for, in all, when the plan is older than the hint that woke us: the worker that
plans may read a cache that lags behind the worker that watches."""

CLAIM_RETRY_PAUSE: Final = timedelta(seconds=2)
"""2 s between an order to the claims' workflows and the wait for their nodes: they take back the
failure that their claims still show, which costs them two activities of 0.05 s (a guess)."""

STALE_PLAN_PAUSE: Final = timedelta(seconds=1)
"""Between two of those; Temporal's timers have a grain of about one second (measured)."""

TEARDOWN_SHOWN_AFTER: Final = timedelta(seconds=120)
"""A teardown that takes longer says in `.status` what stays. Pods get 30 s of grace and a cloud
takes minutes, so this is when a person begins to ask."""

TEARDOWN_ATTEMPT_SECONDS: Final = 300
"""Deadline of one `delete_…` wait, in seconds: after it the other kind gets its turn, since a dead
node's pods go only when the node does."""

FORCED_TEARDOWN_SECONDS: Final = 30
"""The same, in seconds, after `force_delete`: as long as pods have to end (their grace period),
since whoever forces a deletion has waited already."""

# --- History and reports ----------------------------------------------------------------------

MAX_HISTORY_EVENTS: Final = 2000
"""Continue-as-new from here. The server suggests it at 4,096 and ends runs at 51,200; a cache
miss replays the whole history (75 ms of CPU at 520 events, measured), so earlier is cheaper."""

REPORT_INTERVAL: Final = timedelta(seconds=20)
"""Least time between two reports of one operation's progress: at most 12 API writes per cold
start, and `kubectl get -w` still moves."""

MAX_OPERATION_RECORDS: Final = 10
"""Lines of `.status.history`: enough to see a pattern, small enough to read."""

CLAIM_LAUNCH_SHOWN_AFTER: Final = timedelta(seconds=5)
"""A launch that took longer is reported by itself, so that a person sees Launched before Ready."""

# --- Deadlines that no plan carries --------------------------------------------------------------

NODE_INITIALIZED_DEADLINE_SECONDS: Final = 1800
"""Seconds for a machine to join: clouds need up to 10 min, drivers another 10; as StepDeadlines."""

TERMINATE_DEADLINE_SECONDS: Final = 600
"""Seconds for a machine to go: clouds take about 5 min; then the problem is shown and we go on."""

# --- Activities ----------------------------------------------------------------------------------

HEARTBEAT: Final = timedelta(seconds=10)
"""Silence after which a wait's worker is believed dead. Waits beat every few seconds; the SDK
sends at most one beat per 2 s (worker setting); a SIGKILL costs this plus 2 s (measured)."""

DEADLINE_MARGIN: Final = timedelta(seconds=60)
"""start_to_close beyond the activity's own deadline, so that the activity, which knows what it
waited for, is the one to say that time is up."""

OUTAGE_ALLOWANCE: Final = timedelta(minutes=10)
"""How long the API server may be away before an activity gives up and the entity retries slowly.
Upgrades of a managed control plane take minutes."""


@dataclass(frozen=True)
class ActivityLimits:
    """Options of one activity; waits add their deadline to the two outer limits."""

    task_queue: str
    start_to_close: timedelta
    """Longest one attempt may take, apart from the deadline that a wait is given."""
    schedule_to_close: timedelta
    """Longest all attempts together may take, likewise."""
    heartbeat: timedelta | None
    retry: RetryPolicy
    cancellation: ActivityCancellationType


# Transient faults only: what should not be retried says so itself. The cap is 5 s so that an
# operation goes on within seconds of the API server's return.
_QUICK_RETRY: Final = RetryPolicy(
    initial_interval=timedelta(milliseconds=500),
    backoff_coefficient=2.0,
    maximum_interval=timedelta(seconds=5),
    maximum_attempts=0,
)
# A wait that failed lost its worker or its API server; both come back in seconds.
_WAIT_RETRY: Final = RetryPolicy(
    initial_interval=timedelta(seconds=1),
    backoff_coefficient=2.0,
    maximum_interval=timedelta(seconds=5),
    maximum_attempts=0,
)

# An activity that only reads may be abandoned at once when its work is superseded.
_LEAVE: Final = ActivityCancellationType.TRY_CANCEL
# One that writes must have ended before the next one starts, or a late write would land in the
# middle of a teardown.
_FINISH_FIRST: Final = ActivityCancellationType.WAIT_CANCELLATION_COMPLETED


def _quick(
    start_to_close: timedelta,
    *,
    cancellation: ActivityCancellationType,
    schedule_to_close: timedelta = OUTAGE_ALLOWANCE,
) -> ActivityLimits:
    """Return the options of an activity that waits for nobody."""
    return ActivityLimits(
        task_queue=names.TASK_QUEUE,
        start_to_close=start_to_close,
        schedule_to_close=schedule_to_close,
        heartbeat=None,
        retry=_QUICK_RETRY,
        cancellation=cancellation,
    )


def _wait(
    *,
    cancellation: ActivityCancellationType,
    start_to_close: timedelta = DEADLINE_MARGIN,
    schedule_to_close: timedelta = OUTAGE_ALLOWANCE,
) -> ActivityLimits:
    """Return the options of an activity that waits, and beats meanwhile."""
    return ActivityLimits(
        task_queue=names.WAIT_TASK_QUEUE,
        start_to_close=start_to_close,
        schedule_to_close=schedule_to_close,
        heartbeat=HEARTBEAT,
        retry=_WAIT_RETRY,
        cancellation=cancellation,
    )


LIMITS: Final[dict[str, ActivityLimits]] = {
    # Reads a handful of objects. 30 s: worst case seen in the contract (10 s) with room.
    "plan_workspace": _quick(timedelta(seconds=30), cancellation=_LEAVE),
    # Two writes. 30 s: another process than the one that planned asks the model hub once more,
    # which takes 25 s at the worst.
    "adopt_workspace": _quick(timedelta(seconds=30), cancellation=_FINISH_FIRST),
    # One write per claim.
    "ensure_node_claims": _quick(timedelta(seconds=30), cancellation=_FINISH_FIRST),
    # Waits on informers; the deadline comes from the plan.
    "await_nodes": _wait(cancellation=_LEAVE),
    # Makes pull pods, so it must clean up before anything else begins.
    "pull_images": _wait(cancellation=_FINISH_FIRST),
    # A StatefulSet and at most one more Service.
    "ensure_workload": _quick(timedelta(seconds=20), cancellation=_FINISH_FIRST),
    "await_workload": _wait(cancellation=_LEAVE),
    "verify_endpoint": _wait(cancellation=_LEAVE),
    # One write of one Service.
    "ensure_traffic": _quick(timedelta(seconds=20), cancellation=_FINISH_FIRST),
    "release_surplus_claims": _quick(timedelta(seconds=20), cancellation=_FINISH_FIRST),
    # Scales down, then waits for pods; the deadline is in its input.
    "retire_workloads": _wait(cancellation=_FINISH_FIRST),
    # Two annotations of one record, and at most a few removals.
    "mark_revision": _quick(timedelta(seconds=30), cancellation=_FINISH_FIRST),
    # One write of one spec, and at most one ConfigMap.
    "restore_spec": _quick(timedelta(seconds=20), cancellation=_FINISH_FIRST),
    # A status patch and a few Events.
    "report_status": _quick(timedelta(seconds=20), cancellation=_FINISH_FIRST),
    "delete_workloads": _wait(cancellation=_FINISH_FIRST),
    "delete_node_claims": _wait(cancellation=_FINISH_FIRST),
    # Lists every kind past all caches, and asks the provider: worst 30 s by contract.
    "prove_deleted": _quick(timedelta(seconds=45), cancellation=_LEAVE),
    "release_workspace": _quick(timedelta(seconds=20), cancellation=_FINISH_FIRST),
    "observe_node_claim": _quick(timedelta(seconds=20), cancellation=_LEAVE),
    # Buys a machine: a delete must not overtake it. 10 min: clouds answer a create within 2.
    "launch_node": _wait(
        start_to_close=timedelta(minutes=10),
        schedule_to_close=timedelta(minutes=20),
        cancellation=_FINISH_FIRST,
    ),
    "await_node_initialized": _wait(cancellation=_LEAVE),
    "report_node_claim": _quick(timedelta(seconds=20), cancellation=_FINISH_FIRST),
    "terminate_node": _wait(cancellation=_FINISH_FIRST),
    "release_node_claim": _quick(timedelta(seconds=20), cancellation=_FINISH_FIRST),
    # --- Sweep: its schedule is the retry of last resort, so an outage ends it early.
    # Lists everything past all caches: worst 2 min by contract.
    "find_strays": _quick(
        timedelta(minutes=2), schedule_to_close=timedelta(minutes=5), cancellation=_LEAVE
    ),
    # At most three requests to the API server and two to the provider.
    "repair_stray": _quick(
        timedelta(seconds=60), schedule_to_close=timedelta(minutes=3), cancellation=_FINISH_FIRST
    ),
}
"""Limits by the contract's name; a test proves that each contract has a row on its own queue."""
