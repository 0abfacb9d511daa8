"""The environment becomes settings, or an error that a person can act on."""

from __future__ import annotations

from pathlib import Path

import pytest

from activities.context import ActivitySettings
from activities.provisioners.azure_settings import AzureSettings
from planner.world import PlatformSettings
from worker.settings import BadSetting, LogFormat, Role, WebhookSettings, load


def test_an_empty_environment_gives_a_worker_that_does_everything_on_this_machine() -> None:
    settings = load({})
    assert settings.roles == {Role.WORKFLOWS, Role.ACTIVITIES, Role.WATCHER}
    assert settings.needs_temporal
    assert settings.temporal.address == "localhost:7233"
    assert settings.temporal.namespace == "default"
    assert settings.kubernetes.kubeconfig is None
    assert settings.kubernetes.lease_namespace == "kaito-system"
    assert settings.activities.platform.provisioner == "byo"
    assert settings.telemetry.http_port == 8090
    assert not settings.temporal.is_versioned


def test_temporal_is_found_by_its_own_variables() -> None:
    settings = load({"TEMPORAL_ADDRESS": "temporal.example:7233", "TEMPORAL_NAMESPACE": "gpu"})
    assert settings.temporal.address == "temporal.example:7233"
    assert settings.temporal.namespace == "gpu"


def test_temporal_is_found_by_its_profile_file(tmp_path: Path) -> None:
    profile = tmp_path / "temporal.toml"
    profile.write_text('[profile.default]\naddress = "from-file:7233"\nnamespace = "blue"\n')
    settings = load({"TEMPORAL_CONFIG_FILE": str(profile)})
    assert settings.temporal.address == "from-file:7233"
    assert settings.temporal.namespace == "blue"


def test_a_broken_profile_file_is_named(tmp_path: Path) -> None:
    profile = tmp_path / "temporal.toml"
    profile.write_text("[profile")
    with pytest.raises(BadSetting, match="TEMPORAL_CONFIG_FILE"):
        load({"TEMPORAL_CONFIG_FILE": str(profile)})


def test_onebox_gets_everything_that_it_sets() -> None:
    settings = load(
        {
            "KUBECONFIG": "/run/kubeconfig",
            "KAITO_PROVISIONER": "onebox",
            "KAITO_ONEBOX_ENDPOINT": "http://127.0.0.1:7070/",
            "KAITO_IMAGE_REGISTRY": "10.89.0.1:5000",
            "KAITO_REGISTRY_PLAIN_HTTP": "true",
            "KAITO_HTTP_PORT": "9000",
            "KAITO_LOG_FORMAT": "console",
        }
    )
    assert settings.kubernetes.kubeconfig == "/run/kubeconfig"
    assert settings.activities.platform.provisioner == "onebox"
    assert settings.activities.onebox_endpoint == "http://127.0.0.1:7070"
    assert settings.activities.platform.image_registry == "10.89.0.1:5000"
    assert settings.activities.platform.registry_plain_http is True
    assert settings.telemetry.http_port == 9000
    assert settings.telemetry.log_format is LogFormat.CONSOLE


def test_the_platforms_own_choices_reach_the_planner() -> None:
    platform = load(
        {"KAITO_DEFAULT_INSTANCE_TYPE": "p4d.24xlarge", "KAITO_MAX_NODES_PER_INSTANCE": "4"}
    ).activities.platform
    assert platform.default_instance_type == "p4d.24xlarge"
    assert platform.max_nodes_per_instance == 4
    assert load({}).activities.platform == PlatformSettings()


def test_the_model_hub_is_the_public_one_unless_it_is_set() -> None:
    assert load({}).activities == ActivitySettings()
    settings = load(
        {
            "KAITO_HUB_ENDPOINT": "https://hub.example/",
            "KAITO_HUB_CACHE": "/hub",
            "KAITO_HUB_OFFLINE": "true",
        }
    )
    assert settings.activities.platform.hub_endpoint == "https://hub.example"
    assert settings.activities.hub_cache == "/hub"
    assert settings.activities.hub_offline is True


def test_one_namespace_to_watch_reaches_the_activities_too() -> None:
    settings = load({"KAITO_WATCH_NAMESPACE": "team-a"})
    assert settings.kubernetes.watch_namespace == "team-a"
    assert settings.activities.watch_namespace == "team-a"


def test_roles_are_a_list() -> None:
    assert load({"KAITO_ROLES": " watcher, workflows"}).roles == {Role.WATCHER, Role.WORKFLOWS}


def test_the_webhook_is_there_only_when_it_is_asked_for_and_alone_needs_no_temporal() -> None:
    alone = load({"KAITO_ROLES": "webhook"})
    assert alone.roles == {Role.WEBHOOK}
    assert not alone.needs_temporal
    assert load({"KAITO_ROLES": "webhook,watcher"}).needs_temporal


