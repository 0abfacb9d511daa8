"""Edits, rollouts and rollback on this machine, with a real model under real load.

The tests tell one story in order. `smollm2` is the real model; `pages` are pods that start in a
moment, for all that is about orders and not about models. Seconds are printed: `pytest -s` shows
them, and docs/rollouts.md quotes them.
"""

from __future__ import annotations

import json
import re
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from itertools import takewhile
from typing import Any, Final

import pytest

from onebox import places
from onebox.images import garbage
from onebox.registry_client import RegistryClient
from tests.e2e.conftest import MODEL, NAME, UP_SECONDS, Onebox
from tests.e2e.load import PROMPT, load_on

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1600)]

PAGES: Final = "pages"
ADAPTER: Final = "demo"
ADAPTER_IMAGE: Final = f"{places.REGISTRY}/kaito/adapter-smollm2-demo:1"
ABSENT_IMAGE: Final = f"{places.REGISTRY}/kaito/nothing:1"
GARBAGE_IMAGE: Final = f"{places.REGISTRY}/{garbage.GARBAGE_IMAGE}"

TOLD_SECONDS: Final = 180
"""15 s are aimed at from when a pod can fail. A quiet machine took 13 to 19 s in place, and 44 s
where a surge brings up a node with its image first (docs/rollouts.md); a busy one three times as
long. The deadline of the step, which this must stay far below, is 30 min."""

SERVES_SECONDS: Final = 240
"""One start of the model server, beside another one that answers and on a busy machine."""

STUCK: Final = "example.com/stuck"
"""A finalizer that nobody takes off."""


# --- What the story is made of --------------------------------------------------------------------


@pytest.fixture(scope="module")
def box() -> Iterator[Onebox]:
    box = Onebox()
    try:
        box.onebox("up", "--no-workspace", "--node-limit", "4", seconds=UP_SECONDS)
        garbage.ensure(RegistryClient(places.REGISTRY_URL), lambda _: None)
        yield box
    finally:
        box.onebox("down", seconds=120, code=None)


def tell(words: str) -> None:
    print(words, file=sys.stderr, flush=True)  # noqa: T201 - for `pytest -s`


def settings(**lines: Any) -> dict[str, Any]:
    text = "".join(f"  {key.replace('_', '-')}: {value}\n" for key, value in lines.items())
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "settings"},
        "data": {"inference_config.yaml": f"vllm:\n{text}"},
    }


def smollm2(*, adapter: bool = False, image: str = "", **rollout: Any) -> dict[str, Any]:
    preset: dict[str, Any] = {"name": MODEL}
    if image:
        preset |= {"accessMode": "private", "presetOptions": {"image": image}}
    inference: dict[str, Any] = {"preset": preset, "config": "settings"}
    if adapter:
        inference["adapters"] = [{"source": {"name": ADAPTER, "image": ADAPTER_IMAGE}}]
    return workspace(NAME, "onebox.small", inference, rollout)


def pages(words: str, *, instance_type: str = "onebox.small", **rollout: Any) -> dict[str, Any]:
    """Return pods that serve `words`, or that end at once where there are none."""
    serve = f"mkdir -p /tmp/www && echo '{words}' > /tmp/www/index.html && cd /tmp/www && "
    fail = "echo 'pages: no words to serve' >&2; exit 3"
    container = {
        "name": "pages",
        "image": GARBAGE_IMAGE,
        "command": ["/bin/sh", "-c", serve + "exec python3 -m http.server 5000" if words else fail],
        # Late enough that a restore takes a moment in which one can edit.
        "readinessProbe": {
            "httpGet": {"path": "/", "port": 5000},
            "initialDelaySeconds": 4,
            "periodSeconds": 1,
        },
    }
    template = {"spec": {"terminationGracePeriodSeconds": 1, "containers": [container]}}
    return workspace(PAGES, instance_type, {"template": template}, rollout)


