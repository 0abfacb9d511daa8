"""Makes the CRD of Workspaces from their models, so that the two can't say different things.

    python -m api.crd --write     write the chart's file anew
    python -m api.crd --check     exit 1 when it is stale

The schema is structural (every type is spelt out), so that the API server prunes, defaults and
explains. Rules that it can check itself are CEL; where an object that is stored already could break
them they look at the old object, because nothing may make an object unchangeable or undeletable.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from api import names
from api.conditions import Condition, ConditionStatus
from api.workspace import CEL, REQUIRED, SCHEMA, Node, Workspace

CHART_FOLDER: Final = Path(__file__).parent.parent / "charts" / "kaito-temporal-crds"
FILE: Final = CHART_FOLDER / "templates" / f"{names.GROUP}_{names.WORKSPACE_PLURAL}.yaml"

SERVED_VERSIONS: Final = (names.STORAGE_VERSION, "v1alpha1")

_HEADER: Final = "# Written by `python -m api.crd --write`; edit api/workspace.py instead.\n"

_NAME_LENGTH: Final = names.MAX_WORKSPACE_NAME_CHARACTERS

_ROOT_RULES: Final = (
    (
        f"oldSelf.hasValue() || size(self.metadata.name) <= {_NAME_LENGTH}",
        f"metadata.name may have at most {_NAME_LENGTH} characters; names of pods are made of it",
    ),
    (
        "oldSelf.hasValue() || self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
        "metadata.name must be lower-case letters, digits and dashes, and begin with a letter",
    ),
    (
        (
            "has(self.inference) != has(self.tuning) || (oldSelf.hasValue() "
            "&& has(oldSelf.value().inference) == has(self.inference) "
            "&& has(oldSelf.value().tuning) == has(self.tuning))"
        ),
        "set exactly one of inference (serve a model) and tuning (tune one)",
    ),
    (
        "has(self.resource) || (oldSelf.hasValue() && !has(oldSelf.value().resource))",
        "resource must say which nodes to use, at least by resource.labelSelector",
    ),
)
"""Rules on the whole object. Kubernetes excuses a rule that an update did not touch only below the
root: there, every write changes something."""

_CONDITION: Final[dict[str, Any]] = {
    "description": "One thing that holds of the Workspace, or does not.",
    "type": "object",
    "required": ["lastTransitionTime", "message", "reason", "status", "type"],
    "properties": {
        "type": {
            "description": "What is told of.",
            "type": "string",
            "maxLength": 316,
            "pattern": (
                r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?"
                r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$"
            ),
        },
        "status": {
            "description": "Whether it holds.",
            "type": "string",
            "enum": [str(status) for status in ConditionStatus],
        },
        "reason": {
            "description": "Why, in one word; docs/reasons.md explains each.",
            "type": "string",
            "minLength": 1,
            "maxLength": 1024,
            "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
        },
        "message": {
            "description": "Why, in a sentence, with what to do where somebody must act.",
            "type": "string",
            "maxLength": 32768,
        },
        "lastTransitionTime": {
            "description": "When the status last changed.",
            "type": "string",
            "format": "date-time",
        },
        "observedGeneration": {
            "description": "Generation of the Workspace that it is told of.",
            "type": "integer",
            "format": "int64",
            "minimum": 0,
        },
    },
}
"""Kubernetes' own shape of a condition (metav1.Condition), with its limits."""


