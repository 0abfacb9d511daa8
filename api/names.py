"""Every name that two rooms must spell alike: ids, queues, labels, search attributes."""

from __future__ import annotations

import hashlib
from typing import Final, NewType

Namespace = NewType("Namespace", str)
RevisionHash = NewType("RevisionHash", str)

GROUP: Final = "kaito.sh"
STORAGE_VERSION: Final = "v1beta1"
WORKSPACE_KIND: Final = "Workspace"
WORKSPACE_PLURAL: Final = "workspaces"

KARPENTER_GROUP: Final = "karpenter.sh"
KARPENTER_VERSION: Final = "v1"
NODE_CLAIM_PLURAL: Final = "nodeclaims"

# --- Temporal -------------------------------------------------------------------------------

WORKSPACE_WORKFLOW: Final = "WorkspaceWorkflow"
NODE_CLAIM_WORKFLOW: Final = "NodeClaimWorkflow"

TASK_QUEUE: Final = "kaito"
"""Workflows and quick activities."""

WAIT_TASK_QUEUE: Final = "kaito-wait"
"""Activities that mostly wait: they hold a slot for minutes, so they get slots of their own."""

SEARCH_ATTRIBUTE_PHASE: Final = "KaitoPhase"
SEARCH_ATTRIBUTE_NAMESPACE: Final = "KaitoNamespace"
SEARCH_ATTRIBUTE_PRESET: Final = "KaitoPreset"
SEARCH_ATTRIBUTE_INSTANCE_TYPE: Final = "KaitoInstanceType"
SEARCH_ATTRIBUTE_REASON: Final = "KaitoReason"
SEARCH_ATTRIBUTE_GENERATION: Final = "KaitoGeneration"

KEYWORD_SEARCH_ATTRIBUTES: Final = (
    SEARCH_ATTRIBUTE_PHASE,
    SEARCH_ATTRIBUTE_NAMESPACE,
    SEARCH_ATTRIBUTE_PRESET,
    SEARCH_ATTRIBUTE_INSTANCE_TYPE,
    SEARCH_ATTRIBUTE_REASON,
)
INT_SEARCH_ATTRIBUTES: Final = (SEARCH_ATTRIBUTE_GENERATION,)

# --- Labels, annotations, finalizers ----------------------------------------------------------
# The first block is upstream's contract (facts, control plane A5); scripts and dashboards of
# users select on these keys.

LABEL_WORKSPACE: Final = "kaito.sh/workspace"
LABEL_WORKSPACE_NAMESPACE: Final = "kaito.sh/workspacenamespace"
LABEL_NODE_POOL: Final = "karpenter.sh/nodepool"
NODE_POOL: Final = "kaito"
LABEL_INSTANCE_TYPE: Final = "node.kubernetes.io/instance-type"
ANNOTATION_DO_NOT_DISRUPT: Final = "karpenter.sh/do-not-disrupt"
ANNOTATION_RUNTIME: Final = "kaito.sh/runtime"
ANNOTATION_ENABLE_LOAD_BALANCER: Final = "kaito.sh/enablelb"
ANNOTATION_BYPASS_RESOURCE_CHECKS: Final = "kaito.sh/bypass-resource-checks"
ANNOTATION_NODE_IMAGE_FAMILY: Final = "kaito.sh/node-image-family"
ANNOTATION_NODE_CLASS_NAME: Final = "kaito.sh/node-class-name"
ANNOTATION_PERFORMANCE_MODE: Final = "kaito.sh/performance-mode"
ANNOTATION_USE_LOCAL_WEIGHTS: Final = "kaito.sh/use-local-weights"
ANNOTATION_DISABLE_BENCHMARK: Final = "kaito.sh/disable-benchmark"
ANNOTATION_OUTCOME: Final = "kaito.sh/outcome"
"""On a ControllerRevision: what became of it (`api.payloads.RevisionOutcome`)."""
ANNOTATION_OUTCOME_MESSAGE: Final = "kaito.sh/outcome-message"
"""On a ControllerRevision that was given up: why."""
ANNOTATION_AUTHOR: Final = "kaito.sh/author"
"""On a ControllerRevision: who wrote the spec, as `metadata.managedFields` names them."""
ANNOTATION_IMAGES: Final = "kaito.sh/images"
"""On a ControllerRevision that served: each image of its pods, with the digest that was run."""
ANNOTATION_PLATFORM_VERSION: Final = "kaito.sh/platform-version"
ANNOTATION_CATALOGUE_VERSION: Final = "kaito.sh/catalogue-version"
"""On a ControllerRevision: a digest of the catalogue entries that it was made from."""
FINALIZER_WORKSPACE: Final = "workspace.finalizer.kaito.sh"
TAINT_GPU_KEY: Final = "sku"
TAINT_GPU_VALUE: Final = "gpu"
GPU_RESOURCE: Final = "nvidia.com/gpu"

