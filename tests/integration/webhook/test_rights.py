"""The account of the webhook: what it needs, and what happens where it has less."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml

from activities.clients.kubernetes import SECRETS, Kind, KubernetesClient
from tests.harness.cluster import Cluster
from tests.integration.webhook.conftest import StartReplica, until_asked
from worker.webhook.registration import CONFIGURATION_NAME, CONFIGURATIONS
from worker.webhook.sources import SECRET_NAME

pytestmark = pytest.mark.integration

RBAC = "rbac.authorization.k8s.io"
ROLES = Kind(RBAC, "v1", "roles", "Role")
ROLE_BINDINGS = Kind(RBAC, "v1", "rolebindings", "RoleBinding")
CLUSTER_ROLES = Kind(RBAC, "v1", "clusterroles", "ClusterRole", is_namespaced=False)
CLUSTER_ROLE_BINDINGS = Kind(
    RBAC, "v1", "clusterrolebindings", "ClusterRoleBinding", is_namespaced=False
)
SERVICE_ACCOUNTS = Kind("", "v1", "serviceaccounts", "ServiceAccount")


def rule(group: str, resource: str, name: str, *verbs: str) -> dict[str, Any]:
    names = {"resourceNames": [name]} if name else {}
    return {"apiGroups": [group], "resources": [resource], "verbs": list(verbs), **names}


# Creating can't be limited to a name: the API server does not know it yet when it asks.
IN_NAMESPACE = [
    rule("", "secrets", SECRET_NAME, "get", "update"),
    rule("", "secrets", "", "create"),
]
REGISTERS = [
    rule(CONFIGURATIONS.group, CONFIGURATIONS.plural, CONFIGURATION_NAME, "get", "update"),
    rule(CONFIGURATIONS.group, CONFIGURATIONS.plural, "", "create"),
]
ONLY_READS = [rule(CONFIGURATIONS.group, CONFIGURATIONS.plural, CONFIGURATION_NAME, "get")]

Rules = Sequence[Mapping[str, Any]]
MakeAccount = Callable[[Rules, Rules], Awaitable[KubernetesClient]]


@pytest_asyncio.fixture
async def account(
    kube: KubernetesClient, cluster: Cluster, namespace: str, tmp_path: Path
) -> AsyncIterator[MakeAccount]:
    """Return the way to become a service account with these rules, in the namespace and beyond."""
    async with AsyncExitStack() as stack:

        async def make(in_namespace: Rules, beyond: Rules) -> KubernetesClient:
            metadata = {"metadata": {"name": namespace}}
            subject = {"kind": "ServiceAccount", "name": namespace, "namespace": namespace}
            await kube.create(SERVICE_ACCOUNTS, metadata, namespace)
            for roles, bindings, rules, scope in (
                (ROLES, ROLE_BINDINGS, in_namespace, namespace),
                (CLUSTER_ROLES, CLUSTER_ROLE_BINDINGS, beyond, ""),
            ):
                reference = {"apiGroup": RBAC, "kind": roles.kind, "name": namespace}
                await kube.create(roles, {**metadata, "rules": list(rules)}, scope)
                binding = {**metadata, "roleRef": reference, "subjects": [subject]}
                await kube.create(bindings, binding, scope)
                if not scope:
                    stack.push_async_callback(kube.delete, bindings, namespace)
                    stack.push_async_callback(kube.delete, roles, namespace)
            token = await kube._request(
                "POST",
                SERVICE_ACCOUNTS.path(namespace, namespace, "token"),
                "create",
                "token",
                body={"spec": {"audiences": None, "expirationSeconds": 600}},
            )
            content = yaml.safe_load(cluster.kubeconfig.read_text())
            content["users"][0]["user"] = {"token": token["status"]["token"]}
            kubeconfig = tmp_path / "kubeconfig"
            kubeconfig.write_text(yaml.safe_dump(content))
            client: KubernetesClient = await stack.enter_async_context(
                KubernetesClient.connect(str(kubeconfig))
            )
            return client

        yield make


async def test_four_rules_are_enough(
    replicas: StartReplica, kube: KubernetesClient, account: MakeAccount, namespace: str
) -> None:
    replica = replicas(account=await account(IN_NAMESPACE, REGISTERS))
    await replica.until_in_force()
    await until_asked(kube, namespace)
    # What is there already is corrected by the same account.
    broken = {"webhooks": None}
    await kube.merge_patch(CONFIGURATIONS, CONFIGURATION_NAME, broken)
    await until_asked(kube, namespace)


async def test_without_the_right_to_register_it_serves_and_says_why_nobody_asks(
    replicas: StartReplica, account: MakeAccount, kube: KubernetesClient, namespace: str
) -> None:
    replica = replicas(account=await account(IN_NAMESPACE, []))
    await replica.until_it_complains("this account may not read the webhook's registration")
    (sentence,) = replica.webhook.complaints()
    assert "give it the chart's webhook role" in sentence
    assert replica.server.serving is not None
    assert not replica.task.done()
    await kube.merge_patch(CLUSTER_ROLES, namespace, {"rules": REGISTERS})
    await replica.until_in_force()


async def test_a_registration_that_somebody_else_keeps_right_need_only_be_read(
    replicas: StartReplica, account: MakeAccount, kube: KubernetesClient, namespace: str
) -> None:
    one = replicas()
    await one.until_in_force()
    reader = await account(IN_NAMESPACE, ONLY_READS)
    two = replicas(account=reader, called_at=one.port)
    await two.until_in_force()
    await one.stop()
    await kube.merge_patch(CONFIGURATIONS, CONFIGURATION_NAME, {"webhooks": None})
    await two.until_it_complains("this account may not write the webhook's registration")


async def test_without_the_right_to_its_secret_it_says_so_and_does_not_end(
    replicas: StartReplica, account: MakeAccount, kube: KubernetesClient, namespace: str
) -> None:
    replica = replicas(account=await account([], REGISTERS))
    await replica.until_it_complains(
        "this account may not keep the webhook's certificate in its Secret"
    )
    assert not replica.task.done()
    await kube.merge_patch(ROLES, namespace, {"rules": IN_NAMESPACE}, namespace)
    await replica.until_in_force()
    assert await kube.find(SECRETS, SECRET_NAME, namespace)


async def test_an_api_server_that_is_away_is_waited_for(
    replicas: StartReplica, cluster: Cluster, kube: KubernetesClient, namespace: str
) -> None:
    replica = replicas()
    await replica.until_in_force()
    await cluster.stop_apiserver()
    try:
        await replica.until_it_complains("can't read the webhook's registration")
        assert replica.server.serving is not None
    finally:
        await cluster.start_apiserver()
    await replica.until_in_force()
    await until_asked(kube, namespace)
