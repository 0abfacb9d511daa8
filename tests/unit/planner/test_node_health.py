"""Node health: what each provider's words mean, and when a node is lost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.facts import node_facts
from planner.node_health import (
    GPU_FAULT_SECONDS,
    GPUS_MISSING_SECONDS,
    NODE_LOST_SECONDS,
    Healthy,
    Lost,
    Suspect,
    verdict,
)
from planner.world import NodeFacts, NodeFault, NodeSignal, SignalWeight
from tests.unit.planner import objects

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
LONG_AGO = NOW - timedelta(days=1)
NODE = NodeFacts("a", is_ready=True, gpu_capacity=8, gpu_total=8)
SPOT = {"kubernetes.azure.com/scalesetpriority": "spot"}


def judged(**fields: Any) -> Healthy | Suspect | Lost:
    """Judge a node whose conditions have held since long ago."""
    obj = objects.node(**fields)
    for condition in obj["status"]["conditions"]:
        condition["lastTransitionTime"] = LONG_AGO.isoformat()
    return verdict(node_facts(obj), NOW)


def with_condition(condition_type: str, status: str = "True", **fields: Any) -> dict[str, Any]:
    return {"conditions": [objects.condition(condition_type, status, **fields)]}


def with_taint(key: str, **fields: str) -> dict[str, Any]:
    return {"taints": [{"key": key, "effect": "NoSchedule", **fields}]}


def eks(reason: str) -> dict[str, Any]:
    return with_condition("AcceleratedHardwareReady", "False", reason=reason)


# --- What each provider says ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sentence", "fields", "fault"),
    [
        ("the kubelet says no", {"ready": "False"}, NodeFault.UNREACHABLE),
        ("the kubelet is silent", {"ready": "Unknown"}, NodeFault.UNREACHABLE),
        ("AKS: GPUs are missing", with_condition("GPUMissing"), NodeFault.GPU_MISSING),
        ("AKS: NVLink is down", with_condition("NVLinkStatusInactive"), NodeFault.NVLINK),
        ("AKS: Xid errors", with_condition("XIDErrors"), NodeFault.XID),
        ("EKS: an Xid that it knows", eks("NvidiaXID79Error"), NodeFault.XID),
        ("EKS: an Xid without a number", eks("NvidiaXIDError"), NodeFault.XID),
        ("EKS: GPUs are missing", eks("NvidiaDeviceCountMismatch"), NodeFault.GPU_MISSING),
        ("EKS: memory is broken", eks("NvidiaDoubleBitError"), NodeFault.ECC),
        ("EKS: NVLink is broken", eks("NvidiaNVLinkError"), NodeFault.NVLINK),
        ("EKS: the fabric is broken", eks("FabricManagerNotRunning"), NodeFault.NVLINK),
        ("EKS: memory of an Inferentia", eks("NeuronHBMUncorrectableError"), NodeFault.ECC),
        ("EKS: DMA of an Inferentia", eks("NeuronDMAError"), NodeFault.OTHER),
        ("NVSentinel: Xid errors", with_condition("SysLogsXIDError"), NodeFault.XID),
        ("NVSentinel: off the bus", with_condition("SysLogsGPUFallenOff"), NodeFault.GPU_MISSING),
        ("NVSentinel: memory", with_condition("GpuMemWatch"), NodeFault.ECC),
        ("NVSentinel: NVLink", with_condition("GpuNvlinkWatch"), NodeFault.NVLINK),
        ("GCM: Xid errors", with_condition("GcmXidErrorsProblem"), NodeFault.XID),
        ("GCM: a GPU is gone", with_condition("GcmSmiDisconnectedProblem"), NodeFault.GPU_MISSING),
        ("Nebius: any GPU error", with_condition("NebiusGPUError"), NodeFault.OTHER),
    ],
)
def test_a_fault_that_lasts_makes_a_node_lost(
    sentence: str, fields: dict[str, Any], fault: NodeFault
) -> None:
    found = judged(**fields)
    assert isinstance(found, Lost), sentence
    assert found.fault is fault, sentence


@pytest.mark.parametrize(
    ("sentence", "fields"),
    [
        ("AKS: a preemption", with_condition("PreemptionScheduled")),
        ("AKS: a preemption, as older agents call it", with_condition("PreemptScheduled")),
        ("AKS: a termination", with_condition("TerminateScheduled")),
        (
            "AKS: an event that is a preemption by its message",
            with_condition("VMEventScheduled", message="Preempt Scheduled: Sat, 01 Aug 2026"),
        ),
        (
            "AKS: the remediator drains a spot node",
            {"labels": SPOT, **with_taint("remediator.kubernetes.azure.com/unschedulable")},
        ),
        (
            "Azure's cloud provider drains it",
            with_taint("cloudprovider.azure.microsoft.com/draining", value="spot-eviction"),
        ),
        ("EC2: a spot interruption", with_taint("aws-node-termination-handler/spot-itn")),
        (
            "EC2: a scaling group ends it",
            with_taint("aws-node-termination-handler/asg-lifecycle-termination"),
        ),
        ("GKE: a termination", with_taint("cloud.google.com/impending-node-termination")),
        ("Karpenter disrupts it", with_taint("karpenter.sh/disrupted")),
        ("cluster-autoscaler removes it", with_taint("ToBeDeletedByClusterAutoscaler")),
    ],
)
@pytest.mark.parametrize("now", [NOW, None])
def test_a_notice_of_its_end_makes_a_node_lost_at_once(
    sentence: str, fields: dict[str, Any], now: datetime | None
) -> None:
    found = verdict(node_facts(objects.node(**fields)), now)
    assert isinstance(found, Lost), sentence
    assert found.fault is NodeFault.PREEMPTED, sentence


def test_a_spot_node_that_shuts_down_does_not_come_back() -> None:
    obj = objects.node(ready="False", labels={"cloud.google.com/gke-spot": "true"})
    obj["status"]["conditions"][0]["message"] = "node is shutting down"
    assert isinstance(verdict(node_facts(obj), None), Lost)
    del obj["metadata"]["labels"]["cloud.google.com/gke-spot"]
    assert isinstance(verdict(node_facts(obj), None), Suspect), "another one may only restart"


@pytest.mark.parametrize(
    ("sentence", "fields"),
    [
        ("GPUs are throttled", with_condition("GPUClockThrottling")),
        ("InfiniBand flaps", with_condition("IBLinkFlapping")),
        (
            "its device plugin is down, but its GPUs show",
            with_condition("UnhealthyNvidiaDevicePlugin"),
        ),
        ("it moves to other hardware and comes back", with_condition("RedeployScheduled")),
        ("its machine is frozen for seconds", with_condition("VMEventScheduled", reason="Freeze")),
        (
            "EC2 only thinks that it may go",
            with_taint("aws-node-termination-handler/rebalance-recommendation"),
        ),
        ("AKS repairs it", with_taint("remediator.kubernetes.azure.com/unschedulable")),
        ("EKS' agent does not find DCGM", eks("DCGMError")),
        ("EKS' agent has a reason that is new", eks("SomethingNew")),
        ("GCM counts corrected errors, too", with_condition("GcmSmiEccProblem")),
        ("a GPU is hot", with_condition("GpuThermalWatch")),
    ],
)
def test_what_may_pass_makes_a_node_suspect_for_as_long_as_it_lasts(
    sentence: str, fields: dict[str, Any]
) -> None:
    found = judged(**fields)
    assert isinstance(found, Suspect), sentence
    assert found.due_at is None, sentence


@pytest.mark.parametrize(
    ("sentence", "fields"),
    [
        ("nobody says anything", {}),
        ("an agent says that there are no Xid errors", with_condition("XIDErrors", "False")),
        ("an agent does not know", with_condition("XIDErrors", "Unknown")),
        ("EKS' agent says that all is well", with_condition("AcceleratedHardwareReady")),
        ("EKS' agent has not looked", with_condition("AcceleratedHardwareReady", "Unknown")),
        ("an agent that nobody here knows", with_condition("SomethingIsBroken")),
        ("a condition of the node, and not of its GPUs", with_condition("DiskPressure")),
        ("a spot node is no node that ends", {"labels": SPOT}),
        ("nor is its taint", with_taint("kubernetes.azure.com/scalesetpriority", value="spot")),
        ("cluster-autoscaler has a thought", with_taint("DeletionCandidateOfClusterAutoscaler")),
        ("a team keeps it for itself", with_taint("team", value="ml")),
        (
            "AMD's exporter finds a GPU well",
            {"labels": {"metricsexporter.amd.com.gpu.0.state": "healthy"}},
        ),
    ],
)
def test_a_node_is_healthy(sentence: str, fields: dict[str, Any]) -> None:
    assert judged(**fields) == Healthy(), sentence


@pytest.mark.parametrize(
    "fields",
    [
        {"labels": {"metricsexporter.amd.com.gpu.3.state": "unhealthy"}},
        {"labels": {"nvidia.com/gpu.health": "unhealthy"}},
        with_taint("AggregatedNodeHealth", value="False"),
    ],
)
def test_what_carries_no_time_counts_from_when_it_was_seen(fields: dict[str, Any]) -> None:
    node = node_facts(objects.node(**fields))
    assert isinstance(verdict(node, NOW), Suspect)
    (signal,) = node.signals
    seen = replace(node, signals=(replace(signal, since=LONG_AGO),))
    assert isinstance(verdict(seen, NOW), Lost)


# --- Deadlines ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "seconds"),
    [
        (NodeFault.UNREACHABLE, NODE_LOST_SECONDS),
        (NodeFault.XID, GPU_FAULT_SECONDS),
        (NodeFault.GPU_MISSING, GPUS_MISSING_SECONDS),
    ],
)
def test_a_node_is_lost_at_its_deadline_and_not_a_moment_before(
    fault: NodeFault, seconds: float
) -> None:
    due_at = NOW + timedelta(seconds=seconds)
    node = replace(NODE, signals=(NodeSignal(fault, SignalWeight.FAULT, "x", NOW),))
    before = verdict(node, due_at - timedelta(microseconds=1))
    assert isinstance(before, Suspect)
    assert before.due_at == due_at
    assert isinstance(verdict(node, due_at), Lost)


def test_without_a_time_nothing_is_judged_by_time() -> None:
    node = replace(NODE, signals=(NodeSignal(NodeFault.XID, SignalWeight.FAULT, "x", LONG_AGO),))
    assert isinstance(verdict(node, None), Suspect)


def test_times_of_any_zone_and_of_none_can_be_compared() -> None:
    east = LONG_AGO.astimezone(timezone(timedelta(hours=9)))
    naive = NOW.replace(tzinfo=None)
    for since in (east, LONG_AGO.replace(tzinfo=None)):
        node = replace(NODE, signals=(NodeSignal(NodeFault.XID, SignalWeight.FAULT, "x", since),))
        assert isinstance(verdict(node, naive), Lost)


def test_of_several_faults_the_one_that_ends_the_node_first_is_told() -> None:
    signals = (
        NodeSignal(NodeFault.THERMAL, SignalWeight.WARNING, "hot", LONG_AGO),
        NodeSignal(NodeFault.XID, SignalWeight.FAULT, "xid", NOW - timedelta(seconds=10)),
        NodeSignal(NodeFault.ECC, SignalWeight.FAULT, "ecc", NOW - timedelta(seconds=20)),
    )
    found = verdict(replace(NODE, signals=signals), NOW)
    assert isinstance(found, Suspect)
    assert found.fault is NodeFault.ECC


@pytest.mark.parametrize(
    ("sentence", "facts", "expected"),
    [
        ("one of them is broken", {"gpu_capacity": 7}, 0),
        ("its plugin is gone", {"gpu_capacity": 0}, 0),
        (
            "its plugin is gone for good, and it is known what it had",
            {"gpu_capacity": 0, "gpu_total": 0},
            8,
        ),
    ],
)
def test_a_node_that_shows_fewer_gpus_than_it_has_is_lost_after_a_while(
    sentence: str, facts: dict[str, Any], expected: int
) -> None:
    node = replace(NODE, gpus_since=NOW - timedelta(seconds=GPUS_MISSING_SECONDS), **facts)
    found = verdict(node, NOW, expected=expected)
    assert isinstance(found, Lost), sentence
    assert found.fault is NodeFault.GPU_MISSING
    restarting = replace(node, gpus_since=NOW)
    assert isinstance(verdict(restarting, NOW, expected=expected), Suspect), sentence
    assert isinstance(verdict(replace(node, gpus_since=None), NOW, expected=expected), Suspect)


def test_a_node_that_shares_its_gpus_shows_more_of_them_and_is_well() -> None:
    assert verdict(replace(NODE, gpu_capacity=32, gpu_total=32), NOW, expected=8) == Healthy()


def test_gpus_of_a_silent_node_are_not_missed_besides() -> None:
    found = verdict(replace(NODE, is_ready=False, gpu_capacity=0, gpus_since=LONG_AGO), NOW)
    assert found == Suspect(NodeFault.UNREACHABLE, "node a is not ready")


@pytest.mark.parametrize("fact", ["is_out_of_service", "is_deleting"])
def test_what_an_operator_removes_is_lost_at_once(fact: str) -> None:
    found = verdict(replace(NODE, **{fact: True}), None)  # type: ignore[arg-type]
    assert isinstance(found, Lost)
    assert found.fault is NodeFault.REMOVED


def test_a_message_that_changes_all_the_time_does_not_change_what_is_told() -> None:
    told = {
        judged(**with_condition("XIDErrors", message=f"Xid 79 at {second}")) for second in range(3)
    }
    assert len(told) == 1


# --- Total ----------------------------------------------------------------------------------------

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=8), inner, max_size=2)
    ),
    max_leaves=5,
)
_WORDS = st.sampled_from(
    ["Ready", "XIDErrors", "VMEventScheduled", "AcceleratedHardwareReady", "True", "False", "odd"]
)
_TIMES = st.sampled_from(
    ["", "odd", "2026-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00"]
)
_CONDITION = st.fixed_dictionaries(
    {},
    optional={
        "type": _WORDS | _JSON,
        "status": _WORDS | _JSON,
        "reason": _WORDS | _JSON,
        "lastTransitionTime": _TIMES | _JSON,
    },
)
_TAINT = st.fixed_dictionaries(
    {}, optional={"key": st.just("karpenter.sh/disrupted") | _JSON, "timeAdded": _TIMES | _JSON}
)


@given(
    conditions=st.lists(_CONDITION, max_size=3) | _JSON,
    taints=st.lists(_TAINT, max_size=2) | _JSON,
    labels=st.dictionaries(st.text(max_size=4), _JSON, max_size=2) | _JSON,
    now=st.none() | st.datetimes() | st.datetimes(timezones=st.just(UTC)),
    expected=st.integers(-1, 9),
)
def test_every_node_has_a_verdict(
    conditions: Any, taints: Any, labels: Any, now: datetime | None, expected: int
) -> None:
    obj: Mapping[str, Any] = {
        "metadata": {"name": "a", "labels": labels},
        "spec": {"taints": taints},
        "status": {"conditions": conditions},
    }
    found = verdict(node_facts(obj), now, expected=expected)
    assert isinstance(found, Healthy | Suspect | Lost)
    if now is None and isinstance(found, Lost):
        assert found.fault in {NodeFault.REMOVED, NodeFault.PREEMPTED}


@given(
    since=st.datetimes(timezones=st.just(UTC)),
    seconds=st.lists(st.floats(0, 10_000), min_size=2, max_size=2).map(sorted),
    fault=st.sampled_from(NodeFault),
    weight=st.sampled_from(SignalWeight),
)
def test_time_alone_never_makes_a_lost_node_well(
    since: datetime, seconds: list[float], fault: NodeFault, weight: SignalWeight
) -> None:
    node = replace(NODE, signals=(NodeSignal(fault, weight, "x", since),))
    try:
        earlier, later = (since + timedelta(seconds=each) for each in seconds)
    except OverflowError:
        return
    if isinstance(verdict(node, earlier), Lost):
        assert isinstance(verdict(node, later), Lost)