LABEL_GPU_PRODUCT: Final = "nvidia.com/gpu.product"
"""Set by NVIDIA's GPU feature discovery, as are the next two."""
LABEL_GPU_COUNT: Final = "nvidia.com/gpu.count"
LABEL_GPU_MEMORY: Final = "nvidia.com/gpu.memory"
"""MiB of one GPU."""
LABEL_CAPACITY_TYPE: Final = "karpenter.sh/capacity-type"

LABEL_REVISION: Final = "kaito.sh/revision"
LABEL_WORKSPACE_UID: Final = "kaito.sh/workspace-uid"
LABEL_ROLE: Final = "kaito.sh/role"
ROLE_INFERENCE: Final = "inference"
ROLE_IMAGE_PULL: Final = "image-pull"
LABEL_MANAGED_BY: Final = "app.kubernetes.io/managed-by"
MANAGED_BY: Final = "kaito-temporal"
FINALIZER_NODE_CLAIM: Final = "nodeclaim.finalizer.kaito.sh"
FIELD_MANAGER: Final = "kaito-temporal"

NODE_CLASS_GROUP: Final = GROUP
NODE_CLASS_KIND_ONEBOX: Final = "OneboxNodeClass"

# --- Ports and paths inside a pod -------------------------------------------------------------

PORT_SERVING: Final = 5000
PORT_SERVICE_HTTP: Final = 80
PORT_TORCH: Final = 29500
PORT_RAY: Final = 6379
PATH_CONFIG: Final = "/mnt/config"
PATH_ADAPTERS: Final = "/mnt/adapter"
PATH_WEIGHTS: Final = "/workspace/weights"

# A pod of a StatefulSet carries the label `controller-revision-hash` = `<name>-<10 characters>`,
# and a label value may hold 63 characters: so `<workspace>-<revision>` may have 52.
MAX_WORKLOAD_NAME_CHARACTERS: Final = 52
REVISION_HASH_CHARACTERS: Final = 8
MAX_WORKSPACE_NAME_CHARACTERS: Final = MAX_WORKLOAD_NAME_CHARACTERS - REVISION_HASH_CHARACTERS - 1

CLAIM_HASH_CHARACTERS: Final = 10


def workspace_workflow_id(namespace: str, name: str) -> str:
    """Return the id of the one workflow that owns a Workspace."""
    return f"workspace/{namespace}/{name}"


def node_claim_workflow_id(name: str) -> str:
    """Return the id of the one workflow that serves a NodeClaim (cluster-scoped)."""
    return f"nodeclaim/{name}"


def workload_name(workspace: str, revision: str) -> str:
    """Return the name shared by a revision's ControllerRevision and its workload."""
    return f"{workspace}-{revision}"


def node_claim_name(
    workspace_uid: str, instance_type: str, index: int, capacity_type: str = "", zone: str = ""
) -> str:
    """Return a claim's name, derived so that a retry can never buy a second node.

    The result matches `^[a-z][a-z0-9]{0,11}$`, the strictest rule of the clouds that we drive
    (names of AKS agent pools).

    Args:
        workspace_uid: Whose it is.
        instance_type: What it asks for.
        index: Which of several.
        capacity_type: How it is paid for; on-demand and an empty string are the same.
        zone: Where it must be; empty where any zone will do.
    """
    parts = [workspace_uid, instance_type, str(index)]
    if zone or capacity_type not in {"", "on-demand"}:
        parts += [capacity_type, zone]
    seed = "/".join(parts).encode()
    return "ws" + hashlib.sha256(seed).hexdigest()[:CLAIM_HASH_CHARACTERS]


def restored_config_name(workspace: str, revision: str) -> str:
    """Return the ConfigMap that `inference.config` names after a rollback to other settings.

    The user's own ConfigMap is never written to, so its content at the time of the revision gets a
    ConfigMap of its own.
    """
    return f"{workspace}-{revision}-restored"
