"""Cases of the rules on nodes, instance types, partitions and memory."""

from __future__ import annotations

from api.workspace import MAX_FALLBACK_INSTANCE_TYPES
from planner.rules.nodes import MAX_NODE_COUNT
from tests.unit.planner.rule_tables.table import A100, Refused, Table

_BYO = "platform: {provisioner: byo}"
_BYPASS = 'metadata: {annotations: {kaito.sh/bypass-resource-checks: ""}}'
_T4 = "Standard_NC4as_T4_v3"


def _selector(text: str) -> str:
    return f"resource: {{labelSelector: {text}}}"


def _expressions(*expressions: str) -> str:
    listed = ", ".join(f"{{{one}}}" for one in expressions)
    return _selector(f"{{matchExpressions: [{listed}]}}")


def _fallbacks(*names: str) -> str:
    return f"resource: {{fallbackInstanceTypes: [{', '.join(names)}]}}"


def _on(instance_type: str) -> str:
    return f"resource: {{instanceType: {instance_type}}}"


TABLES = {
    "count-is-sensible": Table(
        refused={
            "none": "resource: {count: 0}",
            "less than none": "resource: {count: -3}",
            "one too many": f"resource: {{count: {MAX_NODE_COUNT + 1}}}",
            "more than can be written": f"resource: {{count: {10**30}}}",
        },
        accepted={
            "one": "resource: {count: 1}",
            "as many as may be": f"resource: {{count: {MAX_NODE_COUNT}}}",
            "left out": "resource: {count: null}",
        },
    ),
    "selector-is-given": Table(
        refused={
            "left out": "resource: {labelSelector: null}",
            "no resource at all": "resource: null\nplatform: {default_instance_type: onebox.small}",
            "left out on existing nodes": f"{_BYO}\nresource: {{labelSelector: null}}",
        },
        accepted={
            "labels": _selector("{matchLabels: {example.com/pool: ''}}"),
            "every node": "resource: {labelSelector: {matchLabels: null}}",
        },
    ),
    "selector-operator": Table(
        extra=_BYO,
        refused={
            "another word": _expressions("key: a, operator: Like"),
            "another case": _expressions("key: a, operator: exists"),
            "one of node affinity": _expressions("key: a, operator: Gt, values: ['1']"),
        },
        accepted={
            "all four": _expressions(
                "key: a, operator: In, values: [x]",
                "key: b, operator: NotIn, values: [x, y]",
                "key: c, operator: Exists",
                "key: d, operator: DoesNotExist",
            )
        },
    ),
    "selector-values": Table(
        extra=_BYO,
        refused={
            "In without": _expressions("key: a, operator: In"),
            "NotIn without": _expressions("key: a, operator: NotIn, values: []"),
            "Exists with": _expressions("key: a, operator: Exists, values: [x]"),
            "DoesNotExist with": _expressions("key: a, operator: DoesNotExist, values: [x]"),
        },
        accepted={"In with": _expressions("key: a, operator: In, values: [x, y]")},
    ),
    "selector-label": Table(
        refused={
            "a key with a blank": _selector("{matchLabels: {a b: c}}"),
            "an empty key": _selector("{matchLabels: {'': c}}"),
            "two slashes": _selector("{matchLabels: {a/b/c: d}}"),
            "a value that is too long": _selector(f"{{matchLabels: {{a: {'x' * 64}}}}}"),
            "a value with a slash": _selector("{matchLabels: {a: b/c}}"),
            "a bad value of an expression": _expressions("key: a, operator: In, values: ['!']"),
            "a bad key of an expression": Refused(
                f"{_BYO}\n{_expressions('key: -a, operator: Exists')}"
            ),
        },
        accepted={
            "a prefix": _selector("{matchLabels: {example.com/pool: gpu}}"),
            "an expression": _expressions("key: pool, operator: In, values: [gpu]"),
        },
    ),
    "selector-reserved": Table(
        refused={
            "the Workspace's": _selector("{matchLabels: {kaito.sh/workspace: other}}"),
            "one of several": _selector("{matchLabels: {a: b, kaito.sh/workspacenamespace: x}}"),
            "the uid's": _selector("{matchLabels: {kaito.sh/workspace-uid: x}}"),
            "the manager's": _selector("{matchLabels: {app.kubernetes.io/managed-by: me}}"),
            "upstream's": _selector("{matchLabels: {karpenter.kaito.sh/workspace-name: x}}"),
            "in an expression": (
                f"{_BYO}\n{_expressions('key: kaito.sh/revision, operator: Exists')}"
            ),
        },
        accepted={
            "one that looks like it": _selector("{matchLabels: {example.com/workspace: other}}"),
            "a pool of Karpenter's": (
                f"{_BYO}\n{_selector('{matchLabels: {karpenter.sh/nodepool: a}}')}"
            ),
        },
    ),
    "selector-is-labels": Table(
        refused={
            "that one exists": _expressions("key: a, operator: Exists"),
            "one of two values": _expressions("key: a, operator: In, values: [x, y]"),
            "none of some": _expressions("key: a, operator: NotIn, values: [x]"),
            "two values at once": _expressions("key: apps, operator: In, values: [x]"),
        },
        accepted={
            "one value": _expressions("key: a, operator: In, values: [b]"),
            "existing nodes may be chosen in any way": (
                f"{_BYO}\n{_expressions('key: gpu, operator: Exists')}"
            ),
        },
    ),
    "selector-agrees-with-nodes": Table(
        refused={
            "another type": _selector("{matchLabels: {node.kubernetes.io/instance-type: x}}"),
            "a type of two": (
                "resource: {fallbackInstanceTypes: [onebox.large], labelSelector: "
                "{matchLabels: {node.kubernetes.io/instance-type: onebox.small}}}"
            ),
            "another pool": _selector("{matchLabels: {karpenter.sh/nodepool: mine}}"),
        },
        accepted={
            "the same type": _selector(
                "{matchLabels: {node.kubernetes.io/instance-type: onebox.small}}"
            ),
            "another type of existing nodes": (
                f"{_BYO}\n{_selector('{matchLabels: {node.kubernetes.io/instance-type: x}}')}"
            ),
        },
    ),
    "preferred-node-is-a-name": Table(
        refused={
            "a blank": "resource: {preferredNodes: [Node 1]}",
            "empty": "resource: {preferredNodes: ['']}",
            "one of two": "resource: {preferredNodes: [node-1, node_2]}",
        },
        accepted={
            "names": "resource: {preferredNodes: [node-1, node-2.example.com, 10-0-0-1]}",
            "none": "resource: {preferredNodes: []}",
        },
    ),
    "instance-type-is-a-name": Table(
        refused={
            "a blank": _on("my type"),
            "a slash": _on("onebox/small"),
            "too long": _on("x" * 64),
            "an empty fallback": Refused(_fallbacks("''"), field="resource.fallbackInstanceTypes"),
            "a blank, on existing nodes": f"{_BYO}\n{_on('my type')}",
        },
        accepted={
            "a name": _on("onebox.large"),
            "left out": (
                "resource: {instanceType: ''}\nplatform: {default_instance_type: onebox.small}"
            ),
        },
    ),
    "instance-type-is-known": Table(
        refused={
            "misspelt": _on("onebox.smaller"),
            "another case": _on("Onebox.Small"),
            "Azure's, without GPUs": _on("Standard_D8s_v5"),
            "nearly Azure's": _on("standard_nc99"),
            "a fallback": Refused(
                _fallbacks("onebox.huge"), field="resource.fallbackInstanceTypes"
            ),
        },
        accepted={
            "one of the catalogue": _on("onebox.small"),
            "one that Azure may have": _on("Standard_NC999ads_H900_v9"),
            "a fallback that Azure may have": _fallbacks("Standard_ND1_v1"),
            "any, of existing nodes": f"{_BYO}\n{_on('a-type-of-ones-own')}",
            "Azure's without GPUs, for pods of one's own": (
                f"{_on('Standard_D8s_v5')}\ninference: "
                "{preset: null, template: {spec: {containers: [{name: a, image: b}]}}}"
            ),
        },
    ),
    "fallbacks-are-few": Table(
        refused={
            "one too many": _fallbacks(
                *(f"Standard_N{index}" for index in range(MAX_FALLBACK_INSTANCE_TYPES + 1))
            )
        },
        accepted={
            "as many as may be": _fallbacks(
                *(f"Standard_N{index}" for index in range(MAX_FALLBACK_INSTANCE_TYPES))
            )
        },
    ),
    "fallbacks-differ": Table(
        refused={
            "twice": _fallbacks("onebox.large", "onebox.large"),
            "the type itself": _fallbacks("onebox.small"),
            "the platform's default": (
                f"{_fallbacks('onebox.small')}\nplatform: {{default_instance_type: onebox.small}}"
            ),
        },
        accepted={
            "another": _fallbacks("onebox.large"),
            "the default, behind another": (
                f"{_fallbacks('onebox.large')}\nplatform: {{default_instance_type: onebox.large}}"
            ),
        },
    ),
    "partition-is-of-existing-nodes": Table(
        base="phi-4",
        refused={
            "a slice": "resource: {partition: {mode: mig, profile: 3g.40gb}}",
            "a count": "resource: {partition: {mode: accelerator, count: 1}}",
        },
        accepted={
            "existing nodes": f"{_BYO}\nresource: {{partition: {{mode: accelerator, count: 1}}}}",
        },
    ),
    "partition-is-for-serving": Table(
        base="tuning",
        extra=_BYO,
        refused={"tuning": "resource: {partition: {mode: accelerator, count: 1}}"},
        accepted={"tuning on whole nodes": "resource: {partition: null}"},
    ),
    "mig-profile-is-known": Table(
        base="phi-4",
        extra=f"{_BYO}\nresource: {{partition: {{mode: mig}}}}",
        refused={
            "none": "{}",
            "empty": "resource: {partition: {profile: ''}}",
            "another unit": "resource: {partition: {profile: 3g.40Gi}}",
            "upper case": "resource: {partition: {profile: 3G.40GB}}",
            "media engines": "resource: {partition: {profile: 1g.10gb+me}}",
            "the resource": "resource: {partition: {profile: nvidia.com/mig-3g.40gb}}",
            "no such part": "resource: {partition: {profile: 5g.50gb}}",
            "no such memory": "resource: {partition: {profile: 3g.41gb}}",
        },
        accepted={
            "of A100": "resource: {partition: {profile: 3g.40gb}}",
            "of H200": "resource: {partition: {profile: 4g.71gb}}",
            "of a GPU to come, on the user's word": (
                f"resource: {{partition: {{profile: 3g.333gb}}}}\n{_BYPASS}"
            ),
        },
    ),
    "partition-count-is-sensible": Table(
        base="phi-4",
        extra=f"{_BYO}\nresource: {{partition: {{mode: accelerator}}}}",
        refused={
            "none": "{}",
            "zero": "resource: {partition: {count: 0}}",
            "less": "resource: {partition: {count: -1}}",
        },
        accepted={"one": "resource: {partition: {count: 1}}"},
    ),
    "partition-has-fields-of-mode": Table(
        base="phi-4",
        extra=_BYO,
        refused={
            "a slice with a count": Refused(
                "resource: {partition: {mode: mig, profile: 3g.40gb, count: 1}}",
                field="resource.partition.count",
            ),
            "whole GPUs with a profile": Refused(
                "resource: {partition: {mode: accelerator, count: 1, profile: 3g.40gb}}",
                field="resource.partition.profile",
            ),
        },
        accepted={
            "a slice": "resource: {partition: {mode: mig, profile: 3g.40gb}}",
            "whole GPUs": "resource: {partition: {mode: accelerator, count: 1}}",
        },
    ),
    "partition-fits-node": Table(
        base="phi-4",
        extra=f"{_BYO}\nresource: {{partition: {{mode: accelerator}}}}",
        refused={
            "one too many": "resource: {partition: {count: 2}}",
            "two too many": (
                "resource: {instanceType: Standard_NC48ads_A100_v4, partition: {count: 4}}"
            ),
        },
        accepted={
            "all": "resource: {instanceType: Standard_NC48ads_A100_v4, partition: {count: 2}}",
            "of any node": "resource: {instanceType: null, partition: {count: 8}}",
        },
    ),
    "accelerator-is-served": Table(
        base="phi-4",
        refused={
            "AMD's": _on("Standard_NG32ads_V620_v1"),
            "Amazon's": _on("trn1.2xlarge"),
            "emulated ones": _on("onebox.small"),
            "existing ones of AMD's": f"{_BYO}\n{_on('Standard_NG32ads_V620_v1')}",
            "the default": (
                "resource: {instanceType: null}\nplatform: {default_instance_type: onebox.small}"
            ),
        },
        accepted={
            "NVIDIA's": _on(A100),
            "whatever existing nodes have": f"{_BYO}\nresource: {{instanceType: null}}",
            "AMD's, for pods of one's own": (
                f"{_on('Standard_NG32ads_V620_v1')}\ninference: "
                "{preset: null, template: {spec: {containers: [{name: a, image: b}]}}}"
            ),
        },
    ),
    "model-fits": Table(
        base="phi-4",
        refused={
            "more than the most nodes have": "inference: {preset: {name: huge-1t}}",
            "more than one node has": f"platform: {{max_nodes_per_instance: 1}}\n{_on(_T4)}",
            "transformers on one node": (
                f"metadata: {{annotations: {{kaito.sh/runtime: transformers}}}}\n{_on(_T4)}"
            ),
            "existing nodes": (
                f"platform: {{provisioner: byo, max_nodes_per_instance: 1}}\n{_on(_T4)}"
            ),
            "a slice": Refused(
                f"{_BYO}\nresource: {{partition: {{mode: mig, profile: 1g.10gb}}}}",
                field="resource.partition",
            ),
            "the default": (
                f"resource: {{instanceType: null}}\nplatform: {{default_instance_type: {_T4}, "
                "max_nodes_per_instance: 1}"
            ),
        },
        accepted={
            "one GPU": _on(A100),
            "four GPUs": f"platform: {{max_nodes_per_instance: 1}}\n{_on('Standard_NC64as_T4_v3')}",
            "several nodes": f"resource: {{instanceType: {_T4}, count: 8}}",
            "the user knows better": f"inference: {{preset: {{name: huge-1t}}}}\n{_BYPASS}",
            "a slice that is large enough": (
                f"{_BYO}\nresource: {{partition: {{mode: mig, profile: 3g.40gb}}}}"
            ),
            "a type of unknown memory": _on("Standard_ND1_v1"),
        },
    ),
    "tuning-fits": Table(
        base="tuning",
        refused={
            "too little altogether": _on(_T4),
            "enough only if all GPUs are taken as one": (
                "resource: {instanceType: Standard_NC64as_T4_v3}"
            ),
        },
        accepted={
            "one GPU": _on(A100),
            "the user knows better": f"{_on(_T4)}\n{_BYPASS}",
            "a type of unknown memory": _on("Standard_ND1_v1"),
        },
    ),
}
