"""The main job on this machine: real Kubernetes, real nodes, real Temporal, a real model.

The tests tell one story in order, because starting the platform anew for each would take minutes.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import MODEL, NAME, ROOT, Onebox

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1600)]

WORKFLOW = f"workspace/default/{NAME}"
EDITED = "edited"
AGENT = "http://127.0.0.1:7070/v1/nodes"


def manifest(name: str, **parts: Any) -> dict[str, Any]:
    return {
        "apiVersion": "kaito.sh/v1beta1",
        "kind": "Workspace",
        "metadata": {"name": name},
        "resource": {
            "instanceType": "onebox.small",
            "labelSelector": {"matchLabels": {"apps": name}},
        },
        "inference": {"preset": {"name": MODEL}},
        **parts,
    }


def post(url: str, body: dict[str, Any]) -> Any:
    request = urllib.request.Request(  # noqa: S310 - our own Service on this machine
        url, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310 - as above
        return json.load(response)


def service_url(onebox: Onebox) -> str:
    return "http://" + onebox.kubectl("get", "svc", NAME, "-o", "jsonpath={.spec.clusterIP}")


def marked_processes() -> dict[int, str]:
    """Processes that belong to the onebox of this tree, with their command lines."""
    found = {}
    run = str(ROOT / ".run")
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            words = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            environment = (folder / "environ").read_bytes().decode(errors="replace")
        except OSError:
            continue
        pid = int(folder.name)
        is_test = pid in (os.getpid(), os.getppid()) or "pytest" in words
        if not is_test and (run in words or run in environment):
            found[pid] = words
    return found


# --- Serving ----------------------------------------------------------------------------------


def test_up_shows_each_step_with_seconds_and_ends_with_an_answer(onebox: Onebox) -> None:
    for step in ("nodes", "images", "workload", "endpoint", "traffic"):
        assert re.search(rf"{step} +done in \d+\.\d s", onebox.first_up), step
    assert re.search(r"answer +\S.*Paris", onebox.first_up)
    for hint in ("export KUBECONFIG=", "kubectl get workspace", "temporal workflow list", "UI:"):
        assert hint in onebox.first_up


def test_kubectl_get_workspace_prints_the_columns_that_upstream_prints(onebox: Onebox) -> None:
    header, row = onebox.kubectl("get", "wk").splitlines()
    assert header.split() == [
        "NAME",
        "INSTANCE",
        "RESOURCEREADY",
        "INFERENCEREADY",
        "JOBSTARTED",
        "WORKSPACESUCCEEDED",
        "TARGETNODECOUNT",
        "STATE",
        "AGE",
    ]
    assert row.split()[:4] == [NAME, "onebox.small", "True", "True"]


def test_the_wide_form_adds_preset_phase_and_revision(onebox: Onebox) -> None:
    header, row = onebox.kubectl("get", "wks", "-o", "wide").splitlines()
    assert {"PRESET", "PHASE", "REVISION"} <= set(header.split())
    revision = onebox.workspace()["status"]["revision"]
    assert {MODEL, "Ready", revision} <= set(row.split())


def test_kubectl_describe_shows_conditions_a_timeline_with_seconds_and_events(
    onebox: Onebox,
) -> None:
    words = onebox.kubectl("describe", "workspace", NAME)
    assert re.search(r"Type: +InferenceReady", words)
    assert re.search(r"Seconds: +\d+", words)
    assert re.search(r"Step: +workload", words)
    assert re.search(r"Normal +Ready .*is ready after \d+ s", words)


def test_the_service_has_both_ports_and_the_openai_routes_answer(onebox: Onebox) -> None:
    assert "80/TCP,29500/TCP" in onebox.kubectl("get", "svc", NAME)
    url = service_url(onebox)
    with urllib.request.urlopen(f"{url}/v1/models", timeout=10) as response:  # noqa: S310
        assert [model["id"] for model in json.load(response)["data"]] == [MODEL]
    completion = post(
        f"{url}/v1/completions", {"model": MODEL, "prompt": "Once upon", "max_tokens": 5}
    )
    assert completion["choices"][0]["text"]
    question = [{"role": "user", "content": "What is the capital of Italy?"}]
    chat = post(
        f"{url}/v1/chat/completions",
        {"model": MODEL, "messages": question, "max_tokens": 20, "temperature": 0},
    )
    assert "Rome" in chat["choices"][0]["message"]["content"]


def test_the_workload_is_named_by_its_revision_and_no_token_is_mounted(onebox: Onebox) -> None:
    revision = onebox.workspace()["status"]["revision"]
    pod = json.loads(onebox.kubectl("get", "pod", f"{NAME}-{revision}-0", "-o", "json"))
    assert pod["spec"]["automountServiceAccountToken"] is False
    assert pod["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
    node = json.loads(onebox.kubectl("get", "node", pod["spec"]["nodeName"], "-o", "json"))
    assert node["spec"]["providerID"] == f"onebox:///{node['metadata']['name']}"


# --- Temporal's view, and orders ----------------------------------------------------------------


def test_temporal_lists_describes_and_answers_about_the_workspace(onebox: Onebox) -> None:
    assert WORKFLOW in onebox.temporal("list", "-q", "KaitoPhase='Ready'")
    described = json.loads(onebox.temporal("describe", "-w", WORKFLOW, "-o", "json"))
    assert described["workflowExecutionInfo"]["status"] == "WORKFLOW_EXECUTION_STATUS_RUNNING"
    history = onebox.temporal("show", "-w", WORKFLOW, "-o", "json")
    for step in ("await_nodes", "pull_images", "await_workload", "verify_endpoint"):
        assert f'"name": "{step}"' in history
    assert '"phase":"Ready"' in onebox.temporal("query", "-w", WORKFLOW, "--type", "status")


def test_pause_resume_and_retry_work_by_the_plain_temporal_command(onebox: Onebox) -> None:
    def phase() -> str:
        return str(onebox.workspace()["status"]["phase"])

    onebox.temporal("signal", "-w", WORKFLOW, "--name", "pause", "-i", '{"reason":"audit"}')
    onebox.until(lambda: phase() == "Paused", "phase Paused", 30)
    onebox.temporal("signal", "-w", WORKFLOW, "--name", "resume")
    onebox.until(lambda: phase() == "Ready", "phase Ready after resume", 30)
    onebox.temporal("signal", "-w", WORKFLOW, "--name", "retry")
    onebox.until(
        lambda: "nothing has failed" in onebox.kubectl("get", "events"), "the refusal's Event", 30
    )


# --- Again, and after crashes --------------------------------------------------------------------


def test_a_second_up_is_quick_and_changes_nothing_that_is_well(onebox: Onebox) -> None:
    def world() -> str:
        return onebox.kubectl(
            "get",
            "workspaces,statefulsets,pods,services,nodeclaims",
            "-o",
            "jsonpath={range .items[*]}{.kind}/{.metadata.name} {.metadata.resourceVersion} {end}",
        )

    before, processes = world(), set(marked_processes())
    started = time.monotonic()
    onebox.onebox("up")
    assert time.monotonic() - started < 60
    assert world() == before
    assert set(marked_processes()) >= processes


def test_up_brings_back_what_was_killed_and_the_model_goes_on_answering(onebox: Onebox) -> None:
    worker = next(pid for pid, words in marked_processes().items() if "-m worker" in words)
    server = next(pid for pid, words in marked_processes().items() if "server start-dev" in words)
    for pid in (worker, server):
        os.kill(pid, signal.SIGKILL)
    onebox.onebox("up")
    assert "Paris" in onebox.onebox("ask", "What is the capital of France?")
    assert WORKFLOW in onebox.temporal("list", "-q", "KaitoPhase='Ready'")


# --- Edits ------------------------------------------------------------------------------------


def test_a_load_balancer_comes_and_goes_by_annotation_without_a_restart(onebox: Onebox) -> None:
    before = onebox.workspace()["status"]["activeRevision"]
    for change, wanted in (("kaito.sh/enablelb=True", "LoadBalancer"), ("kaito.sh/enablelb-", "")):
        onebox.kubectl("annotate", "workspace", NAME, change)
        onebox.until(
            lambda wanted=wanted or "ClusterIP": (
                onebox.kubectl("get", "svc", NAME, "-o", "jsonpath={.spec.type}") == wanted
            ),
            f"a Service of type {wanted or 'ClusterIP'}",
            30,
        )
    assert onebox.workspace()["status"]["activeRevision"] == before


def test_a_config_map_is_part_of_the_revision_and_its_edit_rolls(onebox: Onebox) -> None:
    def settings(length: int) -> dict[str, Any]:
        text = f"vllm:\n  max-model-len: {length}\n"
        return {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "settings"},
            "data": {"inference_config.yaml": text},
        }

    def served_length() -> int:
        address = onebox.kubectl("get", "svc", EDITED, "-o", "jsonpath={.spec.clusterIP}")
        with urllib.request.urlopen(f"http://{address}/v1/models", timeout=10) as response:
            return int(json.load(response)["data"][0]["max_model_len"])

    onebox.apply(settings(1024))
    # No instance type: the platform's default is taken.
    body = manifest(EDITED, inference={"preset": {"name": MODEL}, "config": "settings"})
    del body["resource"]["instanceType"]
    onebox.apply(body)
    onebox.until_ready(name=EDITED)
    assert onebox.workspace(EDITED)["status"]["instanceType"] == "onebox.small"
    assert served_length() == 1024
    first = onebox.workspace(EDITED)["status"]["activeRevision"]
    # The pods keep what they were started with, in a ConfigMap of the revision's own.
    onebox.kubectl("get", "configmap", f"{EDITED}-{first}")
    onebox.apply(settings(512))
    onebox.until(
        lambda: onebox.workspace(EDITED)["status"]["activeRevision"] != first, "the roll", 120
    )
    onebox.until_ready(name=EDITED)
    assert served_length() == 512
    # The revision before is kept with its settings and without pods, to go back to.
    onebox.kubectl("get", "configmap", f"{EDITED}-{first}")
    stopped = onebox.kubectl(
        "get", "statefulset", f"{EDITED}-{first}", "-o", "jsonpath={.spec.replicas}"
    )
    assert stopped == "0"


def test_a_model_of_the_catalogue_can_be_edited_into_pods_of_ones_own(onebox: Onebox) -> None:
    before = onebox.workspace(EDITED)["status"]
    image = onebox.kubectl("get", "pods", "-o", "jsonpath={.items[0].spec.containers[0].image}")
    container = {
        "name": "files",
        "image": image,
        "command": ["python3", "-m", "http.server", "5000", "--directory", "/mnt"],
    }
    template = {"spec": {"containers": [container]}}
    edit = {"inference": {"preset": None, "config": None, "template": template}}
    onebox.kubectl("patch", "workspace", EDITED, "--type=merge", "-p", json.dumps(edit))
    onebox.until(
        lambda: onebox.workspace(EDITED)["status"]["activeRevision"] != before["activeRevision"],
        "traffic to the new pods",
    )
    onebox.until_ready(name=EDITED)
    after = onebox.workspace(EDITED)["status"]
    assert after["workerNodes"] == before["workerNodes"]
    assert "inference.template" in onebox.condition("InferenceReady", EDITED)["message"]
    address = onebox.kubectl("get", "svc", EDITED, "-o", "jsonpath={.spec.clusterIP}")
    with urllib.request.urlopen(f"http://{address}/", timeout=10) as response:
        assert b"Directory listing" in response.read()
    uid = onebox.workspace(EDITED)["metadata"]["uid"]
    onebox.kubectl("delete", "workspace", EDITED, "--timeout=100s")
    kinds = "statefulsets,services,configmaps,pods,controllerrevisions,nodeclaims,nodes"
    left = onebox.kubectl("get", kinds, "-l", f"kaito.sh/workspace-uid={uid}", "-o", "name")
    assert left.strip() == ""


def test_a_preview_says_what_is_there_and_that_it_would_stay(onebox: Onebox) -> None:
    manifest_file = "examples/inference/workspace-smollm2-135m-instruct.yaml"
    words = onebox.run(
        sys.executable, "-m", "worker", "plan", "-f", manifest_file, "--cluster", "-o", "json"
    )
    (preview,) = json.loads(words)["workspaces"]
    assert preview["effect"]["kind"] == "nothing"


# --- What can't be done is said -------------------------------------------------------------------


def test_more_nodes_than_this_machine_gives_is_a_capacity_error(onebox: Onebox) -> None:
    resource = {**manifest("crowd")["resource"], "count": 3}
    onebox.apply(manifest("crowd", resource=resource))
    onebox.until(
        lambda: onebox.condition("NodeClaimReady", "crowd").get("reason") == "InsufficientCapacity",
        "InsufficientCapacity",
    )
    assert "2" in onebox.condition("NodeClaimReady", "crowd")["message"]
    onebox.kubectl("delete", "workspace", "crowd", "--timeout=100s")
    claims = onebox.kubectl("get", "nodeclaims", "-l", "kaito.sh/workspace=crowd", "-o", "name")
    assert claims.strip() == ""


@pytest.mark.parametrize(
    ("name", "parts", "reason", "words"),
    [
        (
            "configured",
            {"inference": {"preset": {"name": MODEL}, "config": "absent"}},
            "MissingReference",
            "default/absent",
        ),
        (
            "tuner",
            {
                "inference": None,
                "tuning": {
                    "preset": {"name": MODEL},
                    "method": "lora",
                    "input": {"urls": ["http://example.invalid/data"]},
                    "output": {"image": "registry.invalid/out:1", "imagePushSecret": "s"},
                },
            },
            "FeatureNotAvailable",
            "tuning",
        ),
    ],
)
def test_a_workspace_that_waits_for_something_or_can_not_be_carried_out_yet_says_why(
    onebox: Onebox, name: str, parts: dict[str, Any], reason: str, words: str
) -> None:
    body = {key: value for key, value in manifest(name, **parts).items() if value is not None}
    onebox.apply(body)
    onebox.until(
        lambda: onebox.condition("WorkspaceSucceeded", name).get("reason") == reason, reason, 30
    )
    assert words in onebox.condition("WorkspaceSucceeded", name)["message"]
    onebox.kubectl("delete", "workspace", name, "--timeout=60s")


def test_a_spec_that_can_not_be_right_is_refused_at_once(onebox: Onebox) -> None:
    body = manifest("unknown", inference={"preset": {"name": "smolm2"}})
    words = onebox.kubectl("apply", "-f", "-", stdin=json.dumps(body), code=1)
    assert "inference.preset.name" in words
    assert "smollm2-135m-instruct" in words
    onebox.kubectl("get", "workspace", "unknown", code=1)


# --- The end ----------------------------------------------------------------------------------


def test_a_deleted_workspace_leaves_nothing_behind(onebox: Onebox) -> None:
    uid = onebox.workspace()["metadata"]["uid"]
    onebox.kubectl("delete", "workspace", NAME, "--timeout=100s")
    kinds = "statefulsets,services,pods,controllerrevisions,nodeclaims,nodes"
    left = onebox.kubectl("get", kinds, "-l", f"kaito.sh/workspace-uid={uid}", "-o", "name")
    assert left.strip() == ""
    with urllib.request.urlopen(AGENT, timeout=10) as response:
        assert json.load(response)["nodes"] == []
    onebox.until(
        lambda: WORKFLOW not in onebox.temporal("list", "-q", "ExecutionStatus='Running'"),
        "the end of the workflow",
        30,
    )


def test_no_workflow_task_has_failed_in_any_history(onebox: Onebox) -> None:
    assert onebox.failed_workflow_tasks() == []


def test_down_leaves_nothing_after_everything_was_killed(onebox: Onebox) -> None:
    for pid in marked_processes():
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    words = onebox.onebox("down")
    kinds = ("processes", "mounts", "network namespaces", "bridge", "routes", "rules", "cgroups")
    for kind in kinds:
        assert re.search(rf"no [\w ]*{kind}[\w ]* left", words), (kind, words)
    assert marked_processes() == {}
    assert "kaito0" not in onebox.run("ip", "link", "show")


def test_an_occupied_port_is_named_and_nothing_half_started_stays(onebox: Onebox) -> None:
    with socket.create_server(("127.0.0.1", 7233)):
        words = onebox.onebox("up", "--no-workspace", code=2)
    assert "7233" in words
    # A program that a step had started just then may take a moment to end.
    give_up_at = time.monotonic() + 10
    while marked_processes() and time.monotonic() < give_up_at:
        time.sleep(0.2)
    assert marked_processes() == {}
    assert "kaito0" not in onebox.run("ip", "link", "show")
