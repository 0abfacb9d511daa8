"""What an operator may set, and the only place that reads the environment.

Temporal is found by Temporal's own variables and profile file (`TEMPORAL_ADDRESS`, …), Kubernetes
by KUBECONFIG or the pod's account; everything of ours begins with `KAITO_`.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from temporalio.envconfig import ClientConfig, ClientConnectConfig

from activities.context import ActivitySettings
from planner.world import PlatformSettings
from worker.node_settings import read_node_settings
from worker.setting_reader import MAX_PORT, BadSetting, Reader

__all__ = [
    "DEFAULT_ROLES",
    "BadSetting",
    "KubernetesSettings",
    "LogFormat",
    "LogLevel",
    "Role",
    "Settings",
    "TelemetrySettings",
    "TemporalSettings",
    "WebhookSettings",
    "load",
]

DEFAULT_TEMPORAL_ADDRESS: Final = "localhost:7233"


class Role(StrEnum):
    """What a process does; one process may do everything."""

    WORKFLOWS = "workflows"
    ACTIVITIES = "activities"
    WATCHER = "watcher"
    WEBHOOK = "webhook"


DEFAULT_ROLES: Final = frozenset({Role.WORKFLOWS, Role.ACTIVITIES, Role.WATCHER})
"""Without the webhook, which changes what the API server accepts and so must be asked for."""


class LogFormat(StrEnum):
    """How a line of the log looks."""

    JSON = "json"
    CONSOLE = "console"


class LogLevel(StrEnum):
    """The least important line that is still written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True)
class KubernetesSettings:
    """Where the API server is and what to look at."""

    kubeconfig: str | None = None
    """KUBECONFIG: path of a file. Default: the pod's account, else ~/.kube/config."""
    watch_namespace: str = ""
    """KAITO_WATCH_NAMESPACE: only Workspaces of this namespace. Default: all of them."""
    lease_namespace: str = "kaito-system"
    """KAITO_LEASE_NAMESPACE: where the watchers elect their leader."""


@dataclass(frozen=True)
class TemporalSettings:
    """How to reach Temporal, and how much work one process takes at a time."""

    connect: ClientConnectConfig = field(default_factory=ClientConnectConfig)
    """From TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE, TEMPORAL_API_KEY, TEMPORAL_TLS_*, or the profile
    file. Default: localhost:7233, namespace default."""
    deployment_name: str = ""
    """KAITO_DEPLOYMENT_NAME, else TEMPORAL_DEPLOYMENT_NAME: set together with the build id for
    versioned workers. Default: unversioned."""
    build_id: str = ""
    """KAITO_BUILD_ID, else TEMPORAL_WORKER_BUILD_ID."""
    max_cached_workflows: int = 1000
    """KAITO_MAX_CACHED_WORKFLOWS: open workflows kept in memory, at about 120 KiB each; 20 % more
    than open workflows per worker avoids replays (facts, Temporal 4.4)."""
    max_wait_activities: int = 1000
    """KAITO_MAX_WAIT_ACTIVITIES: waits at a time. A wait is a sleeping coroutine; 1000 cost little,
    and each Workspace or NodeClaim in motion holds one."""

    @property
    def address(self) -> str:
        """Return host and port."""
        return self.connect.get("target_host", DEFAULT_TEMPORAL_ADDRESS)

    @property
    def namespace(self) -> str:
        """Return Temporal's namespace."""
        return self.connect.get("namespace", "default")

    @property
    def is_versioned(self) -> bool:
        """Whether workers announce a deployment version."""
        return bool(self.deployment_name)


@dataclass(frozen=True)
class TelemetrySettings:
    """What the process tells about itself."""

    log_level: LogLevel = LogLevel.INFO
    """KAITO_LOG_LEVEL: debug, info, warning or error."""
    log_format: LogFormat = LogFormat.JSON
    """KAITO_LOG_FORMAT: json for machines, console for people."""
    http_host: str = "0.0.0.0"  # noqa: S104 - kubelet and Prometheus ask from outside the pod
    """KAITO_HTTP_HOST: address of /healthz, /readyz and /metrics."""
    http_port: int = 8090
    """KAITO_HTTP_PORT: port of the same; 0 takes any free one."""


