"""Validation of whatever can be read as a Workspace: always an answer, and always the same."""

from __future__ import annotations

from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from api import names
from api.errors import InvalidWorkspace
from api.workspace import Workspace
from planner.availability import unavailable
from planner.validation import RULES, validate, warnings
from tests import gen
from tests.unit.planner.rule_tables.table import A100, CATALOGUE

_LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
_JSON = st.recursive(
    _LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3)
    ),
    max_leaves=6,
)
_KNOWN_WORDS = st.sampled_from(
    [
        *("", "a", "phi-4", "llama-2-7b", "org/model", "org/model@x", "../x", A100, "onebox.small"),
        *("In", "Exists", "true", "True", "lora", "QLoRA", "0.5", "1g.10gb", "a/b:1", "b@sha256:0"),
        *("http://10.0.0.1/", "https://example.com/a", "Standard_NC999", "vllm", "transformers"),
        *RULES,
    ]
)
_WORDS = _KNOWN_WORDS | st.text(max_size=70)
_MAYBE = st.none() | _WORDS
_FREE_FORM = st.none() | st.dictionaries(
    st.sampled_from(["spec", "metadata", "emptyDir", "persistentVolumeClaim", "hostPath"]) | _WORDS,
    st.fixed_dictionaries(
        {},
        optional={
            "containers": st.lists(st.dictionaries(_WORDS, _JSON, max_size=2), max_size=2) | _JSON,
            "initContainers": st.lists(
                st.fixed_dictionaries({}, optional={"name": _JSON, "image": _JSON}), max_size=2
            ),
            "labels": _JSON,
            "restartPolicy": _JSON,
            "claimName": _JSON,
        },
    )
    | _JSON,
    max_size=3,
)


