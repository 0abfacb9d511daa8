"""The environment becomes settings, or an error that a person can act on."""

from __future__ import annotations

from pathlib import Path

import pytest

from worker.settings import BadSetting, LogFormat, Role, load


def test_an_empty_environment_gives_a_worker_that_does_everything_on_this_machine() -> None:
    settings = load({})
    assert settings.roles == frozenset(Role)
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


def test_one_namespace_to_watch_reaches_the_activities_too() -> None:
    settings = load({"KAITO_WATCH_NAMESPACE": "team-a"})
    assert settings.kubernetes.watch_namespace == "team-a"
    assert settings.activities.watch_namespace == "team-a"


def test_roles_are_a_list() -> None:
    assert load({"KAITO_ROLES": " watcher, workflows"}).roles == {Role.WATCHER, Role.WORKFLOWS}


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
