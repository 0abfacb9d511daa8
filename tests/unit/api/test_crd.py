"""The generated CRD: what it must have, and that a stale one is found."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from api import crd

CRD = crd.workspace_crd()
FOLDER = crd.CHART_FOLDER / "templates"

# Every field of upstream's v0.4.5 and v0.12, by path; [] stands for the members of a list.
FIELDS_OF_UPSTREAM = """
inference.adapters.[].source.image
inference.adapters.[].source.imagePullSecrets.[]
inference.adapters.[].source.name
inference.adapters.[].source.urls.[]
inference.adapters.[].source.volumeSource
inference.adapters.[].strength
inference.config
inference.preset.accessMode
inference.preset.name
inference.preset.presetOptions.image
inference.preset.presetOptions.imagePullSecrets.[]
inference.preset.presetOptions.modelAccessSecret
inference.template
resource.count
resource.instanceType
resource.labelSelector.matchExpressions.[].key
resource.labelSelector.matchExpressions.[].operator
resource.labelSelector.matchExpressions.[].values.[]
resource.labelSelector.matchLabels
resource.partition.count
resource.partition.mode
resource.partition.profile
resource.preferredNodes.[]
status.conditions.[].lastTransitionTime
status.conditions.[].message
status.conditions.[].observedGeneration
status.conditions.[].reason
status.conditions.[].status
status.conditions.[].type
status.performance.metrics.{}.config
status.performance.metrics.{}.description
status.performance.metrics.{}.unit
status.performance.metrics.{}.value
status.state
status.targetNodeCount
status.workerNodes.[]
tuning.config
tuning.input.image
tuning.input.imagePullSecrets.[]
tuning.input.name
tuning.input.urls.[]
tuning.input.volumeSource
tuning.method
tuning.output.image
tuning.output.imagePushSecret
tuning.output.volumeSource
tuning.preset.accessMode
tuning.preset.name
tuning.preset.presetOptions.image
tuning.preset.presetOptions.imagePullSecrets.[]
tuning.preset.presetOptions.modelAccessSecret
""".strip().splitlines()


def schema(index: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = CRD["spec"]["versions"][index]["schema"]["openAPIV3Schema"]
    return found


def walk(node: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, node
    children = dict(node.get("properties", {}))
    if "items" in node:
        children["[]"] = node["items"]
    if "properties" in node.get("additionalProperties", {}):
        children["{}"] = node["additionalProperties"]
    for name, child in children.items():
        yield from walk(child, f"{path}.{name}" if path else name)


def files() -> list[dict[str, Any]]:
    return [yaml.safe_load(path.read_text()) for path in sorted(FOLDER.glob("*.yaml"))]


NODES = dict(walk(schema()))


@pytest.mark.parametrize("path", FIELDS_OF_UPSTREAM)
def test_a_field_of_upstream_is_there(path: str) -> None:
    assert path in NODES


@pytest.mark.parametrize(
    ("path", "key", "value"),
    [
        ("resource.count", "default", 1),
        ("resource.partition", "required", ["mode"]),
        ("resource.partition.mode", "enum", ["mig", "accelerator"]),
        ("resource.partition.count", "minimum", 1),
        ("status.performance.metrics.{}", "required", ["description", "value"]),
        ("inference.preset.accessMode", "default", "public"),
        ("tuning.preset.accessMode", "enum", ["public", "private"]),
        ("resource", "required", ["labelSelector"]),
        ("tuning", "required", ["input", "output"]),
        ("inference.preset", "required", ["name"]),
        ("resource.labelSelector", "x-kubernetes-map-type", "atomic"),
        ("inference.adapters", "maxItems", 10),
        ("inference.template", "x-kubernetes-preserve-unknown-fields", True),
    ],
)
def test_constraints_are_upstreams(path: str, key: str, value: object) -> None:
    assert NODES[path][key] == value


def test_only_defaults_that_both_versions_of_upstream_have_are_set() -> None:
    defaults = {path for path, node in NODES.items() if "default" in node}
    assert defaults == {
        "resource.count",
        "inference.preset.accessMode",
        "tuning.preset.accessMode",
    }


def test_the_root_requires_nothing_so_that_any_stored_object_stays_readable() -> None:
    assert "required" not in schema()


def test_rules_of_the_root_excuse_objects_that_are_stored_already() -> None:
    for rule in schema()["x-kubernetes-validations"]:
        assert rule["optionalOldSelf"] is True
        assert "oldSelf" in rule["rule"]


def test_both_versions_have_one_schema_and_one_is_stored() -> None:
    versions = CRD["spec"]["versions"]
    assert [(one["name"], one["storage"]) for one in versions] == [
        ("v1beta1", True),
        ("v1alpha1", False),
    ]
    assert schema(0) == schema(1)
    assert all(one["served"] and one["subresources"] == {"status": {}} for one in versions)


def test_kubectl_get_prints_upstreams_columns_and_age_last() -> None:
    columns = CRD["spec"]["versions"][0]["additionalPrinterColumns"]
    assert [one["name"] for one in columns if not one.get("priority")] == [
        "Instance",
        "ResourceReady",
        "InferenceReady",
        "JobStarted",
        "WorkspaceSucceeded",
        "TargetNodeCount",
        "State",
        "Age",
    ]
    assert [one["name"] for one in columns if one.get("priority")] == [
        "Preset",
        "Phase",
        "Revision",
    ]


@pytest.mark.parametrize("document", files(), ids=lambda one: one["metadata"]["name"])
def test_schemas_are_structural_and_explain_every_field(document: dict[str, Any]) -> None:
    for version in document["spec"]["versions"]:
        for path, node in walk(version["schema"]["openAPIV3Schema"]):
            is_number_or_text = node.get("x-kubernetes-int-or-string")
            assert "type" in node or is_number_or_text, path
            if path != "metadata" and not (path.endswith("[]") and node["type"] == "string"):
                assert node.get("description"), path


def test_status_words_may_grow_without_a_new_crd() -> None:
    # Kubernetes' own three values of a condition are the only closed set.
    closed = {path for path, node in NODES.items() if path.startswith("status") and "enum" in node}
    assert closed == {"status.conditions.[].status"}


def test_the_charts_file_is_what_the_models_say() -> None:
    assert crd.main(["--check"]) == 0


def test_a_stale_or_missing_file_is_found_and_written_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "templates" / "workspaces.yaml"
    assert crd.main(["--check"], file) == 1
    assert crd.main(["--write"], file) == 0
    assert crd.main(["--check"], file) == 0
    file.write_text(file.read_text().replace("maxItems: 10", "maxItems: 11"))
    assert crd.main(["--check"], file) == 1
    assert "make generate" in capsys.readouterr().err


def test_without_an_order_nothing_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    assert crd.main([]) == 2
    assert "--write" in capsys.readouterr().err