def _object(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | st.fixed_dictionaries({}, optional=fields)


_SECRETS = st.lists(_WORDS, max_size=2)
_PRESET = st.fixed_dictionaries(
    {"name": _WORDS},
    optional={
        "accessMode": st.sampled_from(["public", "private"]),
        "presetOptions": _object(image=_MAYBE, imagePullSecrets=_SECRETS, modelAccessSecret=_MAYBE),
    },
)
_SOURCE = _object(
    name=_MAYBE,
    urls=st.lists(_WORDS, max_size=2),
    image=_MAYBE,
    volumeSource=_FREE_FORM,
    imagePullSecrets=_SECRETS,
)
_REQUIREMENT = st.fixed_dictionaries(
    {"key": _WORDS, "operator": _WORDS}, optional={"values": st.lists(_WORDS, max_size=2)}
)
_ANNOTATIONS = st.dictionaries(
    st.sampled_from(
        [
            names.ANNOTATION_RUNTIME,
            names.ANNOTATION_BYPASS_RESOURCE_CHECKS,
            names.ANNOTATION_ENABLE_LOAD_BALANCER,
            names.ANNOTATION_PERFORMANCE_MODE,
            names.ANNOTATION_NODE_CLASS_NAME,
            names.ANNOTATION_USE_LOCAL_WEIGHTS,
        ]
    )
    | _WORDS,
    _WORDS,
    max_size=3,
)
_OBJECTS = st.fixed_dictionaries(
    {"metadata": st.fixed_dictionaries({"name": _WORDS}, optional={"annotations": _ANNOTATIONS})},
    optional={
        "resource": _object(
            count=st.none() | st.integers(),
            instanceType=_MAYBE,
            fallbackInstanceTypes=st.lists(_WORDS, max_size=3),
            capacityType=st.sampled_from(["spot", "on-demand", "spot-with-fallback"]),
            partition=st.fixed_dictionaries(
                {"mode": st.sampled_from(["mig", "accelerator"])},
                optional={"profile": _MAYBE, "count": st.none() | st.integers()},
            ),
            preferredNodes=st.lists(_WORDS, max_size=2),
            labelSelector=_object(
                matchLabels=st.dictionaries(_WORDS, _WORDS, max_size=2),
                matchExpressions=st.lists(_REQUIREMENT, max_size=2),
            ),
        ),
        "inference": _object(
            preset=_PRESET,
            template=_FREE_FORM,
            config=_MAYBE,
            adapters=st.lists(_object(source=_SOURCE, strength=_MAYBE).filter(bool), max_size=3),
        ),
        "tuning": st.none()
        | st.fixed_dictionaries(
            {
                "input": _SOURCE.filter(lambda one: one is not None),
                "output": _object(
                    image=_MAYBE, volumeSource=_FREE_FORM, imagePushSecret=_MAYBE
                ).filter(lambda one: one is not None),
            },
            optional={"preset": _PRESET, "method": _MAYBE, "config": _MAYBE},
        ),
        "rollout": _object(
            strategy=st.sampled_from(["InPlace", "Surge"]),
            progressDeadlineSeconds=st.none() | st.integers(),
            autoRollback=st.none() | st.booleans(),
            revisionHistoryLimit=st.none() | st.integers(),
        ),
    },
)
_TEXTS = st.none() | st.text(max_size=40)
_PROVISIONERS = st.sampled_from(["onebox", "byo", "aks"])


def read(obj: dict[str, Any]) -> Workspace | None:
    try:
        return Workspace.from_object(obj)
    except InvalidWorkspace:
        return None


@given(
    obj=_OBJECTS,
    config_text=_TEXTS,
    training_text=_TEXTS,
    provisioner=_PROVISIONERS,
    has_catalogue=st.booleans(),
)
def test_whatever_can_be_read_is_judged(
    obj: dict[str, Any],
    config_text: str | None,
    training_text: str | None,
    provisioner: str,
    has_catalogue: bool,
) -> None:
    workspace = read(obj)
    assume(workspace is not None)
    assert workspace is not None
    settings = gen.settings(provisioner=provisioner)
    catalogue = CATALOGUE if has_catalogue else None
    preset = CATALOGUE.get(workspace.preset_name)
    known = (workspace, preset, settings, catalogue)
    violations = validate(*known, config_text=config_text, training_text=training_text)
    again = validate(*known, config_text=config_text, training_text=training_text)
    assert violations == again
    for violation in violations:
        assert violation.rule in RULES
        assert violation.field
        assert violation.message.replace("…", "").isascii()
        assert violation.message.isprintable()
        assert violation.remedy
        assert issubclass(violation.error, InvalidWorkspace)
    for warning in warnings(*known, config_text=config_text):
        assert warning.isprintable()
    for one in unavailable(workspace, settings):
        assert one.remedy


@given(obj=_OBJECTS, provisioner=_PROVISIONERS, config_text=_TEXTS)
def test_what_is_not_edited_is_never_refused(
    obj: dict[str, Any], provisioner: str, config_text: str | None
) -> None:
    workspace = read(obj)
    assume(workspace is not None)
    assert workspace is not None
    preset = CATALOGUE.get(workspace.preset_name)
    settings = gen.settings(provisioner=provisioner)
    found = validate(workspace, preset, settings, CATALOGUE, old=workspace, config_text=config_text)
    assert found == []


@given(before=_OBJECTS, after=_OBJECTS)
def test_an_edit_is_refused_for_no_more_than_a_new_object_would_be(
    before: dict[str, Any], after: dict[str, Any]
) -> None:
    old, new = read(before), read(after)
    assume(old is not None and new is not None)
    assert old is not None
    assert new is not None
    preset = CATALOGUE.get(new.preset_name)
    as_edit = validate(new, preset, gen.settings(), CATALOGUE, old=old)
    as_new = validate(new, preset, gen.settings(), CATALOGUE)
    assert {one for one in as_edit if one.rule != "feature-stays"} <= set(as_new)


@given(obj=_OBJECTS)
def test_what_is_being_deleted_is_never_refused(obj: dict[str, Any]) -> None:
    workspace = read(gen.merged(obj, {"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}))
    assume(workspace is not None)
    assert workspace is not None
    preset = CATALOGUE.get(workspace.preset_name)
    assert validate(workspace, preset, gen.settings(), CATALOGUE, old=workspace) == []
    assert validate(workspace, preset, gen.settings(), CATALOGUE) == []