@dataclass(frozen=True)
class WebhookSettings:
    """How API servers reach the webhook, and where its certificate comes from."""

    host: str = "0.0.0.0"  # noqa: S104 - API servers call from outside the pod
    """KAITO_WEBHOOK_HOST: address that the webhook listens on."""
    port: int = 9443
    """KAITO_WEBHOOK_PORT: its port, upstream's; 0 takes any free one."""
    namespace: str = "kaito-system"
    """KAITO_WEBHOOK_NAMESPACE: where the Service and the certificate's Secret are. Default: that of
    KAITO_LEASE_NAMESPACE."""
    service: str = "kaito-webhook"
    """KAITO_WEBHOOK_SERVICE: Service by which API servers call the webhook, on its port 443."""
    url: str = ""
    """KAITO_WEBHOOK_URL: base URL that API servers call instead, such as https://127.0.0.1:9443,
    for a webhook that runs outside the cluster."""
    certificate_folder: str = ""
    """KAITO_WEBHOOK_CERTIFICATE_DIR: folder with tls.crt, tls.key and ca.crt that somebody else
    renews, such as cert-manager. Default: the platform makes its own, in a Secret."""


@dataclass(frozen=True)
class Settings:
    """Everything; built once at start and passed down."""

    roles: frozenset[Role] = DEFAULT_ROLES
    """KAITO_ROLES: comma-separated; default: all but webhook."""
    identity: str = ""
    """Who holds the lease: host name and process id."""
    kubernetes: KubernetesSettings = KubernetesSettings()
    temporal: TemporalSettings = field(default_factory=TemporalSettings)
    telemetry: TelemetrySettings = TelemetrySettings()
    activities: ActivitySettings = field(default_factory=ActivitySettings)
    """KAITO_PROVISIONER (byo) with what it needs (`worker/node_settings.py`),
    KAITO_DEFAULT_INSTANCE_TYPE (Standard_NC24ads_A100_v4),
    KAITO_MAX_NODES_PER_INSTANCE (8), KAITO_HUB_ENDPOINT (https://huggingface.co), KAITO_HUB_CACHE
    (a folder), KAITO_HUB_OFFLINE (false), KAITO_ONEBOX_ENDPOINT, KAITO_IMAGE_REGISTRY (ghcr.io),
    KAITO_REGISTRY_PLAIN_HTTP (false), KAITO_ENDPOINT_BASE_URL (only for simulated pods)."""
    webhook: WebhookSettings = WebhookSettings()

    @property
    def needs_temporal(self) -> bool:
        """Whether a role talks to Temporal."""
        return self.roles != {Role.WEBHOOK}


def load(environment: Mapping[str, str] | None = None) -> Settings:
    """Return the settings that the environment (this process's by default) asks for.

    Raises:
        BadSetting: naming the variable, its value and what would be right.
    """
    reader = Reader(os.environ if environment is None else environment)
    watch_namespace = reader.namespace("KAITO_WATCH_NAMESPACE", "")
    lease_namespace = reader.namespace("KAITO_LEASE_NAMESPACE", "kaito-system")
    return Settings(
        roles=_roles(reader, "KAITO_ROLES"),
        identity=f"{socket.gethostname()}-{os.getpid()}",
        kubernetes=KubernetesSettings(
            kubeconfig=reader.text("KUBECONFIG", "") or None,
            watch_namespace=watch_namespace,
            lease_namespace=lease_namespace,
        ),
        temporal=_temporal(reader),
        telemetry=TelemetrySettings(
            log_level=reader.choice("KAITO_LOG_LEVEL", LogLevel, LogLevel.INFO),
            log_format=reader.choice("KAITO_LOG_FORMAT", LogFormat, LogFormat.JSON),
            http_host=reader.text("KAITO_HTTP_HOST", TelemetrySettings.http_host),
            http_port=reader.number("KAITO_HTTP_PORT", 8090, minimum=0, maximum=MAX_PORT),
        ),
        activities=_activities(reader, watch_namespace),
        webhook=WebhookSettings(
            host=reader.text("KAITO_WEBHOOK_HOST", WebhookSettings.host),
            port=reader.number("KAITO_WEBHOOK_PORT", 9443, minimum=0, maximum=MAX_PORT),
            namespace=reader.namespace("KAITO_WEBHOOK_NAMESPACE", lease_namespace),
            service=reader.service("KAITO_WEBHOOK_SERVICE", WebhookSettings.service),
            url=reader.url("KAITO_WEBHOOK_URL", schemes=("https",)),
            certificate_folder=reader.text("KAITO_WEBHOOK_CERTIFICATE_DIR", ""),
        ),
    )


