"""Cases of the rules on names and annotations."""

from __future__ import annotations

from api import names
from tests.unit.planner.rule_tables.table import Table

_LONGEST = "x" * names.MAX_WORKSPACE_NAME_CHARACTERS


def _annotated(name: str, *values: str) -> dict[str, str]:
    return {
        value or "empty": f'metadata: {{annotations: {{"{name}": "{value}"}}}}' for value in values
    }


TABLES = {
    "name-is-service-name": Table(
        refused={
            "begins with a digit": "metadata: {name: 1chat}",
            "only digits": "metadata: {name: '4711'}",
            "begins with a dash": "metadata: {name: -chat}",
            "ends with a dash": "metadata: {name: chat-}",
            "a dot": "metadata: {name: chat.eu}",
            "upper case": "metadata: {name: Chat}",
            "an underscore": "metadata: {name: my_chat}",
            "a line's end": 'metadata: {name: "chat\\n"}',
            "a blank": "metadata: {name: my chat}",
            "letters that look right": r'metadata: {name: "\u0441hat"}',
        },
        accepted={
            "one letter": "metadata: {name: a}",
            "ends with a digit": "metadata: {name: chat-1}",
            "dashes in a row": "metadata: {name: a--b}",
        },
    ),
    "name-is-short": Table(
        refused={
            "one too many": f"metadata: {{name: x{_LONGEST}}}",
            "more than a label holds": f"metadata: {{name: {'x' * 64}}}",
        },
        accepted={"the longest": f"metadata: {{name: {_LONGEST}}}"},
    ),
    "runtime-is-known": Table(
        base="phi-4",
        refused=_annotated(names.ANNOTATION_RUNTIME, "VLLM", "vllm ", "tgi", "vllm,transformers"),
        accepted=_annotated(names.ANNOTATION_RUNTIME, "vllm", "transformers", ""),
    ),
    "runtime-serves-model": Table(
        base="phi-4",
        extra=f'metadata: {{annotations: {{"{names.ANNOTATION_RUNTIME}": transformers}}}}',
        refused={"no image of it": "inference: {preset: {name: falcon-7b}}"},
        accepted={
            "an image of it": "inference: {preset: {name: phi-4}}",
            "a model that nobody looked up yet": "inference: {preset: {name: org/model}}",
            "pods of one's own": (
                "inference: {preset: null, template: {spec: {containers: [{name: a, image: b}]}}}"
            ),
        },
    ),
    "load-balancer-is-boolean": Table(
        refused=_annotated(names.ANNOTATION_ENABLE_LOAD_BALANCER, "yes", "1", "", "internal"),
        accepted=_annotated(
            names.ANNOTATION_ENABLE_LOAD_BALANCER, "True", "true", "FALSE", "false", " true "
        ),
    ),
    "node-image-family-is-known": Table(
        refused=_annotated(names.ANNOTATION_NODE_IMAGE_FAMILY, "windows", "ubuntu2204", ""),
        accepted=_annotated(
            names.ANNOTATION_NODE_IMAGE_FAMILY, "ubuntu", "Ubuntu", " azurelinux ", "AzureLinux"
        ),
    ),
    "performance-mode-is-known": Table(
        refused=_annotated(names.ANNOTATION_PERFORMANCE_MODE, "fast", "", "latency"),
        accepted=_annotated(
            names.ANNOTATION_PERFORMANCE_MODE, "balanced", "interactivity", "throughput"
        ),
    ),
    "local-weights-is-boolean": Table(
        refused=_annotated(names.ANNOTATION_USE_LOCAL_WEIGHTS, "yes", "", "/opt/models"),
        accepted=_annotated(names.ANNOTATION_USE_LOCAL_WEIGHTS, "true", "false"),
    ),
    "node-class-is-a-name": Table(
        refused=_annotated(
            names.ANNOTATION_NODE_CLASS_NAME, "", "My Class", "a/b", "-a", "x" * 254
        ),
        accepted=_annotated(
            names.ANNOTATION_NODE_CLASS_NAME, "default", "image-family-ubuntu", "a.b"
        ),
    ),
}
