"""What an operator may set, and the only place that reads the environment.

Temporal is found by Temporal's own variables and profile file (`TEMPORAL_ADDRESS`, …), Kubernetes
by KUBECONFIG or the pod's account; everything of ours begins with `KAITO_`.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, TypeVar
from urllib.parse import urlsplit

from temporalio.envconfig import ClientConfig, ClientConnectConfig

from activities.context import PROVISIONERS, ActivitySettings
from planner.world import PlatformSettings

MAX_PORT: Final = 65535
DEFAULT_TEMPORAL_ADDRESS: Final = "localhost:7233"
_NAMESPACE_PATTERN: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


class BadSetting(Exception):
    """A variable holds what can't be used; the message names it and the remedy."""


class Role(StrEnum):
    """What a process does; one process may do everything."""

    WORKFLOWS = "workflows"
    ACTIVITIES = "activities"
    WATCHER = "watcher"


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
class Settings:
    """Everything; built once at start and passed down."""

    roles: frozenset[Role] = frozenset(Role)
    """KAITO_ROLES: comma-separated; default: all three."""
    identity: str = ""
    """Who holds the lease: host name and process id."""
    kubernetes: KubernetesSettings = KubernetesSettings()
    temporal: TemporalSettings = field(default_factory=TemporalSettings)
    telemetry: TelemetrySettings = TelemetrySettings()
    activities: ActivitySettings = field(default_factory=ActivitySettings)
    """KAITO_PROVISIONER (byo), KAITO_ONEBOX_ENDPOINT, KAITO_IMAGE_REGISTRY (ghcr.io),
    KAITO_REGISTRY_PLAIN_HTTP (false), KAITO_ENDPOINT_BASE_URL (only for simulated pods)."""


def load(environment: Mapping[str, str] | None = None) -> Settings:
    """Return the settings that the environment (this process's by default) asks for.

    Raises:
        BadSetting: naming the variable, its value and what would be right.
    """
    reader = _Reader(os.environ if environment is None else environment)
    watch_namespace = reader.namespace("KAITO_WATCH_NAMESPACE", "")
    return Settings(
        roles=reader.roles("KAITO_ROLES"),
        identity=f"{socket.gethostname()}-{os.getpid()}",
        kubernetes=KubernetesSettings(
            kubeconfig=reader.text("KUBECONFIG", "") or None,
            watch_namespace=watch_namespace,
            lease_namespace=reader.namespace("KAITO_LEASE_NAMESPACE", "kaito-system"),
        ),
        temporal=_temporal(reader),
        telemetry=TelemetrySettings(
            log_level=reader.choice("KAITO_LOG_LEVEL", LogLevel, LogLevel.INFO),
            log_format=reader.choice("KAITO_LOG_FORMAT", LogFormat, LogFormat.JSON),
            http_host=reader.text("KAITO_HTTP_HOST", TelemetrySettings.http_host),
            http_port=reader.number("KAITO_HTTP_PORT", 8090, minimum=0, maximum=MAX_PORT),
        ),
        activities=_activities(reader, watch_namespace),
    )


def _temporal(reader: _Reader) -> TemporalSettings:
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


def _activities(reader: _Reader, watch_namespace: str) -> ActivitySettings:
    provisioner = reader.text("KAITO_PROVISIONER", "byo")
    if provisioner not in PROVISIONERS:
        raise BadSetting(
            f"KAITO_PROVISIONER is {provisioner!r}; set it to one of {', '.join(PROVISIONERS)}"
        )
    onebox_endpoint = reader.url("KAITO_ONEBOX_ENDPOINT")
    if provisioner == "onebox" and not onebox_endpoint:
        raise BadSetting(
            "KAITO_PROVISIONER is 'onebox' and KAITO_ONEBOX_ENDPOINT is not set; set it to the "
            "node agent's address, such as http://127.0.0.1:7070"
        )
    return ActivitySettings(
        platform=PlatformSettings(
            provisioner=provisioner,
            image_registry=reader.text("KAITO_IMAGE_REGISTRY", PlatformSettings.image_registry),
            registry_plain_http=reader.flag("KAITO_REGISTRY_PLAIN_HTTP"),
        ),
        onebox_endpoint=onebox_endpoint,
        endpoint_base_url=reader.url("KAITO_ENDPOINT_BASE_URL"),
        watch_namespace=watch_namespace,
    )


_Choice = TypeVar("_Choice", bound=StrEnum)


@dataclass(frozen=True)
class _Reader:
    """Reads one variable at a time; an empty value counts as not set."""

    environment: Mapping[str, str]

    def text(self, name: str, default: str) -> str:
        return self.environment.get(name, "").strip() or default

    def number(self, name: str, default: int, *, minimum: int, maximum: int = 10**6) -> int:
        text = self.text(name, str(default))
        try:
            value = int(text)
        except ValueError:
            value = minimum - 1
        if not minimum <= value <= maximum:
            raise BadSetting(
                f"{name} is {text!r}; set it to a whole number from {minimum} to {maximum}"
            )
        return value

    def flag(self, name: str) -> bool:
        text = self.text(name, "false").lower()
        if text not in {"true", "false", "1", "0"}:
            raise BadSetting(f"{name} is {text!r}; set it to true or false")
        return text in {"true", "1"}

    def choice(self, name: str, options: type[_Choice], default: _Choice) -> _Choice:
        text = self.text(name, default.value).lower()
        if text not in set(options):
            raise BadSetting(f"{name} is {text!r}; set it to one of {', '.join(options)}")
        return options(text)

    def roles(self, name: str) -> frozenset[Role]:
        text = self.text(name, ",".join(Role))
        parts = {part.strip() for part in text.split(",")} - {""}
        if not parts or not parts <= set(Role):
            raise BadSetting(
                f"{name} is {text!r}; set it to a comma-separated list of {', '.join(Role)}"
            )
        return frozenset(Role(part) for part in parts)

    def url(self, name: str) -> str:
        text = self.text(name, "")
        if text:
            parts = urlsplit(text)
            if parts.scheme not in {"http", "https"} or not parts.netloc:
                raise BadSetting(f"{name} is {text!r}; set it to a URL such as http://host:port")
        return text.rstrip("/")

    def namespace(self, name: str, default: str) -> str:
        text = self.text(name, default)
        if text and not _NAMESPACE_PATTERN.fullmatch(text):
            raise BadSetting(f"{name} is {text!r}; set it to the name of a Kubernetes namespace")
        return text