def workspace_crd() -> dict[str, Any]:
    """Return the CustomResourceDefinition of Workspaces."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{names.WORKSPACE_PLURAL}.{names.GROUP}"},
        "spec": {
            "group": names.GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": names.WORKSPACE_KIND,
                "listKind": f"{names.WORKSPACE_KIND}List",
                "plural": names.WORKSPACE_PLURAL,
                "singular": "workspace",
                "shortNames": ["wk", "wks"],
                "categories": ["workspace"],
            },
            # The versions have one schema, so only the version's name is rewritten.
            "conversion": {"strategy": "None"},
            "versions": [_version(version) for version in SERVED_VERSIONS],
        },
    }


def _version(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "served": True,
        "storage": name == names.STORAGE_VERSION,
        "schema": {"openAPIV3Schema": _root_schema()},
        "subresources": {"status": {}},
        "additionalPrinterColumns": _printer_columns(),
    }


def _printer_columns() -> list[dict[str, Any]]:
    conditions = ("ResourceReady", "InferenceReady", "JobStarted", "WorkspaceSucceeded")
    wide = (
        ("Preset", ".status.preset"),
        ("Phase", ".status.phase"),
        ("Revision", ".status.activeRevision"),
    )
    return [
        # What is used, since the spec may leave it to the platform.
        {"name": "Instance", "type": "string", "jsonPath": ".status.instanceType"},
        *(
            {
                "name": condition,
                "type": "string",
                "jsonPath": f'.status.conditions[?(@.type=="{condition}")].status',
            }
            for condition in conditions
        ),
        {"name": "TargetNodeCount", "type": "integer", "jsonPath": ".status.targetNodeCount"},
        {"name": "State", "type": "string", "jsonPath": ".status.state"},
        *({"name": name, "type": "string", "jsonPath": path, "priority": 1} for name, path in wide),
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    ]


def _root_schema() -> dict[str, Any]:
    schema = _object_schema(Workspace)
    properties = {
        "apiVersion": {
            "description": "Version of this schema, kaito.sh/v1beta1.",
            "type": "string",
        },
        "kind": {"description": "Workspace.", "type": "string"},
        **schema["properties"],
        # Kubernetes has a schema of its own for it.
        "metadata": {"type": "object"},
    }
    return {
        "description": _first_paragraph(Workspace.__doc__),
        "type": "object",
        "properties": properties,
        "x-kubernetes-validations": [
            {"rule": rule, "message": message, "optionalOldSelf": True}
            for rule, message in _ROOT_RULES
        ],
    }


def _object_schema(model: type[BaseModel]) -> dict[str, Any]:
    fields = {field.alias or name: field for name, field in model.model_fields.items()}
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {name: _field_schema(field) for name, field in fields.items()},
    }
    required = sorted({name for name, field in fields.items() if _is_required(field)})
    if required:
        schema["required"] = required
    schema.update(_extras(model.model_config.get("json_schema_extra")))
    return schema


def _field_schema(field: FieldInfo) -> dict[str, Any]:
    schema = _type_schema(field.annotation)
    if field.description:
        schema = {"description": " ".join(field.description.split()), **schema}
    schema.update(_extras(field.json_schema_extra))
    default = field.get_default()
    # An empty value is what a missing field reads as anyway; writing it down would only make noise
    # in every object.
    if isinstance(default, str | int) and default and not _is_required(field):
        schema["default"] = str(default) if isinstance(default, StrEnum) else default
    return schema


def _is_required(field: FieldInfo) -> bool:
    extra = field.json_schema_extra
    return field.is_required() or (isinstance(extra, dict) and bool(extra.get(REQUIRED)))


def _extras(extra: Any) -> dict[str, Any]:
    if not isinstance(extra, Mapping):
        return {}
    schema = dict(extra.get(SCHEMA, {}))
    if CEL in extra:
        schema["x-kubernetes-validations"] = [
            {"rule": rule, "message": message} for rule, message in extra[CEL]
        ]
    return schema


_SCALARS: Final[dict[Any, dict[str, Any]]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    datetime: {"type": "string", "format": "date-time"},
}


def _type_schema(annotation: Any) -> dict[str, Any]:  # noqa: PLR0911 - one line a type
    """Return the schema of a Python type; a type that no model uses yet is a plain error."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation in _SCALARS:
        return dict(_SCALARS[annotation])
    if origin is Annotated:
        return _type_schema(arguments[0])
    if origin in {Union, UnionType}:
        (inner,) = (one for one in arguments if one is not NoneType)
        return _type_schema(inner)
    if origin is tuple:
        return {"type": "array", "items": _item_schema(arguments[0])}
    if origin is dict:
        return _map_schema(arguments[1])
    if annotation is Condition:
        return dict(_CONDITION)
    if issubclass(annotation, StrEnum):
        return {"type": "string", "enum": [str(member) for member in annotation]}
    if issubclass(annotation, Node):
        return _object_schema(annotation)
    raise TypeError(f"no schema for {annotation!r}")


def _map_schema(values: Any) -> dict[str, Any]:
    if values is Any:
        return {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {"type": "object", "additionalProperties": _item_schema(values)}


def _item_schema(annotation: Any) -> dict[str, Any]:
    schema = _type_schema(annotation)
    if "properties" in schema and "description" not in schema:
        # A member of a list has no field of its own to be described at.
        return {"description": _first_paragraph(annotation.__doc__), **schema}
    return schema


def _first_paragraph(text: str | None) -> str:
    return " ".join((text or "").split("\n\n")[0].split())


class _Dumper(yaml.SafeDumper):
    """Without anchors: the API server reads them, people do not."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        """Write everything out."""
        return True


def render() -> str:
    """Return the content of the chart's file."""
    text = yaml.dump(workspace_crd(), Dumper=_Dumper, sort_keys=False, width=100)
    return _HEADER + text


def main(arguments: list[str], file: Path = FILE) -> int:
    """Write or check the file; return the exit code."""
    if arguments == ["--write"]:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(render(), encoding="utf-8")
        return 0
    if arguments == ["--check"]:
        if file.exists() and file.read_text(encoding="utf-8") == render():
            return 0
        sys.stderr.write(f"{file} is stale; run: make generate\n")
        return 1
    sys.stderr.write("usage: python -m api.crd --write | --check\n")
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