def test_the_webhook_is_a_service_of_the_platforms_namespace() -> None:
    assert load({}).webhook == WebhookSettings(
        host="0.0.0.0",  # noqa: S104 - the default that is claimed
        port=9443,
        namespace="kaito-system",
        service="kaito-webhook",
        url="",
        certificate_folder="",
    )
    assert load({"KAITO_LEASE_NAMESPACE": "gpu"}).webhook.namespace == "gpu"


def test_the_webhook_gets_everything_that_is_set() -> None:
    settings = load(
        {
            "KAITO_WEBHOOK_HOST": "127.0.0.1",
            "KAITO_WEBHOOK_PORT": "9444",
            "KAITO_WEBHOOK_NAMESPACE": "platform",
            "KAITO_WEBHOOK_SERVICE": "judge",
            "KAITO_WEBHOOK_URL": "https://127.0.0.1:9444/",
            "KAITO_WEBHOOK_CERTIFICATE_DIR": "/certificate",
        }
    )
    assert settings.webhook == WebhookSettings(
        host="127.0.0.1",
        port=9444,
        namespace="platform",
        service="judge",
        url="https://127.0.0.1:9444",
        certificate_folder="/certificate",
    )


def test_an_empty_value_counts_as_not_set() -> None:
    assert load({"KAITO_HTTP_PORT": "", "KAITO_ROLES": " "}).telemetry.http_port == 8090


@pytest.mark.parametrize(
    ("deployment", "build"),
    [
        ("KAITO_DEPLOYMENT_NAME", "KAITO_BUILD_ID"),
        ("TEMPORAL_DEPLOYMENT_NAME", "TEMPORAL_WORKER_BUILD_ID"),
    ],
)
def test_deployment_and_build_make_a_versioned_worker(deployment: str, build: str) -> None:
    settings = load({deployment: "kaito", build: "v2"})
    assert settings.temporal.is_versioned
    assert (settings.temporal.deployment_name, settings.temporal.build_id) == ("kaito", "v2")


@pytest.mark.parametrize(
    ("variable", "value", "remedy"),
    [
        ("KAITO_ROLES", "workflows,cook", "workflows, activities, watcher"),
        ("KAITO_ROLES", ",", "workflows, activities, watcher"),
        ("KAITO_PROVISIONER", "gcp", "byo, onebox"),
        ("KAITO_HTTP_PORT", "eighty", "whole number from 0 to 65535"),
        ("KAITO_HTTP_PORT", "70000", "whole number from 0 to 65535"),
        ("KAITO_LOG_LEVEL", "loud", "debug, info, warning, error"),
        ("KAITO_LOG_FORMAT", "xml", "json, console"),
        ("KAITO_REGISTRY_PLAIN_HTTP", "maybe", "true or false"),
        ("KAITO_ENDPOINT_BASE_URL", "localhost:80", "http://host:port"),
        ("KAITO_LEASE_NAMESPACE", "Kaito_System", "name of a Kubernetes namespace"),
        ("KAITO_WATCH_NAMESPACE", "a b", "name of a Kubernetes namespace"),
        ("KAITO_MAX_CACHED_WORKFLOWS", "0", "whole number from 1"),
        ("KAITO_MAX_NODES_PER_INSTANCE", "0", "whole number from 1"),
        ("KAITO_HUB_ENDPOINT", "huggingface.co", "http://host:port"),
        ("KAITO_HUB_OFFLINE", "perhaps", "true or false"),
        ("KAITO_WEBHOOK_PORT", "-1", "whole number from 0 to 65535"),
        ("KAITO_WEBHOOK_NAMESPACE", "a.b", "name of a Kubernetes namespace"),
        ("KAITO_WEBHOOK_SERVICE", "a/b", "name of a Kubernetes Service"),
        ("KAITO_WEBHOOK_URL", "http://host:9443", "https://host:port"),
        ("KAITO_WEBHOOK_URL", "https://höst:9443", "https://host:port"),
        ("KAITO_WEBHOOK_URL", "https://host:many", "https://host:port"),
        ("KAITO_WEBHOOK_URL", "https://host:9443/?a=b", "https://host:port"),
    ],
)
def test_a_bad_value_names_its_variable_and_the_remedy(
    variable: str, value: str, remedy: str
) -> None:
    with pytest.raises(BadSetting) as refused:
        load({variable: value})
    assert variable in str(refused.value)
    assert remedy in str(refused.value)


def test_onebox_without_its_agent_is_refused() -> None:
    with pytest.raises(BadSetting, match="KAITO_ONEBOX_ENDPOINT"):
        load({"KAITO_PROVISIONER": "onebox"})