def _temporal(reader: Reader) -> TemporalSettings:
    try:
        connect = ClientConfig.load_client_connect_config(
            override_env_vars=dict(reader.environment)
        )
    except (RuntimeError, ValueError, OSError) as error:
        raise BadSetting(
            f"Temporal's client configuration can't be read: {error}; see TEMPORAL_ADDRESS, "
            "TEMPORAL_CONFIG_FILE and TEMPORAL_PROFILE"
        ) from error
    deployment_name = reader.text(
        "KAITO_DEPLOYMENT_NAME", reader.text("TEMPORAL_DEPLOYMENT_NAME", "")
    )
    build_id = reader.text("KAITO_BUILD_ID", reader.text("TEMPORAL_WORKER_BUILD_ID", ""))
    if bool(deployment_name) != bool(build_id):
        raise BadSetting(
            "a versioned worker needs both KAITO_DEPLOYMENT_NAME and KAITO_BUILD_ID (or "
            "TEMPORAL_DEPLOYMENT_NAME and TEMPORAL_WORKER_BUILD_ID); set both or neither"
        )
    return TemporalSettings(
        connect=connect,
        deployment_name=deployment_name,
        build_id=build_id,
        max_cached_workflows=reader.number("KAITO_MAX_CACHED_WORKFLOWS", 1000, minimum=1),
        max_wait_activities=reader.number("KAITO_MAX_WAIT_ACTIVITIES", 1000, minimum=1),
    )


def _activities(reader: Reader, watch_namespace: str) -> ActivitySettings:
    nodes = read_node_settings(reader)
    return ActivitySettings(
        platform=PlatformSettings(
            provisioner=nodes.provisioner,
            image_registry=reader.text("KAITO_IMAGE_REGISTRY", PlatformSettings.image_registry),
            registry_plain_http=reader.flag("KAITO_REGISTRY_PLAIN_HTTP"),
            hub_endpoint=reader.url("KAITO_HUB_ENDPOINT", PlatformSettings.hub_endpoint),
            default_instance_type=reader.text(
                "KAITO_DEFAULT_INSTANCE_TYPE", PlatformSettings.default_instance_type
            ),
            max_nodes_per_instance=reader.number(
                "KAITO_MAX_NODES_PER_INSTANCE", PlatformSettings.max_nodes_per_instance, minimum=1
            ),
            node_class_group=nodes.claims_group,
            node_class_kind=nodes.claims_kind,
            node_class_name=nodes.claims_name,
            region=nodes.region,
        ),
        onebox_endpoint=nodes.onebox_endpoint,
        azure=nodes.azure,
        node_class=nodes.node_class,
        endpoint_base_url=reader.url("KAITO_ENDPOINT_BASE_URL"),
        watch_namespace=watch_namespace,
        hub_cache=reader.text("KAITO_HUB_CACHE", ""),
        hub_offline=reader.flag("KAITO_HUB_OFFLINE"),
    )


def _roles(reader: Reader, name: str) -> frozenset[Role]:
    text = reader.text(name, ",".join(DEFAULT_ROLES))
    parts = {part.strip() for part in text.split(",")} - {""}
    if not parts or not parts <= set(Role):
        raise BadSetting(
            f"{name} is {text!r}; set it to a comma-separated list of {', '.join(Role)}"
        )
    return frozenset(Role(part) for part in parts)
