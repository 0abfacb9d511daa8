"""Pods of the user's own (`inference.template`)."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from api import names
from planner.facts import workload_facts
from planner.render import image_pull_secrets_of, images_of, render_pull_pod, render_workload
from tests import gen
from tests.unit.planner.rendering import REVISION, pod_of

TEMPLATE = {
    "metadata": {
        "labels": {"team": "a", names.LABEL_ROLE: "mine"},
        "annotations": {"prometheus.io/scrape": "true"},
    },
    "spec": {
        "serviceAccountName": "mine",
        "nodeSelector": {"disk": "fast"},
        "tolerations": [{"key": "own", "operator": "Exists"}],
        "imagePullSecrets": [{"name": "mine"}],
        "initContainers": [{"name": "first", "image": "mine.test/first:1"}],
        "containers": [
            {
                "name": "server",
                "image": "mine.test/server:1",
                "securityContext": {"runAsUser": 0},
                "resources": {"limits": {names.GPU_RESOURCE: "2"}},
            },
            {"name": "beside", "image": "mine.test/first:1"},
        ],
    },
}


def custom(template: Any = None, **changes: Any) -> Any:
    template = deepcopy(TEMPLATE) if template is None else template
    return gen.workspace(inference={"preset": None, "template": template}, **changes)


def render(workspace: Any) -> dict[str, Any]:
    return render_workload(workspace, None, REVISION, ["node-1"], gen.settings(), None)


def test_containers_are_the_users_down_to_the_last_field() -> None:
    pod = pod_of(render(custom()))
    for field in ("containers", "initContainers", "serviceAccountName", "nodeSelector"):
        assert pod[field] == TEMPLATE["spec"][field]
    assert "securityContext" not in pod
    assert "automountServiceAccountToken" not in pod


def test_the_spec_of_the_workspace_is_not_written_to() -> None:
    workspace = custom()
    before = workspace.model_dump()
    render(workspace)["spec"]["template"]["spec"]["containers"][0]["image"] = "another"
    assert workspace.model_dump() == before


def test_pods_are_found_like_all_others_and_keep_labels_of_their_own() -> None:
    metadata = render(custom())["spec"]["template"]["metadata"]
    assert metadata["labels"]["team"] == "a"
    assert metadata["labels"][names.LABEL_ROLE] == names.ROLE_INFERENCE
    assert metadata["labels"][names.LABEL_REVISION] == REVISION
    assert metadata["annotations"] == {"prometheus.io/scrape": "true"}


def test_there_are_as_many_pods_as_nodes_one_on_each() -> None:
    stateful_set = render(custom(resource={"count": 3}))
    assert stateful_set["spec"]["replicas"] == 3
    assert "podAntiAffinity" in pod_of(stateful_set)["affinity"]
    assert workload_facts(stateful_set).node_names == {"node-1"}


def test_wishes_about_nodes_give_way_to_the_plans_and_others_are_kept() -> None:
    template = deepcopy(TEMPLATE)
    mine = {"labelSelector": {"matchLabels": {"x": "y"}}, "topologyKey": "zone"}
    required = "requiredDuringSchedulingIgnoredDuringExecution"
    template["spec"]["affinity"] = {
        "nodeAffinity": {required: {"nodeSelectorTerms": [{"matchExpressions": []}]}},
        "podAffinity": {required: [mine]},
        "podAntiAffinity": {required: [mine]},
    }
    stateful_set = render(custom(template, resource={"count": 2}))
    affinity = pod_of(stateful_set)["affinity"]
    assert workload_facts(stateful_set).node_names == {"node-1"}
    assert affinity["podAffinity"] == {required: [mine]}
    assert affinity["podAntiAffinity"][required][0] == mine
    assert len(affinity["podAntiAffinity"][required]) == 2


def test_taints_of_gpu_nodes_are_tolerated_as_well() -> None:
    tolerations = pod_of(render(custom()))["tolerations"]
    assert tolerations[0] == {"key": "own", "operator": "Exists"}
    assert {one["key"] for one in tolerations} >= {"own", "sku", names.GPU_RESOURCE}
    again = deepcopy(TEMPLATE)
    again["spec"]["tolerations"] = tolerations
    assert pod_of(render(custom(again)))["tolerations"] == tolerations


def test_images_are_those_of_all_containers_each_once() -> None:
    assert images_of(custom(), None, gen.settings()) == ["mine.test/first:1", "mine.test/server:1"]


def test_images_are_pulled_with_the_templates_secrets() -> None:
    assert image_pull_secrets_of(custom()) == ["mine"]
    pod = render_pull_pod(custom(), None, REVISION, "node-1", 0, gen.settings())
    assert pod["spec"]["imagePullSecrets"] == [{"name": "mine"}]


@pytest.mark.parametrize(
    "template",
    [
        {},
        {"metadata": None, "spec": None},
        {"metadata": [], "spec": "x"},
        {"metadata": {"labels": [1]}, "spec": {"tolerations": "x", "affinity": 3}},
        {"spec": {"affinity": {"podAntiAffinity": []}, "containers": ["x", {"image": 3}]}},
        {"spec": {"imagePullSecrets": [{"name": 3}, None], "initContainers": {}}},
    ],
)
def test_an_odd_template_is_rendered_for_the_api_server_to_refuse(template: Any) -> None:
    workspace = custom(template, resource={"count": 2})
    assert render(workspace)["spec"]["template"]["metadata"]["labels"]
    assert images_of(workspace, None, gen.settings()) == []
    assert image_pull_secrets_of(workspace) == []
