"""Resources as JSON, the way Azure writes them."""

from __future__ import annotations

from typing import Any

from tests.emulators.azure import quota
from tests.emulators.azure.state import Cloud, Cluster, Operation, Pool


def operation_body(operation: Operation) -> dict[str, Any]:
    body: dict[str, Any] = {
        "name": operation.id,
        "status": operation.status,
        "startTime": operation.started_at,
    }
    if operation.ended_at is not None:
        body["endTime"] = operation.ended_at
    if operation.error is not None:
        body["error"] = operation.error.inner()
    return body


def usages_body(cloud: Cloud) -> list[dict[str, Any]]:
    return [
        {
            "unit": "Count",
            "currentValue": used,
            "limit": limit,
            "name": {"value": name, "localizedValue": f"{name} vCPUs"},
        }
        for name, (used, limit) in quota.usages(cloud).items()
    ]


def _cluster_id(cluster: Cluster) -> str:
    return (
        f"/subscriptions/{cluster.subscription}/resourcegroups/{cluster.resource_group}"
        f"/providers/Microsoft.ContainerService/managedClusters/{cluster.name}"
    )


def cluster_body(cluster: Cluster) -> dict[str, Any]:
    return {
        "id": _cluster_id(cluster),
        "name": cluster.name,
        "type": "Microsoft.ContainerService/ManagedClusters",
        "location": cluster.location,
        "properties": {
            "provisioningState": "Succeeded",
            "powerState": {"code": cluster.power_state},
            "kubernetesVersion": cluster.kubernetes_version,
            "currentKubernetesVersion": cluster.kubernetes_version,
            "nodeResourceGroup": cluster.node_resource_group,
            "maxAgentPools": cluster.cloud.knobs.max_pools,
        },
    }


def pool_body(pool: Pool) -> dict[str, Any]:
    return _aks_pool_body(pool) if pool.cluster.kind == "aks" else _arc_pool_body(pool)


def _aks_pool_body(pool: Pool) -> dict[str, Any]:
    cluster = pool.cluster
    properties: dict[str, Any] = {
        "osType": "Linux",
        "osSKU": "Ubuntu",
        "osDiskSizeGB": 128,
        "osDiskType": "Managed",
        "mode": "User",
        "type": "VirtualMachineScaleSets",
        "maxPods": 110,
        "enableAutoScaling": False,
        "enableFIPS": False,
        "enableNodePublicIP": False,
        "orchestratorVersion": cluster.kubernetes_version,
        "currentOrchestratorVersion": cluster.kubernetes_version,
        "nodeImageVersion": "AKSUbuntu-2204gen2containerd-202511.01.0",
        "upgradeSettings": {"maxSurge": "10%"},
        "kubeletDiskType": "OS",
        **pool.properties,
        "count": pool.count,
        "eTag": pool.etag,
        "provisioningState": pool.state,
        "powerState": {"code": cluster.power_state},
    }
    if pool.tags:
        properties["tags"] = pool.tags
    if pool.error is not None:
        properties["status"] = {"provisioningError": pool.error.inner()}
    return {
        "id": f"{_cluster_id(cluster)}/agentPools/{pool.name}",
        "name": pool.name,
        "type": "Microsoft.ContainerService/managedClusters/agentPools",
        "properties": properties,
    }


def _arc_pool_body(pool: Pool) -> dict[str, Any]:
    cluster = pool.cluster
    status: dict[str, Any] = {"currentState": pool.state}
    if pool.error is not None:
        status["errorMessage"] = "; ".join(
            f"{one['code']}: {one['message']}" for one in (pool.error.inner(), *pool.error.details)
        )
    return {
        "id": (
            f"/subscriptions/{cluster.subscription}/resourceGroups/{cluster.resource_group}"
            f"/providers/Microsoft.Kubernetes/connectedClusters/{cluster.name}/providers/Microsoft."
            f"HybridContainerService/provisionedClusterInstances/default/agentPools/{pool.name}"
        ),
        "name": pool.name,
        "type": "Microsoft.HybridContainerService/provisionedClusterInstances/agentPools",
        "tags": pool.tags,
        **pool.extra,
        "properties": {
            "osType": "Linux",
            "osSKU": "CBLMariner",
            "maxPods": 110,
            **pool.properties,
            "count": pool.count,
            "kubernetesVersion": cluster.kubernetes_version,
            "provisioningState": pool.state,
            "status": status,
        },
    }