@pytest.mark.parametrize("variable", ["KAITO_BUILD_ID", "KAITO_DEPLOYMENT_NAME"])
def test_half_a_version_is_refused(variable: str) -> None:
    with pytest.raises(BadSetting, match="both or neither"):
        load({variable: "x"})


AZURE = {
    "KAITO_AZURE_SUBSCRIPTION": "0000",
    "KAITO_AZURE_RESOURCE_GROUP": "group",
    "KAITO_AZURE_CLUSTER": "cluster",
}


@pytest.mark.parametrize("provisioner", ["aks", "aks-arc"])
def test_agent_pools_are_those_of_one_cluster(provisioner: str) -> None:
    activities = load({**AZURE, "KAITO_PROVISIONER": provisioner}).activities
    assert activities.azure == AzureSettings("0000", "group", "cluster")
    assert activities.azure.endpoint == "https://management.azure.com"
    assert not activities.azure.has_workload_identity
    assert activities.platform.provisioner == provisioner
    assert activities.platform.node_class_kind == "AgentPoolNodeClass"


def test_a_pods_own_identity_is_taken_by_the_names_that_aks_gives_it() -> None:
    azure = load(
        {
            **AZURE,
            "KAITO_PROVISIONER": "aks",
            "KAITO_AZURE_LOCATION": "eastus",
            "AZURE_TENANT_ID": "tenant",
            "AZURE_CLIENT_ID": "client",
            "AZURE_FEDERATED_TOKEN_FILE": "/token",
            "AZURE_AUTHORITY_HOST": "https://login.microsoftonline.us",
        }
    ).activities.azure
    assert azure is not None
    assert azure.has_workload_identity
    assert azure.authority == "https://login.microsoftonline.us"
    assert azure.location == "eastus"


@pytest.mark.parametrize("missing", AZURE)
def test_half_an_azure_cluster_is_refused_with_what_is_missing(missing: str) -> None:
    rest = {name: value for name, value in AZURE.items() if name != missing}
    with pytest.raises(BadSetting, match=f"{missing} is not set"):
        load({**rest, "KAITO_PROVISIONER": "aks"})


def test_a_token_goes_unencrypted_to_an_emulator_on_this_machine_only() -> None:
    settings = {**AZURE, "KAITO_PROVISIONER": "aks"}
    near = load({**settings, "KAITO_AZURE_ENDPOINT": "http://127.0.0.1:8080"})
    assert near.activities.azure is not None
    with pytest.raises(BadSetting, match="KAITO_AZURE_ENDPOINT"):
        load({**settings, "KAITO_AZURE_ENDPOINT": "http://arm.example"})


def test_claims_of_karpenter_name_its_node_class() -> None:
    platform = load({"KAITO_PROVISIONER": "karpenter"}).activities.platform
    assert (platform.node_class_group, platform.node_class_kind, platform.node_class_name) == (
        "karpenter.azure.com",
        "AKSNodeClass",
        "default",
    )
    settings = load(
        {
            "KAITO_PROVISIONER": "karpenter",
            "KAITO_NODE_CLASS_KIND": "EC2NodeClass",
            "KAITO_NODE_CLASS_NAME": "gpu",
            "KAITO_NODE_CLASS_CREATE": "true",
            "KAITO_NODE_CLASS_CLUSTER": "prod",
            "KAITO_NODE_CLASS_TAGS": "team=ml, cost-center = 12,empty=",
            "KAITO_NODE_CLASS_REGION": "us-east-1",
        }
    ).activities
    assert settings.platform.node_class_group == "karpenter.k8s.aws"
    assert settings.node_class.name == "gpu"
    assert settings.node_class.cluster_name == "prod"
    assert settings.node_class.tags == {"team": "ml", "cost-center": "12", "empty": ""}
    assert settings.platform.region == "us-east-1"


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"KAITO_NODE_CLASS_KIND": "GcpNodeClass"}, "KAITO_NODE_CLASS_GROUP"),
        ({"KAITO_NODE_CLASS_TAGS": "team"}, "KAITO_NODE_CLASS_TAGS is 'team'; set it to tags"),
        ({"KAITO_NODE_CLASS_TAGS": "a=1,a=2"}, "each key once"),
        (
            {"KAITO_NODE_CLASS_KIND": "EC2NodeClass", "KAITO_NODE_CLASS_CREATE": "true"},
            "finds its subnets by the cluster's name",
        ),
    ],
)
def test_a_node_class_that_can_not_be_is_refused(environment: dict[str, str], words: str) -> None:
    with pytest.raises(BadSetting, match=words):
        load({"KAITO_PROVISIONER": "karpenter", **environment})