def workspace(
    name: str, instance_type: str, inference: Mapping[str, Any], rollout: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "apiVersion": "kaito.sh/v1beta1",
        "kind": "Workspace",
        "metadata": {"name": name},
        "resource": {
            "instanceType": instance_type,
            "labelSelector": {"matchLabels": {"apps": name}},
        },
        "inference": dict(inference),
        **({"rollout": dict(rollout)} if rollout else {}),
    }


def status(box: Onebox, name: str = NAME) -> dict[str, Any]:
    found: dict[str, Any] = box.workspace(name).get("status") or {}
    return found


def phase(box: Onebox, name: str = NAME) -> str:
    return str(status(box, name).get("phase"))


def active(box: Onebox, name: str = NAME) -> str:
    return str(status(box, name)["activeRevision"])


def history(box: Onebox, name: str = NAME) -> list[dict[str, Any]]:
    return list(status(box, name).get("history", []))


def outcomes(box: Onebox, revision: str, name: str = NAME) -> list[str]:
    """Return how the operations for a revision ended, oldest first."""
    lines = [line for line in history(box, name) if line["revision"] == revision]
    return [line["outcome"] for line in reversed(lines)]


def events(box: Onebox, reason: str, name: str = NAME) -> list[str]:
    listed = json.loads(
        box.kubectl(
            "get", "events", "--field-selector", f"involvedObject.name={name}", "-o", "json"
        )
    )
    return [one["message"] for one in listed["items"] if one["reason"] == reason]


def records(box: Onebox, name: str = NAME) -> dict[str, dict[str, Any]]:
    """Return the recorded revisions; a StatefulSet's own records lack the second label."""
    chosen = f"kaito.sh/workspace={name},workspace.kaito.io/name={name}"
    listed = json.loads(box.kubectl("get", "controllerrevisions", "-l", chosen, "-o", "json"))
    return {one["metadata"]["labels"]["kaito.sh/revision"]: one for one in listed["items"]}


def outcome_of(record: Mapping[str, Any]) -> str:
    return str(record["metadata"]["annotations"].get("kaito.sh/outcome"))


def order(box: Onebox, kind: str, name: str = NAME, **parts: str) -> None:
    argument = ("-i", json.dumps(parts)) if parts else ()
    box.temporal("signal", "-w", f"workspace/default/{name}", "--name", kind, *argument)


def refusal(box: Onebox, words: str, name: str = NAME) -> None:
    box.until(
        lambda: any(words in message for message in events(box, "OrderRefused", name)),
        f"an Event that says {words!r}",
        30,
    )


def address(box: Onebox, name: str = NAME) -> str:
    return box.kubectl("get", "svc", name, "-o", "jsonpath={.spec.clusterIP}")


def get(box: Onebox, path: str, name: str = NAME) -> str:
    with urllib.request.urlopen(f"http://{address(box, name)}{path}", timeout=60) as response:
        return str(response.read().decode())


def served(box: Onebox) -> dict[str, dict[str, Any]]:
    return {one["id"]: one for one in json.loads(get(box, "/v1/models"))["data"]}


