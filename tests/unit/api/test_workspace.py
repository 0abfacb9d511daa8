"""Reading Workspaces."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from api.errors import InvalidWorkspace
from api.payloads import WorkspaceRef
from api.workspace import LabelSelector, Workspace
from planner.validation import validate
from presets.loader import load_catalogue
from tests import gen

ROOT = Path(__file__).resolve().parents[3]


def test_what_is_left_out_gets_upstreams_defaults() -> None:
    workspace = Workspace.from_object(
        {"metadata": {"name": "chat"}, "inference": {"preset": {"name": "phi-4"}}}
    )
    assert workspace.resource.count == 1
    # The planner chooses it: v0.12 leaves it empty on purpose where existing nodes are used.
    assert not workspace.resource.instance_type
    assert workspace.inference is not None
    assert workspace.inference.preset is not None
    assert workspace.inference.preset.access_mode == "public"


def test_null_reads_as_absent() -> None:
    workspace = Workspace.from_object(
        {
            "metadata": {"name": "chat", "finalizers": None},
            "resource": {"count": None, "labelSelector": None, "preferredNodes": None},
            "tuning": None,
        }
    )
    assert workspace.resource.count == 1
    assert not workspace.resource.has_label_selector
    assert workspace.tuning is None


def test_an_empty_selector_differs_from_none_at_all() -> None:
    given_empty = gen.workspace(resource={"labelSelector": {"matchLabels": None}})
    assert given_empty.resource.has_label_selector
    assert not gen.workspace(resource={"labelSelector": None}).resource.has_label_selector


def test_fields_of_a_newer_version_are_ignored() -> None:
    assert gen.workspace(resource={"colour": "red"}, schedule={"at": "night"})


def test_free_form_fields_are_kept_whole() -> None:
    template = {"spec": {"containers": [{"name": "a", "args": None}]}, "metadata": {}}
    workspace = gen.workspace(inference={"preset": None, "template": template})
    assert workspace.inference is not None
    assert workspace.inference.template == template


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"metadata": {"name": ""}}, "metadata.name"),
        ({"resource": {"count": "many"}}, "resource.count"),
        ({"resource": {"labelSelector": {"matchLabels": {"a": 1}}}}, "resource.labelSelector"),
        ({"inference": {"preset": {"name": None}}}, "inference.preset.name"),
        ({"inference": {"preset": {"accessMode": "secret"}}}, "inference.preset.accessMode"),
        ({"inference": {"adapters": [{"source": {"urls": "x"}}]}}, "inference.adapters.0.source"),
        ({"tuning": {"output": {}}}, "tuning.input"),
    ],
)
def test_a_field_of_the_wrong_type_is_named(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidWorkspace) as caught:
        Workspace.from_object(gen.workspace_object(**changes))
    assert caught.value.field.startswith(field)
    assert str(caught.value).startswith(field)


def test_a_broken_status_does_not_stop_the_workspace() -> None:
    workspace = gen.workspace(status={"conditions": "none", "phase": 3})
    assert workspace.status.conditions == ()


def test_a_status_is_read() -> None:
    workspace = gen.workspace(
        status={"phase": "Ready", "timeline": [{"step": "nodes", "seconds": 1.5}]}
    )
    assert workspace.status.phase == "Ready"
    assert workspace.status.timeline[0].seconds == 1.5


def test_a_workspace_is_named_by_namespace_name_and_uid() -> None:
    assert gen.workspace(name="a", namespace="b").ref() == WorkspaceRef(
        namespace="b", name="a", uid=gen.UID
    )


def test_deletion_and_finalizers_are_seen() -> None:
    workspace = gen.workspace(
        metadata={"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["a/b"]}
    )
    assert workspace.is_deleting
    assert workspace.has_finalizer("a/b")
    assert not workspace.has_finalizer("a")
    assert not gen.workspace().is_deleting


@pytest.mark.parametrize(
    ("selector", "labels"),
    [
        ({}, {}),
        ({"matchLabels": {"a": "1"}}, {"a": "1"}),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["1"]}]}, {"a": "1"}),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["1", "2"]}]}, None),
        ({"matchExpressions": [{"key": "a", "operator": "Exists"}]}, None),
        ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["1"]}]}, None),
        (
            {
                "matchLabels": {"a": "1"},
                "matchExpressions": [{"key": "a", "operator": "In", "values": ["2"]}],
            },
            None,
        ),
    ],
)
def test_a_selector_is_as_good_as_labels_only_when_one_value_satisfies_it(
    selector: dict[str, Any], labels: dict[str, str] | None
) -> None:
    assert LabelSelector.model_validate(selector).as_labels() == labels


def test_python_names_do_as_well_as_kubernetes_names() -> None:
    assert LabelSelector(match_labels={"a": "1"}) == LabelSelector.model_validate(
        {"matchLabels": {"a": "1"}}
    )


@pytest.mark.parametrize("path", sorted((ROOT / "examples").rglob("*.yaml")), ids=lambda p: p.stem)
def test_every_example_can_be_carried_out(path: Path) -> None:
    catalogue = load_catalogue()
    documents = [one for one in yaml.safe_load_all(path.read_text()) if one["kind"] == "Workspace"]
    assert documents
    for document in documents:
        workspace = Workspace.from_object(document)
        preset = catalogue.get(workspace.preset_name)
        # Parts of a node can only be had of nodes that are there already.
        settings = gen.settings(provisioner="byo" if workspace.resource.partition else "aks")
        assert validate(workspace, preset, settings, catalogue) == []


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text() | st.sampled_from(["metadata", "resource", "status"]), _JSON))
def test_no_object_raises_anything_but_invalid_workspace(obj: dict[str, Any]) -> None:
    try:
        Workspace.from_object(obj)
    except InvalidWorkspace as error:
        assert str(error)  # noqa: PT017 - an object may also be readable
