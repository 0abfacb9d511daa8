"""docs/api.md: every field of a Workspace, from the schema that the API server gets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from api import names
from api.conditions import ConditionType
from api.crd import workspace_crd
from scripts.pages.tables import code, table

SPEC_PARTS: Final[Mapping[str, str]] = {
    "resource": "Nodes",
    "inference": "A model to serve",
    "tuning": "A model to tune",
    "rollout": "Edits",
    "status": "Status",
}
"""Top-level fields, each a section of the page, in the order of reading."""

ANNOTATIONS: Final[Mapping[str, tuple[str, str]]] = {
    names.ANNOTATION_RUNTIME: (
        "`vllm`, `transformers`",
        "The model server. Left out, it is the first that the model's catalogue entry lists.",
    ),
    names.ANNOTATION_ENABLE_LOAD_BALANCER: (
        "`true`, `false`",
        "`true` gives the Service an address outside the cluster. The Service follows at once.",
    ),
    names.ANNOTATION_PERFORMANCE_MODE: (
        "`balanced`, `interactivity`, `throughput`",
        "What vLLM optimises for; `balanced` when left out.",
    ),
    names.ANNOTATION_BYPASS_RESOURCE_CHECKS: (
        "any",
        "Its presence lets a model be tried on nodes that look too small for it.",
    ),
    names.ANNOTATION_NODE_IMAGE_FAMILY: (
        "`ubuntu`, `azurelinux`",
        "Operating system of new nodes, where the provisioner has a choice.",
    ),
    names.ANNOTATION_NODE_CLASS_NAME: (
        "name",
        "NodeClass of new nodes, where Karpenter makes them.",
    ),
    names.ANNOTATION_USE_LOCAL_WEIGHTS: (
        "`true`, `false`",
        "Weights lie on the nodes' own disks. `true` is not available in this version.",
    ),
    names.ANNOTATION_DISABLE_BENCHMARK: (
        "any",
        "Accepted for upstream's sake: the platform runs no benchmark before a model may serve.",
    ),
}
"""Annotations that users set: values, and what they do."""

RECORD_ANNOTATIONS: Final[Mapping[str, str]] = {
    names.ANNOTATION_OUTCOME: (
        "What became of the revision: `Good`, `GivenUp`, or nothing while nobody verified it."
    ),
    names.ANNOTATION_OUTCOME_MESSAGE: "Why it was given up.",
    names.ANNOTATION_AUTHOR: "Who wrote the spec and when, as `metadata.managedFields` tells.",
    names.ANNOTATION_IMAGES: "Each image of its pods, with the digest that was run.",
    names.ANNOTATION_PLATFORM_VERSION: "The platform that made the record.",
    names.ANNOTATION_CATALOGUE_VERSION: "A digest of the catalogue's entry for the model.",
}
"""Annotations that the platform writes on the ControllerRevision of each revision."""

CONDITIONS: Final[Mapping[ConditionType, str]] = {
    ConditionType.NODE_CLAIM_READY: "Every machine that was asked for is up and has joined.",
    ConditionType.NODES_READY: "Every node is ready and shows its GPUs.",
    ConditionType.RESOURCE_READY: "Both of the above: there is a place to run.",
    ConditionType.INFERENCE_READY: "The model answers.",
    ConditionType.JOB_STARTED: "The tuning job has begun.",
    ConditionType.WORKSPACE_SUCCEEDED: "Everything that the spec asks for is there.",
    ConditionType.WORKSPACE_DELETING: "The Workspace is on its way out.",
    ConditionType.PROGRESSING: "An operation is under way, or why none is.",
    ConditionType.ROLLOUT_HEALTHY: "The newest revision is the one that serves.",
}

_INTRODUCTION: Final = """\
# The Workspace, field by field

<!-- Written by `make generate` from api/workspace.py, api/names.py and api/conditions.py. -->