def answer(box: Onebox, model: str) -> str:
    body = {"model": model, "prompt": PROMPT, "max_tokens": 12, "temperature": 0}
    request = urllib.request.Request(
        f"http://{address(box)}/v1/completions",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310 - as above
        return str(json.load(response)["choices"][0]["text"])


def until_rolled(box: Onebox, before: str, name: str = NAME) -> str:
    """Wait until another revision serves and all is done; return it."""
    box.until(
        lambda: phase(box, name) == "Ready" and active(box, name) != before,
        f"another revision of {name} than {before}",
        SERVES_SECONDS,
    )
    return active(box, name)


def undo(box: Onebox, break_it: Callable[[], None], label: str, name: str = NAME) -> dict[str, Any]:
    """Make a broken edit, see it undone, and return the line of history that tells the cause."""
    good, newest = active(box, name), history(box, name)[0]
    began = time.monotonic()
    break_it()

    def told() -> list[dict[str, Any]]:
        # The newest is first; a revision may have failed before, by another strategy.
        lines = takewhile(lambda line: line != newest, history(box, name))
        return [line for line in lines if line["outcome"] == "GivenUp"]

    box.until(lambda: bool(told()), f"{label}: the failure told", TOLD_SECONDS)
    told_seconds = time.monotonic() - began
    box.until(
        lambda: phase(box, name) == "RolledBack", f"{label}: the good revision", SERVES_SECONDS
    )
    tell(
        f"{label}: told after {told_seconds:.1f} s, "
        f"{good} restored after {time.monotonic() - began:.1f} s"
    )
    assert active(box, name) == good
    return told()[0]


def assert_rolled_back(box: Onebox, failed: str, words: str, name: str = NAME) -> None:
    healthy = box.condition("RolloutHealthy", name)
    assert (healthy["status"], healthy["reason"]) == ("False", "RolledBack")
    for part in (failed, words, active(box, name), "Correct the spec", "`retry`"):
        assert part in healthy["message"]
    assert box.condition("InferenceReady", name)["status"] == "True"
    assert box.condition("WorkspaceSucceeded", name)["reason"] == "RolledBack"
    assert any(failed in message for message in events(box, "RolledBack", name))
    assert outcome_of(records(box, name)[failed]) == "GivenUp"
    assert (
        words in records(box, name)[failed]["metadata"]["annotations"]["kaito.sh/outcome-message"]
    )


# --- In place -------------------------------------------------------------------------------------


def test_the_first_revision_is_recorded_with_its_author_and_outcome(box: Onebox) -> None:
    box.apply(settings(max_model_len=2048))
    box.apply(smollm2())
    box.until_ready(name=NAME)
    (record,) = records(box).values()
    notes = record["metadata"]["annotations"]
    assert record["revision"] == 1
    assert outcome_of(record) == "Good"
    assert notes["kaito.sh/author"].startswith("kubectl")
    assert notes["kaito.sh/platform-version"]
    assert notes["kaito.sh/catalogue-version"]
    assert "@sha256:" in notes["kaito.sh/images"]


def test_an_edit_in_place_is_announced_and_the_downtime_is_told(box: Onebox) -> None:
    before = active(box)
    box.apply(settings(max_model_len=1024))
    after = until_rolled(box, before)
    assert served(box)[MODEL]["max_model_len"] == 1024
    (announced,) = [one for one in events(box, "RolloutStarted") if after in one]
    for words in (before, "max-model-len 2048 → 1024", "InPlace", "nobody answers for about"):
        assert words in announced
    downtime = re.fullmatch(r"nobody answered for (\d+\.\d) s", history(box)[0]["message"])
    assert downtime is not None
    assert float(downtime.group(1)) > 1
    (traffic,) = [one for one in status(box)["timeline"] if one["step"] == "traffic"]
    assert traffic["message"] == downtime.group(0)
    tell(f"edit in place: {downtime.group(0)}; whole operation {history(box)[0]['seconds']} s")


def test_an_image_that_does_not_exist_costs_nobody_an_answer(box: Onebox) -> None:
    pod = box.kubectl("get", "pods", "-l", f"kaito.sh/revision={active(box)}", "-o", "name")
    line = undo(box, lambda: box.apply(smollm2(image=ABSENT_IMAGE)), "absent image, in place")
    assert_rolled_back(box, line["revision"], "names an image that does not exist")
    # The spec stays as its author wrote it, and the pod that serves was never stopped.
    assert box.workspace()["inference"]["preset"]["presetOptions"]["image"] == ABSENT_IMAGE
    assert pod == box.kubectl("get", "pods", "-l", f"kaito.sh/revision={active(box)}", "-o", "name")
    assert answer(box, MODEL)


def test_what_failed_is_not_tried_again_before_retry_orders_it(box: Onebox) -> None:
    (failed,) = [name for name, one in records(box).items() if outcome_of(one) == "GivenUp"]
    # A change that wakes the workflow, and is none of the revision.
    box.kubectl("annotate", "workspace", NAME, "example.com/note=1")
    time.sleep(3)
    assert outcomes(box, failed) == ["GivenUp"]
    order(box, "rollback", reason="try", revision=failed)
    refusal(box, f"revision {failed} is what the spec asks for already")
    order(box, "retry", reason="pushed it")
    box.until(lambda: outcomes(box, failed) == ["GivenUp"] * 2, "another attempt", TOLD_SECONDS)
    box.until(lambda: phase(box) == "RolledBack", "RolledBack again", SERVES_SECONDS)


def test_a_setting_that_ends_the_model_server_is_undone_with_its_last_words(box: Onebox) -> None:
    good = active(box)
    box.apply(smollm2())
    box.until(lambda: phase(box) == "Ready", "the corrected spec", 60)
    broken = settings(max_model_len=1024, no_such_setting=1)
    line = undo(box, lambda: box.apply(broken), "setting that ends vLLM, in place")
    assert "`vllm.no-such-setting` is no setting of vLLM" in line["message"]
    assert_rolled_back(box, line["revision"], "correct inference.config")
    assert re.fullmatch(r"nobody answered for \d+\.\d s", history(box)[0]["message"])
    tell(f"setting that ends vLLM, in place: {history(box)[0]['message']}")
    tell(box.kubectl("describe", "workspace", NAME))
    # What failed is kept without pods, for whoever wants to look at it.
    replicas = (
        "get",
        "statefulset",
        f"{NAME}-{line['revision']}",
        "-o",
        "jsonpath={.spec.replicas}",
    )
    assert box.kubectl(*replicas) == "0"
    assert active(box) == good
    assert answer(box, MODEL)
    box.apply(settings(max_model_len=1024))
    box.until(lambda: phase(box) == "Ready", "the corrected settings", 60)
    assert active(box) == good


def test_a_server_that_answers_garbage_gets_no_traffic(box: Onebox) -> None:
    line = undo(box, lambda: box.apply(smollm2(image=GARBAGE_IMAGE)), "garbage, in place")
    assert_rolled_back(box, line["revision"], "<html>I am no model</html>")
    assert answer(box, MODEL)


# --- By surge, under load -------------------------------------------------------------------------


def test_an_adapter_comes_by_surge_without_one_lost_request(box: Onebox) -> None:
    before = active(box)
    with load_on(address(box), MODEL) as load:
        time.sleep(2)
        box.apply(smollm2(adapter=True, strategy="Surge"))
        after = until_rolled(box, before)
        time.sleep(3)
    tell(f"adapter by surge: {load.summary()}; {history(box)[0]['seconds']} s")
    assert load.lost() == []
    assert ADAPTER in served(box)
    assert answer(box, ADAPTER) != answer(box, MODEL)
    (announced,) = [one for one in events(box, "RolloutStarted") if f"Revision {after}" in one]
    assert "no downtime is expected" in announced
    assert history(box)[0]["message"] == ""


def test_broken_edits_by_surge_lose_no_request(box: Onebox) -> None:
    surge = {"strategy": "Surge"}
    with load_on(address(box), MODEL) as load:
        time.sleep(2)
        for label, image in (("absent image", ABSENT_IMAGE), ("garbage", GARBAGE_IMAGE)):
            edit = smollm2(image=image, **surge)
            undo(box, lambda edit=edit: box.apply(edit), f"{label}, by surge")
        box.apply(smollm2(adapter=True, **surge))
        box.until(lambda: phase(box) == "Ready", "the corrected spec", 60)
        broken = settings(max_model_len=1024, no_such_setting=1)
        undo(box, lambda: box.apply(broken), "setting that ends vLLM, by surge")
        box.apply(settings(max_model_len=1024))
        box.until(lambda: phase(box) == "Ready", "the corrected settings", 60)
    tell(f"broken edits by surge: {load.summary()}")
    assert load.lost() == []


# --- Rollback by order ----------------------------------------------------------------------------


def test_rollback_brings_an_earlier_revision_back_and_the_spec_with_it(box: Onebox) -> None:
    now = active(box)
    numbers = {name: one["revision"] for name, one in records(box).items()}
    good = [name for name, one in records(box).items() if outcome_of(one) == "Good"]
    (failed, *_) = [name for name, one in records(box).items() if outcome_of(one) == "GivenUp"]
    first = min(good, key=lambda name: numbers[name])
    order(box, "rollback", revision="0a0a0a0a", reason="try")
    refusal(box, "no revision 0a0a0a0a is recorded")
    order(box, "rollback", revision=failed, reason="try")
    refusal(box, f"revision {failed} failed and was given up")
    # Back to other settings and no adapter, and still by surge: nobody may notice that either.
    with load_on(address(box), MODEL) as load:
        time.sleep(2)
        order(box, "rollback", revision=first, reason="answers are cut off")
        assert until_rolled(box, now) == first
        time.sleep(3)
    tell(f"rollback by order, by surge: {load.summary()}; {history(box)[0]['seconds']} s")
    assert load.lost() == []
    # The ConfigMap of that time holds other settings today, so the spec names one of its own.
    spec = box.workspace()["inference"]
    tell(box.kubectl("get", "workspace", NAME, "-o", "yaml").partition("status:")[0])
    assert spec["config"] != "settings"
    kept = json.loads(box.kubectl("get", "configmap", spec["config"], "-o", "json"))
    assert kept["data"] == settings(max_model_len=2048)["data"]
    assert "adapters" not in spec
    assert served(box).keys() == {MODEL}
    assert served(box)[MODEL]["max_model_len"] == 2048
    (ordered,) = events(box, "RollbackOrdered")
    assert "answers are cut off" in ordered
    assert "answers are cut off" in history(box)[0]["message"]


def test_describe_tells_the_story(box: Onebox) -> None:
    words = box.kubectl("describe", "workspace", NAME)
    tell(words)
    for outcome in ("Succeeded", "GivenUp", "Restored"):
        assert re.search(rf"Outcome: +{outcome}", words)
    for reason in ("RolloutStarted", "RolledBack", "RollbackOrdered", "OrderRefused"):
        assert re.search(rf"(Normal|Warning) +{reason} ", words)


# --- Orders in the middle of a rollout ------------------------------------------------------------


def test_another_kind_of_node_comes_before_the_old_one_goes_by_surge(box: Onebox) -> None:
    box.apply(pages("one"))
    box.until_ready(name=PAGES)
    before, (old_node,) = active(box, PAGES), status(box, PAGES)["workerNodes"]
    box.apply(pages("two", instance_type="onebox.large", strategy="Surge"))
    until_rolled(box, before, PAGES)
    (new_node,) = status(box, PAGES)["workerNodes"]
    assert new_node != old_node
    assert get(box, "/", PAGES) == "two\n"
    assert "nobody answered" not in history(box, PAGES)[0]["message"]
    box.until(
        lambda: old_node not in box.kubectl("get", "nodes", "-o", "name"), "the old node gone", 60
    )


def test_an_edit_waits_for_approval_and_a_rollout_for_resume(box: Onebox) -> None:
    before = active(box, PAGES)
    edit = pages("three", instance_type="onebox.large", requireApproval=True)
    order(box, "approve", PAGES)
    refusal(box, "nothing waits for an approval", PAGES)
    box.apply(edit)
    box.until(lambda: phase(box, PAGES) == "AwaitingApproval", "AwaitingApproval", 30)
    assert get(box, "/", PAGES) == "two\n"
    assert box.condition("InferenceReady", PAGES)["status"] == "True"
    tell(box.kubectl("get", "workspace", PAGES, "-o", "wide"))
    tell(box.condition("RolloutHealthy", PAGES)["message"])
    order(box, "approve", PAGES, revision="0a0a0a0a")
    refusal(box, "not 0a0a0a0a", PAGES)
    order(box, "pause", PAGES, reason="lunch")
    box.until(lambda: phase(box, PAGES) == "Paused", "Paused", 30)
    order(box, "approve", PAGES, reason="looks right")
    order(box, "resume", PAGES)
    box.until(lambda: active(box, PAGES) != before or phase(box, PAGES) == "Deploying", "go", 60)
    until_rolled(box, before, PAGES)
    assert get(box, "/", PAGES) == "three\n"


def test_pause_holds_a_rollout_between_two_steps(box: Onebox) -> None:
    before = active(box, PAGES)
    box.apply(pages("four", instance_type="onebox.large"))
    box.until(lambda: status(box, PAGES).get("revision") != before, "the beginning", 30)
    order(box, "pause", PAGES, reason="lunch")
    box.until(lambda: phase(box, PAGES) == "Paused", "Paused", 60)
    assert "lunch" in box.condition("Progressing", PAGES)["message"]
    done = {one["step"]: one["state"] for one in status(box, PAGES)["timeline"]}
    assert "pending" in done.values()
    order(box, "resume", PAGES)
    until_rolled(box, before, PAGES)
    assert get(box, "/", PAGES) == "four\n"


def test_an_edit_during_a_restore_replaces_it(box: Onebox) -> None:
    before = active(box, PAGES)
    box.apply(pages("", instance_type="onebox.large"))
    box.until(lambda: phase(box, PAGES) == "Restoring", "Restoring", TOLD_SECONDS)
    box.apply(pages("five", instance_type="onebox.large"))
    until_rolled(box, before, PAGES)
    assert get(box, "/", PAGES) == "five\n"
    told = [line["outcome"] for line in history(box, PAGES)[:3]]
    assert told == ["Succeeded", "Superseded", "GivenUp"]
    assert "pages: no words to serve" in history(box, PAGES)[2]["message"]
    assert box.condition("RolloutHealthy", PAGES)["status"] == "True"


def test_revisions_above_the_limit_go_with_their_workloads(box: Onebox) -> None:
    before = active(box, PAGES)
    box.apply(pages("six", instance_type="onebox.large", revisionHistoryLimit=2))
    after = until_rolled(box, before, PAGES)
    box.until(lambda: len(records(box, PAGES)) == 2, "no more than two records", 30)
    assert records(box, PAGES).keys() == {before, after}
    sets = box.kubectl("get", "statefulsets", "-l", f"kaito.sh/workspace={PAGES}", "-o", "name")
    assert set(sets.split()) == {f"statefulset.apps/{PAGES}-{name}" for name in (before, after)}


# --- The end --------------------------------------------------------------------------------------


def test_force_delete_lets_go_and_says_what_stays(box: Onebox) -> None:
    order(box, "force_delete", PAGES, reason="try")
    refusal(box, "delete it first", PAGES)
    (pod,) = box.kubectl(
        "get", "pods", "-l", f"kaito.sh/revision={active(box, PAGES)}", "-o", "name"
    ).split()
    box.kubectl("patch", pod, "-p", json.dumps({"metadata": {"finalizers": [STUCK]}}))
    box.kubectl("delete", "workspace", PAGES, "--wait=false")
    box.until(lambda: phase(box, PAGES) == "Deleting", "Deleting", 30)
    order(box, "force_delete", PAGES)
    refusal(box, "it needs a reason", PAGES)
    began = time.monotonic()
    order(box, "force_delete", PAGES, reason="the storage driver is gone")
    box.kubectl("wait", "workspace", PAGES, "--for=delete", "--timeout=100s")
    tell(f"force_delete: {time.monotonic() - began:.1f} s")
    (told,) = events(box, "ForceDeleted", PAGES)
    tell(told)
    assert "the storage driver is gone" in told
    assert pod.removeprefix("pod/") in told
    memo = box.temporal("describe", "-w", f"workspace/default/{PAGES}", "-o", "json")
    assert "leftovers" in memo
    box.kubectl("patch", pod, "--type=merge", "-p", '{"metadata": {"finalizers": null}}')
    box.kubectl("wait", pod, "--for=delete", "--timeout=60s")


def test_no_workflow_task_has_failed_in_any_history(box: Onebox) -> None:
    assert box.failed_workflow_tasks() == []


def test_a_deleted_workspace_takes_its_revisions_with_it(box: Onebox) -> None:
    uid = box.workspace()["metadata"]["uid"]
    box.kubectl("delete", "workspace", NAME, "--timeout=100s")
    kinds = "statefulsets,services,configmaps,pods,controllerrevisions,nodeclaims,nodes"
    left = box.kubectl("get", kinds, "-l", f"kaito.sh/workspace-uid={uid}", "-o", "name")
    assert left.strip() == ""
