"""Facts: what is read from each kind of object, and that odd objects never raise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api import names
from api.payloads import RevisionOutcome, RevisionRecord
from planner import facts
from planner.fields import device_count
from planner.times import time_from
from planner.world import NodeFacts, NodeFault, NodeSignal, ServiceFacts, SignalWeight
from tests.unit.planner import objects

GPU_TAINT = {"key": "sku", "value": "gpu", "effect": "NoSchedule"}


def test_a_healthy_node_is_ready_schedulable_and_shows_its_gpus() -> None:
    images = [{"names": ["registry/a:1", "registry/a@sha256:1"]}, {"names": ["registry/b:1"]}]
    assert facts.node_facts(objects.node(gpus="2", images=images, taints=[GPU_TAINT])) == NodeFacts(
        name="node-a",
        labels={names.LABEL_INSTANCE_TYPE: "onebox.small"},
        is_ready=True,
        is_schedulable=True,
        provider_id="onebox:///node-a",
        gpu_capacity=2,
        image_names=frozenset({"registry/a:1", "registry/a@sha256:1", "registry/b:1"}),
    )


@pytest.mark.parametrize(
    ("sentence", "fields", "fact", "expected"),
    [
        ("a node that says False is not ready", {"ready": "False"}, "is_ready", False),
        ("a node that went silent is not ready", {"ready": "Unknown"}, "is_ready", False),
        ("a cordoned node takes no pods", {"unschedulable": True}, "is_schedulable", False),
        ("a node that is deleted takes no pods", {"deleting": True}, "is_schedulable", False),
        (
            "a foreign taint keeps us away",
            {"taints": [GPU_TAINT, {"key": "team", "value": "ml", "effect": "NoSchedule"}]},
            "blocking_taint",
            "team=ml:NoSchedule",
        ),
        (
            "the taints of spot nodes and of MIG slices keep nobody of ours away",
            {
                "taints": [
                    {
                        "key": "kubernetes.azure.com/scalesetpriority",
                        "value": "spot",
                        "effect": "NoSchedule",
                    },
                    {"key": "nvidia.com/mig-1g.10gb", "effect": "NoSchedule"},
                ]
            },
            "blocking_taint",
            "",
        ),
        (
            "a taint without a value is named without one",
            {"taints": [{"key": "maintenance", "effect": "NoExecute"}]},
            "blocking_taint",
            "maintenance:NoExecute",
        ),
        (
            "a preference does not keep us away",
            {"taints": [{"key": "team", "value": "ml", "effect": "PreferNoSchedule"}]},
            "blocking_taint",
            "",
        ),
        (
            "the mirror of not being ready is no taint of its own",
            {"taints": [{"key": "node.kubernetes.io/not-ready", "effect": "NoExecute"}]},
            "blocking_taint",
            "",
        ),
        (
            "an operator can declare a node lost",
            {"taints": [{"key": "node.kubernetes.io/out-of-service", "effect": "NoExecute"}]},
            "is_out_of_service",
            True,
        ),
    ],
)
def test_node_facts(sentence: str, fields: dict[str, Any], fact: str, expected: object) -> None:
    assert getattr(facts.node_facts(objects.node(**fields)), fact) == expected, sentence


def test_a_node_tells_its_broken_gpus_who_it_is_and_what_is_wrong_with_it() -> None:
    obj = objects.node(gpus="7", deleting=True)
    obj["metadata"]["uid"] = "node-uid"
    obj["status"]["capacity"] = {names.GPU_RESOURCE: "8"}
    obj["status"]["conditions"] += [
        objects.condition("XIDErrors", "True", lastTransitionTime="2026-01-01T00:00:00Z")
    ]
    node = facts.node_facts(obj)
    assert (node.uid, node.gpu_capacity, node.gpu_total, node.is_deleting) == (
        "node-uid",
        7,
        8,
        True,
    )
    assert node.signals == (
        NodeSignal(
            NodeFault.XID,
            SignalWeight.FAULT,
            "condition XIDErrors",
            datetime(2026, 1, 1, tzinfo=UTC),
        ),
    )


@pytest.mark.parametrize(
    ("quantity", "count"),
    [
        ("8", 8),
        (8, 8),
        ("1k", 1000),
        ("", 0),
        ("-1", 0),
        (-1, 0),
        ("500m", 0),
        (True, 0),
        (None, 0),
    ],
)
def test_a_quantity_of_devices_is_a_count_or_nothing(quantity: object, count: int) -> None:
    assert device_count(quantity) == count


def test_a_claim_tells_its_instance_type_node_and_progress() -> None:
    claim = facts.claim_facts(
        objects.node_claim(
            conditions=[objects.condition("Launched", "True", reason="Ready")], node_name="n1"
        )
    )
    assert (claim.instance_type, claim.node_name, claim.is_ready) == ("onebox.small", "n1", False)
    assert claim.sentence == "launched, waiting for its node to join"


def test_a_claim_that_failed_tells_the_reason_of_our_tree_and_the_providers_words() -> None:
    conditions = [
        objects.condition("Registered", "False", reason="Pending", message="not yet"),
        objects.condition("Launched", "False", reason="QuotaExceeded", message="0 of 24 cores"),
    ]
    claim = facts.claim_facts(objects.node_claim(conditions=conditions))
    assert (claim.failure_reason, claim.failure_message) == ("QuotaExceeded", "0 of 24 cores")
    assert claim.sentence == "0 of 24 cores"


def test_what_karpenter_says_of_its_own_claims_is_a_failure_of_our_tree() -> None:
    refused = objects.condition(
        "Launched",
        "Unknown",
        reason="LaunchFailed",
        message="all requested instance types were unavailable during launch",
    )
    of_karpenter = objects.node_claim(conditions=[refused], group="karpenter.azure.com")
    assert facts.claim_facts(of_karpenter).failure_reason == "InsufficientCapacity"
    assert facts.claim_facts(objects.node_claim(conditions=[refused])).failure_reason == ""


def test_a_claim_tells_since_when_it_is_there_and_whether_it_ever_came_up() -> None:
    obj = objects.node_claim(conditions=[objects.condition("Initialized", "True")])
    obj["metadata"]["creationTimestamp"] = "2026-01-01T01:00:00+01:00"
    claim = facts.claim_facts(obj)
    assert (claim.is_initialized, claim.is_ready) == (True, False)
    assert claim.created_at == datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "yesterday", "0001-01-01T00:00:00+14:00", "2026-13-01"])
def test_a_timestamp_that_is_none_is_no_time(text: str) -> None:
    assert time_from(text) is None


def test_a_claim_that_is_deleted_says_so_even_when_it_is_still_ready() -> None:
    claim = facts.claim_facts(
        objects.node_claim(conditions=[objects.condition("Ready", "True")], deleting=True)
    )
    assert claim.is_deleting
    assert claim.sentence == "being deleted"


def test_a_workload_is_current_once_its_controller_saw_the_newest_spec() -> None:
    assert facts.workload_facts(objects.stateful_set()).is_current
    assert not facts.workload_facts(objects.stateful_set(generation=2, observed=1)).is_current
    assert not facts.workload_facts(objects.stateful_set(replicas=2, updated=1)).is_current


def test_a_workload_names_the_nodes_of_its_required_affinity() -> None:
    workload = facts.workload_facts(objects.stateful_set(node_names=("b", "a")))
    assert workload.node_names == {"a", "b"}
    assert (workload.name, workload.revision) == ("llm-abc", "abc")


def test_a_workload_without_a_number_of_replicas_wants_one_as_kubernetes_says() -> None:
    assert facts.workload_facts(objects.stateful_set(replicas=None)).replicas == 1
    assert facts.workload_facts(objects.stateful_set(replicas=0)).replicas == 0


def test_a_service_tells_whose_it_is_and_which_revision_it_selects() -> None:
    service = {
        "metadata": {"name": "llm", "labels": objects.owner_labels("uid-9")},
        "spec": {"selector": {names.LABEL_REVISION: "abc"}},
    }
    assert facts.service_facts(service) == ServiceFacts("llm", "uid-9", "abc")


def test_a_node_tells_its_mig_slices_by_profile() -> None:
    obj = objects.node(gpus="0")
    obj["status"]["allocatable"] |= {"nvidia.com/mig-1g.10gb": "7", "nvidia.com/other": "1"}
    facts_of_node = facts.node_facts(obj)
    assert facts_of_node.mig_capacity == {"nvidia.com/mig-1g.10gb": 7}
    assert facts_of_node.capacity_of("nvidia.com/mig-1g.10gb") == 7
    assert facts_of_node.capacity_of("nvidia.com/mig-7g.80gb") == 0
    assert facts_of_node.capacity_of(names.GPU_RESOURCE) == 0


# --- GPUs in use ----------------------------------------------------------------------------------


def test_gpus_in_use_are_those_of_other_peoples_living_pods() -> None:
    pods = [
        objects.pod("foreign", labels={}, gpus=2),
        objects.pod("other-workspace", labels=objects.owner_labels("uid-2"), gpus="1"),
        objects.pod("own", gpus=4),
        objects.pod("ended", labels={}, phase="Succeeded", gpus=4),
        objects.pod("crashed", labels={}, phase="Failed", gpus=4),
        objects.pod("not-scheduled", labels={}, node_name="", gpus=4),
        objects.pod("without-gpu", labels={}, node_name="node-b", gpus=None),
    ]
    assert facts.gpu_requests_by_node(pods, except_uid="uid-1") == {"node-a": 3}


def test_slices_are_counted_apart_from_whole_gpus() -> None:
    slices = objects.pod("sliced", labels={})
    slices["spec"]["containers"][0]["resources"] = {"limits": {"nvidia.com/mig-1g.10gb": "2"}}
    pods = [slices, objects.pod("whole", labels={}, gpus=1)]
    assert facts.gpu_requests_by_node(pods) == {"node-a": 1}
    assert facts.gpu_requests_by_node(pods, device="nvidia.com/mig-1g.10gb") == {"node-a": 2}


def test_without_an_own_uid_everybody_counts() -> None:
    assert facts.gpu_requests_by_node([objects.pod(gpus=1)]) == {"node-a": 1}


def test_a_workload_of_another_workspace_holds_its_node_before_its_pod_exists() -> None:
    workloads = [objects.stateful_set(uid="uid-2", gpus=2), objects.stateful_set(uid="uid-1")]
    held = facts.gpu_requests_by_node([], except_uid="uid-1", workloads=workloads)
    assert held == {"node-a": 2}


def test_a_workload_and_its_pod_count_once() -> None:
    labels = objects.owner_labels("uid-2", **{names.LABEL_REVISION: "abc"})
    held = facts.gpu_requests_by_node(
        [objects.pod(labels=labels, gpus=2)],
        except_uid="uid-1",
        workloads=[objects.stateful_set(uid="uid-2", gpus=2)],
    )
    assert held == {"node-a": 2}


def test_a_workload_that_is_scaled_to_nothing_or_deleted_holds_nothing() -> None:
    workloads = [
        objects.stateful_set(uid="uid-2", replicas=0),
        objects.stateful_set(uid="uid-3", deleting=True),
    ]
    assert facts.gpu_requests_by_node([], except_uid="uid-1", workloads=workloads) == {}


@pytest.mark.parametrize(
    ("sentence", "init_containers", "expected"),
    [
        ("a small init container hides in the large one", [objects.gpu_container(1)], 2),
        ("a large init container runs alone", [objects.gpu_container(3)], 3),
        (
            "a sidecar runs beside the container",
            [objects.gpu_container(3, restartPolicy="Always")],
            5,
        ),
    ],
)
def test_a_pods_gpus_are_what_the_scheduler_sets_aside(
    sentence: str, init_containers: list[dict[str, Any]], expected: int
) -> None:
    pod = objects.pod(gpus=2, init_containers=init_containers)
    assert facts.pod_facts(pod).gpu_request == expected, sentence


# --- Pods -----------------------------------------------------------------------------------------


def test_a_serving_pod_is_ready_and_has_an_address() -> None:
    pod = facts.pod_facts(objects.pod(ready="True"))
    assert (pod.is_ready, pod.ip, pod.node_name) == (True, "10.244.1.7", "node-a")


def test_a_pod_that_ended_is_not_ready_whatever_its_condition_says() -> None:
    assert not facts.pod_facts(objects.pod(ready="True", phase="Failed")).is_ready


def test_the_telling_reason_to_wait_wins_over_the_ordinary_one() -> None:
    pod = objects.pod(
        init_statuses=[objects.waiting("PodInitializing")],
        statuses=[objects.waiting("CreateContainerConfigError", 'secret "s" not found')],
    )
    assert facts.pod_facts(pod).waiting_reason == "CreateContainerConfigError"


def test_the_init_container_that_runs_is_named_and_a_sidecar_is_not() -> None:
    pod = objects.pod(
        init_containers=[{"name": "proxy", "restartPolicy": "Always"}, {"name": "weights"}],
        init_statuses=[
            {"name": "proxy", "state": {"running": {"startedAt": "x"}}},
            {"name": "weights", "state": {"running": {"startedAt": "x"}}},
        ],
    )
    assert facts.pod_facts(pod).running_init_container == "weights"


@pytest.mark.parametrize(
    ("sentence", "status", "last_exit"),
    [
        (
            "an OOM kill is called so",
            {"lastState": objects.terminated(137, "OOMKilled")},
            "OOMKilled",
        ),
        ("a failure has its code", {"state": objects.terminated(3)}, "exit code 3"),
        ("a signal is named", {"lastState": {"terminated": {"signal": 11}}}, "signal 11"),
        ("success is no exit worth telling", {"state": objects.terminated(0, "Completed")}, ""),
    ],
)
def test_how_a_container_ended(sentence: str, status: dict[str, Any], last_exit: str) -> None:
    pod = facts.pod_facts(objects.pod(statuses=[{"name": "llm", "restartCount": 1, **status}]))
    assert pod.last_exit == last_exit, sentence
    assert pod.restart_count == 1


def test_last_words_are_kept_whole_as_the_cause_may_be_in_their_middle() -> None:
    words = "starting\n" + "x" * 1000 + "\nCUDA error: out of memory"
    ended = {"name": "llm", "state": objects.terminated(1, message=words)}
    message = facts.pod_facts(objects.pod(statuses=[ended])).last_exit_message
    assert message == words


def test_an_init_container_that_came_through_at_last_is_no_failure_any_more() -> None:
    recovered = {
        "name": "weights",
        "restartCount": 2,
        "state": objects.terminated(0, "Completed"),
        "lastState": objects.terminated(6, message="pull_oci: the registry is away"),
    }
    server = {"name": "llm", "restartCount": 0, "state": {"running": {}}}
    pod = facts.pod_facts(objects.pod(init_statuses=[recovered], statuses=[server]))
    assert (pod.restart_count, pod.last_exit, pod.last_exit_message) == (0, "", "")


def test_the_schedulers_words_are_kept() -> None:
    unschedulable = objects.condition("PodScheduled", "False", message="0/2 nodes are available")
    pod = facts.pod_facts(objects.pod(node_name="", conditions=[unschedulable]))
    assert pod.unschedulable_message == "0/2 nodes are available"


def test_an_evicted_pod_says_why() -> None:
    pod = objects.pod(phase="Failed", reason="Evicted", message="The node was low on memory.")
    assert facts.pod_facts(pod).failure == "Evicted: The node was low on memory."


# --- Odd objects ----------------------------------------------------------------------------------

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
_WHOLE_OBJECTS = [
    objects.node(taints=[GPU_TAINT], images=[{"names": ["a"]}]),
    objects.pod(
        statuses=[{"name": "llm", "restartCount": 1, "lastState": objects.terminated(1)}],
        init_statuses=[objects.waiting("ImagePullBackOff", "no")],
    ),
    objects.stateful_set(),
    objects.node_claim(conditions=[objects.condition("Ready", "True")]),
    {"metadata": {"name": "s", "labels": {}}, "spec": {"selector": {"a": "b"}}},
]
_READERS: list[Callable[[Mapping[str, Any]], object]] = [
    facts.node_facts,
    facts.claim_facts,
    facts.workload_facts,
    facts.service_facts,
    facts.pod_facts,
    facts.gpu_request,
    lambda obj: facts.gpu_requests_by_node([obj], "uid", [obj]),
]


def _paths(value: object, path: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
    found = [path]
    if isinstance(value, dict):
        for key, inner in value.items():
            found += _paths(inner, (*path, key))
    if isinstance(value, list):
        for index, inner in enumerate(value):
            found += _paths(inner, (*path, index))
    return found


def _replaced(value: Any, path: tuple[Any, ...], new: object) -> Any:
    if not path:
        return new
    copied = dict(value) if isinstance(value, dict) else list(value)
    copied[path[0]] = _replaced(value[path[0]], path[1:], new)
    return copied


@given(obj=st.dictionaries(st.sampled_from(["metadata", "spec", "status"]), _JSON))
def test_no_reader_raises_on_arbitrary_json(obj: dict[str, Any]) -> None:
    for read in _READERS:
        read(obj)


@given(data=st.data(), whole=st.sampled_from(_WHOLE_OBJECTS), odd=_JSON)
def test_no_reader_raises_when_any_part_of_an_object_is_odd(
    data: st.DataObject, whole: dict[str, Any], odd: object
) -> None:
    path = data.draw(st.sampled_from(_paths(whole)[1:]))
    broken = _replaced(whole, path, odd)
    for read in _READERS:
        read(broken)


# --- Revisions ------------------------------------------------------------------------------------


def _record(revision: str, number: int, outcome: str = "") -> dict[str, Any]:
    labels = {names.LABEL_REVISION: revision}
    marks = {names.ANNOTATION_OUTCOME: outcome} if outcome else {}
    meta = objects.metadata(f"llm-{revision}", labels=labels, annotations=marks)
    return {"metadata": meta, "revision": number}


def test_records_come_newest_first_with_what_became_of_them() -> None:
    found = facts.revision_records(
        [_record("a", 1, "Good"), _record("c", 3), _record("b", 2, "GivenUp"), _record("d", 0, "?")]
    )
    assert found == (
        RevisionRecord(revision="c", number=3),
        RevisionRecord(revision="b", number=2, outcome=RevisionOutcome.GIVEN_UP),
        RevisionRecord(revision="a", number=1, outcome=RevisionOutcome.GOOD),
        RevisionRecord(revision="d"),
    )


def test_a_workload_is_at_rest_once_its_last_pod_is_gone() -> None:
    obj = objects.stateful_set(replicas=0, ready=0)
    obj["status"]["replicas"] = 1
    assert not facts.workload_facts(obj).is_at_rest
    obj["status"]["replicas"] = 0
    assert facts.workload_facts(obj).is_at_rest
    assert not facts.workload_facts(objects.stateful_set(replicas=1, ready=0)).is_at_rest


def test_what_each_revision_of_a_workspace_holds_is_told_by_node() -> None:
    labels = objects.owner_labels(**{names.LABEL_REVISION: "old"})
    running = objects.pod("llm-old-0", labels=labels)
    ended = objects.pod("llm-old-1", labels=labels, phase="Succeeded")
    workloads = [
        objects.stateful_set("llm-new", revision="new", node_names=("node-b",), gpus=2),
        objects.stateful_set("llm-older", revision="older", replicas=0),
    ]
    held = facts.own_gpu_requests([running, ended], workloads)
    assert held == {"old": {"node-a": 1}, "new": {"node-b": 2}}
