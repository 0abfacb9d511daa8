"""Cases of the rules on the model server's settings, on pods of one's own, and on rollouts."""

from __future__ import annotations

from planner.config_file import MAX_CHARACTERS
from planner.rules.rollout import MAX_DEADLINE_SECONDS, MAX_REVISIONS
from tests.unit.planner.rule_tables.table import Refused, Table

_SETTINGS = "inference: {config: settings}"


def _config(text: str) -> str:
    lines = "".join(f"\n  {line}" for line in text.splitlines())
    return f"config: |{lines}"


def _containers(*containers: str) -> str:
    return f"inference: {{template: {{spec: {{containers: [{', '.join(containers)}]}}}}}}"


TABLES = {
    "serving-config-is-sound": Table(
        base="phi-4",
        extra=_SETTINGS,
        refused={
            "no YAML": _config("vllm: {max-model-len"),
            "a list": _config("- a\n- b"),
            "an unknown section": _config("vlm:\n  max-model-len: 10"),
            "a section that is a list": _config("vllm:\n- a"),
            "a length that is none": _config("vllm:\n  max-model-len: long"),
            "a length of zero": _config("vllm:\n  max-model-len: 0"),
            "more memory than there is": _config("vllm:\n  gpu-memory-utilization: 1.5"),
            "no memory": _config("vllm:\n  gpu-memory-utilization: 0"),
            "a cache of an unknown type": _config("vllm:\n  kv-cache-dtype: float3"),
            "no GPU": _config("vllm:\n  tensor-parallel-size: 0"),
            "far too long": f'config: "{"#" * (MAX_CHARACTERS + 1)}"',
        },
        accepted={
            "upstream's default": _config("max_probe_steps: 6\nvllm:\n  cpu-offload-gb: 0"),
            "a length": _config("vllm:\n  max-model-len: 8192"),
            "a length by its letter": _config("vllm:\n  max-model-len: 8k"),
            "a share of memory": _config("vllm:\n  gpu-memory-utilization: 0.9"),
            "a smaller cache": _config("vllm:\n  kv-cache-dtype: fp8"),
            "an empty file": 'config: ""',
            "no section": _config("kv_cache_cpu_memory_utilization: 0"),
            "nobody looked": "{}",
            "not read by transformers": (
                "metadata: {annotations: {kaito.sh/runtime: transformers}}\nconfig: '['"
            ),
        },
    ),
    "context-fits-model": Table(
        base="phi-4",
        extra=_SETTINGS,
        refused={
            "one too many": _config("vllm:\n  max-model-len: 16385"),
            "twice as many": _config("vllm:\n  max-model-len: 32K"),
        },
        accepted={
            "as many as it was made for": _config("vllm:\n  max-model-len: 16384"),
            "what fits": _config("vllm:\n  max-model-len: auto"),
        },
    ),
    "template-has-containers": Table(
        base="own-pods",
        refused={
            "nothing": Refused("inference: {template: {spec: null}}"),
            "a spec that is a text": "inference: {template: {spec: pod}}",
            "none": Refused(
                "inference: {template: {spec: {containers: []}}}",
                field="inference.template.spec.containers",
            ),
            "no list": Refused(
                "inference: {template: {spec: {containers: server}}}",
                field="inference.template.spec.containers",
            ),
            "a list of texts": Refused(
                "inference: {template: {spec: {containers: [server]}}}",
                field="inference.template.spec.containers",
            ),
            "init containers that are a text": Refused(
                "inference: {template: {spec: {initContainers: first}}}",
                field="inference.template.spec.initContainers",
            ),
        },
        accepted={
            "one": _containers("{name: a, image: 'b:1'}"),
            "one, and none before": "inference: {template: {spec: {initContainers: []}}}",
        },
    ),
    "container-has-name": Table(
        base="own-pods",
        refused={
            "none": _containers("{image: 'b:1'}"),
            "upper case": _containers("{name: Server, image: 'b:1'}"),
            "a dot": _containers("{name: a.b, image: 'b:1'}"),
            "too long": _containers(f"{{name: {'a' * 64}, image: 'b:1'}}"),
            "a number": _containers("{name: 1, image: 'b:1'}"),
            "twice": _containers("{name: a, image: 'b:1'}", "{name: a, image: 'b:1'}"),
            "as one before": Refused(
                "inference: {template: {spec: {initContainers: [{name: server, image: 'b:1'}]}}}",
                field="inference.template.spec.initContainers.name",
            ),
        },
        accepted={
            "a digit first": _containers("{name: 1st, image: 'b:1'}"),
            "two names": _containers("{name: a, image: 'b:1'}", "{name: b, image: 'b:1'}"),
        },
    ),
    "container-has-image": Table(
        base="own-pods",
        refused={
            "none": _containers("{name: a}"),
            "empty": _containers("{name: a, image: ''}"),
            "an address": _containers("{name: a, image: 'docker://b:1'}"),
            "one before has none": Refused(
                "inference: {template: {spec: {initContainers: [{name: a}]}}}",
                field="inference.template.spec.initContainers.image",
            ),
        },
        accepted={
            "a tag": _containers("{name: a, image: 'nvcr.io/nvidia/tritonserver:24.05-py3'}"),
            "no tag": _containers("{name: a, image: nginx}"),
        },
    ),
    "template-restarts": Table(
        base="own-pods",
        refused={
            "never": "inference: {template: {spec: {restartPolicy: Never}}}",
            "on failure": "inference: {template: {spec: {restartPolicy: OnFailure}}}",
            "a number": "inference: {template: {spec: {restartPolicy: 1}}}",
        },
        accepted={"always": "inference: {template: {spec: {restartPolicy: Always}}}"},
    ),
    "template-labels-are-labels": Table(
        base="own-pods",
        refused={
            "a key with a blank": "inference: {template: {metadata: {labels: {a b: c}}}}",
            "a number": "inference: {template: {metadata: {labels: {a: 1}}}}",
            "a value that is too long": (
                f"inference: {{template: {{metadata: {{labels: {{a: {'x' * 64}}}}}}}}}"
            ),
        },
        accepted={
            "labels": "inference: {template: {metadata: {labels: {app: a, example.com/b: ''}}}}",
            "a name, which is not used": "inference: {template: {metadata: {name: My Pod}}}",
        },
    ),
    "deadline-is-sensible": Table(
        refused={
            "none at all": "rollout: {progressDeadlineSeconds: 0}",
            "in the past": "rollout: {progressDeadlineSeconds: -5}",
            "more than a week": f"rollout: {{progressDeadlineSeconds: {MAX_DEADLINE_SECONDS + 1}}}",
            "for ever": "rollout: {progressDeadlineSeconds: 99999999999999999999}",
        },
        accepted={
            "a second": "rollout: {progressDeadlineSeconds: 1}",
            "a week": f"rollout: {{progressDeadlineSeconds: {MAX_DEADLINE_SECONDS}}}",
            "left out": "rollout: {}",
        },
    ),
    "history-limit-is-sensible": Table(
        refused={
            "none": "rollout: {revisionHistoryLimit: 0}",
            "less than none": "rollout: {revisionHistoryLimit: -1}",
            "too many": f"rollout: {{revisionHistoryLimit: {MAX_REVISIONS + 1}}}",
        },
        accepted={
            "one": "rollout: {revisionHistoryLimit: 1}",
            "as many as may be": f"rollout: {{revisionHistoryLimit: {MAX_REVISIONS}}}",
            "another strategy": "rollout: {strategy: Surge, autoRollback: false}",
        },
    ),
}