`kubectl explain workspace --recursive` says the same. A Workspace has no `spec`: its parts lie at
the top of the object, beside `metadata`. Group `kaito.sh`; versions `v1beta1` (stored) and
`v1alpha1`, with one schema. [Examples](../examples/README.md) show each feature in use.

Checked by the API server are the limits below; what needs the catalogue is checked by the webhook
and again by every plan."""


def api_page() -> str:
    """Return docs/api.md."""
    return "\n".join([*_page(), ""])


def _page() -> Iterator[str]:
    schema = workspace_crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    yield from _INTRODUCTION.splitlines()
    yield ""
    yield "Of the object as a whole:"
    yield ""
    yield from (f"- {message}" for message in _messages(schema))
    for part, title in SPEC_PARTS.items():
        inner = schema["properties"][part]
        yield ""
        yield f"## {title}: `{part}`"
        yield ""
        yield inner["description"]
        if rules := _messages(inner):
            yield ""
            yield from (f"- {rule}" for rule in rules)
        yield ""
        yield from table(["Field", "Type", "Default", "Limits", "What it is"], _rows(part, inner))
    yield from _annotations()
    yield from _conditions()


def _rows(path: str, schema: Mapping[str, Any]) -> Iterator[list[str]]:
    required = schema.get("required", [])
    for name, inner in schema.get("properties", {}).items():
        where = f"{path}.{name}"
        limits = ["required"] * (name in required) + list(_limits(inner))
        yield [
            code(where + _suffix(inner)),
            _type(inner),
            code(str(inner.get("default", ""))),
            "; ".join(limits),
            inner.get("description", ""),
        ]
        yield from _rows(where + _suffix(inner), _members(inner))


def _members(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the schema whose properties lie one level deeper."""
    found = schema.get("items") or schema.get("additionalProperties") or schema
    return found if isinstance(found, Mapping) else {}


def _suffix(schema: Mapping[str, Any]) -> str:
    if schema.get("type") == "array" and "properties" in schema["items"]:
        return "[]"
    inner = schema.get("additionalProperties")
    return ".<name>" if isinstance(inner, Mapping) and "properties" in inner else ""


def _type(schema: Mapping[str, Any]) -> str:
    if schema.get("x-kubernetes-preserve-unknown-fields"):
        return "object of Kubernetes"
    if schema["type"] == "array":
        return f"list of {_type(schema['items'])}"
    if isinstance(schema.get("additionalProperties"), Mapping):
        return f"map to {_type(schema['additionalProperties'])}"
    return "time" if schema.get("format") == "date-time" else str(schema["type"])


def _limits(schema: Mapping[str, Any]) -> Iterator[str]:
    if "enum" in schema:
        yield "one of " + ", ".join(code(value) for value in schema["enum"])
    if "minimum" in schema:
        yield f"at least {schema['minimum']}"
    if "maxItems" in schema:
        yield f"at most {schema['maxItems']}"
    yield from _messages(schema)


def _messages(schema: Mapping[str, Any]) -> list[str]:
    return [rule["message"] for rule in schema.get("x-kubernetes-validations", [])]


def _annotations() -> Iterator[str]:
    yield ""
    yield "## Annotations"
    yield ""
    rows = ([code(key), values, text] for key, (values, text) in ANNOTATIONS.items())
    yield from table(["Annotation", "Values", "What it does"], rows)
    yield ""
    yield "## Annotations of a recorded revision"
    yield ""
    yield "The platform writes them: `kubectl get controllerrevisions -l kaito.sh/workspace=NAME`."
    yield ""
    records = ([code(key), text] for key, text in RECORD_ANNOTATIONS.items())
    yield from table(["Annotation", "What it tells"], records)


def _conditions() -> Iterator[str]:
    yield ""
    yield "## Conditions"
    yield ""
    yield "`status.conditions` has these types; [reasons.md](reasons.md) explains their reasons."
    yield ""
    rows = ([code(one), text] for one, text in CONDITIONS.items())
    yield from table(["Type", "True says"], rows)
