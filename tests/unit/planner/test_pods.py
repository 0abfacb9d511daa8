"""Pods: how far they are in words, and which troubles are failures at once."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api import names
from planner.pods import diagnose
from planner.world import PodFacts


def pod(name: str = "llm-abc-0", **facts: Any) -> PodFacts:
    return PodFacts(**{"name": name, "node_name": "node-a", "phase": "Running", **facts})


NOT_FOUND = (
    'Back-off pulling image "r:5000/kaito/x:9": ErrImagePull: failed to resolve reference '
    '"r:5000/kaito/x:9": r:5000/kaito/x:9: not found'
)
DENIED = 'Back-off pulling image "r/x:9": ErrImagePull: unexpected status: 401 Unauthorized'
REFUSED = 'Back-off pulling image "r/x:9": dial tcp 10.0.0.1:5000: connect: connection refused'
NO_HOST = 'Back-off pulling image "r/x:9": dial tcp: lookup r: no such host: not found'


def test_ready_pods_are_listed_by_name_and_a_stopping_one_is_none_of_them() -> None:
    verdict = diagnose(
        [
            pod("b", is_ready=True),
            pod("a", is_ready=True),
            pod("c", is_ready=True, is_deleting=True),
        ],
        2,
    )
    assert verdict.ready == ("a", "b")
    assert verdict.failure is None
    assert verdict.sentence == "2 of 2 pods ready; c: stopping"


def test_pods_that_do_not_exist_yet_are_counted() -> None:
    assert diagnose([], 2).sentence == "0 of 2 pods ready; 2 to be created"


def test_many_pods_are_not_all_described() -> None:
    verdict = diagnose([pod(f"llm-{index}") for index in range(9)], 9)
    assert verdict.sentence.endswith("llm-2: loading weights; and 6 more")


@pytest.mark.parametrize(
    ("facts", "sentence"),
    [
        ({"phase": "Pending", "node_name": ""}, "waiting for a node"),
        (
            {"node_name": "", "unschedulable_message": "0/2 nodes are available: 2 cordoned."},
            "waiting for a node: 0/2 nodes are available: 2 cordoned.",
        ),
        ({"phase": "Pending", "waiting_reason": "ContainerCreating"}, "container starting"),
        (
            {
                "phase": "Pending",
                "waiting_reason": "PodInitializing",
                "running_init_container": "weights",
            },
            "downloading weights",
        ),
        ({"running_init_container": "fetch-adapter"}, "running init container fetch-adapter"),
        ({}, "loading weights"),
        (
            {"restart_count": 1, "last_exit": "exit code 1"},
            "loading weights (restarted after exit code 1)",
        ),
        (
            {"waiting_reason": "ErrImagePull", "waiting_message": "connection refused"},
            "image can't be pulled yet: connection refused",
        ),
        ({"waiting_reason": "CreateContainerError"}, "CreateContainerError"),
        (
            {"phase": "Failed", "failure": "Evicted: low on memory"},
            "ended (Evicted: low on memory)",
        ),
        (
            {
                "phase": "Pending",
                "waiting_reason": "ContainerCreating",
                "labels": {names.LABEL_ROLE: names.ROLE_IMAGE_PULL},
            },
            "pulling images",
        ),
    ],
)
def test_a_pod_on_its_way_is_described_and_is_no_failure(
    facts: dict[str, Any], sentence: str
) -> None:
    verdict = diagnose([pod(**facts)], 1)
    assert verdict.sentence == f"0 of 1 pod ready; llm-abc-0: {sentence}"
    assert verdict.failure is None


@pytest.mark.parametrize(
    ("facts", "reason", "words"),
    [
        (
            {"waiting_reason": "ImagePullBackOff", "waiting_message": NOT_FOUND},
            "MissingReference",
            "r:5000/kaito/x:9: not found",
        ),
        (
            {"waiting_reason": "ImagePullBackOff", "waiting_message": DENIED},
            "AccessDenied",
            "check the pull secrets".capitalize(),
        ),
        (
            {"waiting_reason": "InvalidImageName", "waiting_message": "couldn't parse ':::'"},
            "RuntimeFailed",
            ":::",
        ),
        (
            {
                "waiting_reason": "CreateContainerConfigError",
                "waiting_message": 'configmap "my-config" not found',
            },
            "MissingReference",
            "needs ConfigMap my-config, which does not exist",
        ),
        (
            {
                "waiting_reason": "CreateContainerConfigError",
                "waiting_message": "couldn't find key token in Secret default/hub",
            },
            "MissingReference",
            "needs key token of Secret default/hub, which",
        ),
        (
            {
                "waiting_reason": "CreateContainerConfigError",
                "waiting_message": "container has runAsNonRoot and image will run as root",
            },
            "RuntimeFailed",
            "runAsNonRoot",
        ),
        (
            {
                "waiting_reason": "CrashLoopBackOff",
                "restart_count": 1,
                "last_exit": "exit code 3",
                "last_exit_message": "ValueError: no such model",
            },
            "RuntimeFailed",
            (
                "exit code 3 after 1 restart: the program stopped at a ValueError, which it will "
                "meet again; correct what the last words name, most often in inference.config. "
                "Last words: ValueError: no such model"
            ),
        ),
        (
            {"waiting_reason": "CrashLoopBackOff", "restart_count": 1, "last_exit": "exit code 3"},
            "RuntimeFailed",
            "exit code 3 after 1 restart",
        ),
        (
            {"waiting_reason": "ErrImagePull", "waiting_message": NOT_FOUND},
            "MissingReference",
            "Push it or correct the reference",
        ),
        (
            {
                "restart_count": 1,
                "last_exit": "exit code 2",
                "last_exit_message": "inference_api: `vllm.max-modl-len` is no setting of vLLM",
            },
            "RuntimeFailed",
            "Last words: inference_api: `vllm.max-modl-len` is no setting of vLLM",
        ),
        (
            {
                "waiting_reason": "RunContainerError",
                "waiting_message": 'exec: "python3": executable file not found in $PATH: unknown',
            },
            "RuntimeFailed",
            "use an image that is built as this runtime expects",
        ),
        (
            {
                "phase": "Pending",
                "node_name": "",
                "unschedulable_message": "0/2 nodes are available: "
                'persistentvolumeclaim "translations" not found. not found',
            },
            "MissingReference",
            "needs PersistentVolumeClaim translations, which does not exist",
        ),
        (
            {"restart_count": 2, "last_exit": "exit code 3"},
            "RuntimeFailed",
            "exit code 3 after 2 restarts",
        ),
        (
            {"restart_count": 1, "last_exit": "OOMKilled"},
            "RuntimeFailed",
            "choose an instance type with more memory",
        ),
    ],
)
def test_what_cannot_mend_itself_is_a_failure_with_its_cause(
    facts: dict[str, Any], reason: str, words: str
) -> None:
    failure = diagnose([pod(**facts)], 1).failure
    assert failure is not None
    assert failure.reason == reason
    assert words in failure.message
    assert "llm-abc-0" in failure.message


@pytest.mark.parametrize(
    ("sentence", "facts"),
    [
        (
            "a pull secret that was made a moment ago is known to the second attempt",
            {"waiting_reason": "ErrImagePull", "waiting_message": DENIED},
        ),
        (
            "a first attempt that found no registry",
            {"waiting_reason": "ErrImagePull", "waiting_message": REFUSED},
        ),
        (
            "a GPU whose memory an ended process still holds",
            {
                "restart_count": 1,
                "last_exit": "exit code 1",
                "last_exit_message": "ValueError: Free memory on device (3.22/4.0 GiB) on startup "
                "is less than desired GPU memory utilization (0.9, 3.6 GiB).",
            },
        ),
        (
            "a final cause from before the wait",
            {
                "restart_count": 0,
                "last_exit": "exit code 2",
                "last_exit_message": "inference_api: a mistake",
            },
        ),
        (
            "a container that can't be made just now",
            {"waiting_reason": "CreateContainerError", "waiting_message": "name is reserved"},
        ),
        (
            "a registry that restarts comes back",
            {"waiting_reason": "ImagePullBackOff", "waiting_message": REFUSED},
        ),
        (
            "a host without a name is no image without one",
            {"waiting_reason": "ImagePullBackOff", "waiting_message": NO_HOST},
        ),
        ("one crash may be bad luck", {"restart_count": 1, "last_exit": "exit code 1"}),
        ("no room is for the caller to judge", {"unschedulable_message": "0/2 nodes"}),
        (
            "a pod that stops needs no cure",
            {"waiting_reason": "CrashLoopBackOff", "is_deleting": True},
        ),
        ("a pod that serves has a past and no problem", {"is_ready": True, "restart_count": 7}),
    ],
)
def test_what_may_mend_itself_is_no_failure(sentence: str, facts: dict[str, Any]) -> None:
    assert diagnose([pod(**facts)], 1).failure is None, sentence


def test_restarts_from_before_the_wait_are_not_held_against_a_pod() -> None:
    restarted = pod(restart_count=5, last_exit="OOMKilled")
    assert diagnose([restarted], 1).failure is not None
    assert diagnose([restarted], 1, restarts_before={"llm-abc-0": 5}).failure is None
    assert diagnose([restarted], 1, restarts_before={"llm-abc-0": 4}).failure is not None


def test_the_schedulers_words_are_handed_on() -> None:
    verdict = diagnose([pod(unschedulable_message="0/2 nodes are available")], 1)
    assert verdict.unschedulable == "0/2 nodes are available"


_PODS = st.builds(
    PodFacts,
    name=st.sampled_from(["a", "b", "c", ""]),
    is_ready=st.booleans(),
    is_deleting=st.booleans(),
    node_name=st.sampled_from(["", "node-a"]),
    phase=st.sampled_from(["Pending", "Running", "Failed", "odd"]),
    waiting_reason=st.sampled_from(
        ["", "ImagePullBackOff", "CrashLoopBackOff", "CreateContainerConfigError", "odd"]
    ),
    waiting_message=st.text() | st.just(NOT_FOUND),
    restart_count=st.integers(),
    last_exit=st.sampled_from(["", "OOMKilled", "exit code 1"]),
    last_exit_message=st.text(),
    unschedulable_message=st.text(),
)


@given(pods=st.lists(_PODS, max_size=5), want=st.integers(min_value=0, max_value=5))
def test_the_verdict_never_depends_on_the_order_of_pods(pods: list[PodFacts], want: int) -> None:
    unique = list({one.name: one for one in pods}.values())
    verdict = diagnose(unique, want)
    assert diagnose(unique[::-1], want) == verdict
    assert len(verdict.ready) <= len(unique)
    if verdict.failure is not None:
        assert len(verdict.failure.message) <= 1024
