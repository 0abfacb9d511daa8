"""What every activity of one worker process shares: connections, informers, catalogue, settings."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from activities.clients.hugging_face import HuggingFaceClient
from activities.clients.image_registry import ImageRegistryClient
from activities.clients.informer import Informer
from activities.clients.kubernetes import (
    CONFIG_MAPS,
    NODE_CLAIMS,
    NODES,
    PODS,
    SERVICES,
    STATEFUL_SETS,
    WORKSPACES,
    KubernetesClient,
)
from activities.clients.model_endpoint import ModelEndpointClient
from activities.clients.onebox_agent import OneboxAgentClient
from activities.provisioners import ByoProvisioner, OneboxProvisioner, Provisioner
from activities.provisioners.azure_settings import AzureSettings
from activities.provisioners.karpenter import KarpenterProvisioner
from api import names
from api.errors import ClusterUnavailable
from api.preset import Catalogue
from planner.render.node_class import NodeClass
from planner.world import PlatformSettings

SYNC_TIMEOUT_SECONDS: Final = 30.0
"""30 s for the first lists: a cluster of thousands of pods takes a few (a guess)."""

MAX_CACHED_REVISIONS: Final = 2000
"""About 2 KiB each; more operations than that are not under way in one worker at a time."""

MAX_CACHED_CONFIG_CHARACTERS: Final = 65536
"""64 KiB: a revision with a longer text of `inference.config` is read anew for each step, so that
a thousand of them can't fill the memory."""

PROVISIONERS: Final = ("byo", "onebox", "aks", "aks-arc", "karpenter")


@dataclass(frozen=True)
class ActivitySettings:
    """Plain values that `worker/settings.py` read."""

    platform: PlatformSettings = field(default_factory=PlatformSettings)
    onebox_endpoint: str = ""
    """Base URL of onebox's node agent."""
    azure: AzureSettings | None = None
    """For aks and aks-arc: which cluster, and as whom."""
    node_class: NodeClass = field(default_factory=NodeClass)
    """For karpenter: what its claims name."""
    endpoint_base_url: str = ""
    """Ask this base URL instead of the pods' own addresses. For tests whose pods are simulated."""
    watch_namespace: str = ""
    """Only Workspaces of this namespace; empty for all."""
    hub_cache: str = ""
    """Folder of descriptions of models (`activities/clients/hub_cache.py`); empty for none."""
    hub_offline: bool = False
    """Ask only that folder, and never the hub."""


class Informers:
    """One informer a kind, shared by all activities and the watcher of this process."""

    def __init__(self, cluster: KubernetesClient, namespace: str) -> None:
        """Describe them; `start` begins."""
        uid = names.LABEL_WORKSPACE_UID
        ours = {names.LABEL_MANAGED_BY: names.MANAGED_BY}
        self.workspaces = Informer(cluster, WORKSPACES, namespace=namespace)
        self.node_claims = Informer(cluster, NODE_CLAIMS, index_label=uid)
        self.nodes = Informer(cluster, NODES, index_label=uid)
        # All pods, not only ours: a node's free GPUs depend on everybody's.
        self.pods = Informer(cluster, PODS, index_label=uid)
        self.stateful_sets = Informer(
            cluster, STATEFUL_SETS, namespace=namespace, labels=ours, index_label=uid
        )
        self.services = Informer(
            cluster, SERVICES, namespace=namespace, labels=ours, index_label=uid
        )
        # Everybody's ConfigMaps may be many and large; that one changed is all there is to know.
        self.config_maps = Informer(cluster, CONFIG_MAPS, namespace=namespace, metadata_only=True)
        self.all = (
            self.workspaces,
            self.node_claims,
            self.nodes,
            self.pods,
            self.stateful_sets,
            self.services,
            self.config_maps,
        )

    def start(self) -> None:
        """Begin to follow every kind."""
        for informer in self.all:
            informer.start()

    async def wait_synced(self) -> None:
        """Wait for the first list of each kind.

        Raises:
            ClusterUnavailable: naming the kind that did not arrive.
        """
        for informer in self.all:
            try:
                await informer.wait_synced(SYNC_TIMEOUT_SECONDS)
            except TimeoutError as error:
                raise ClusterUnavailable(
                    f"no list of {informer.kind.plural} within {SYNC_TIMEOUT_SECONDS:.0f} s; are "
                    "the CRDs installed, and may this account list them?"
                ) from error

    async def stop(self) -> None:
        """End every task."""
        for informer in self.all:
            await informer.stop()


class RevisionCache:
    """What recorded revisions hold, the newest kept.

    A recorded revision never changes, and each step of an operation renders from it.
    """

    def __init__(self) -> None:
        """Begin empty."""
        self._records: OrderedDict[tuple[str, str], dict[str, Any]] = OrderedDict()

    def get(self, key: tuple[str, str]) -> dict[str, Any] | None:
        """Return the data of (Workspace uid, revision)."""
        return self._records.get(key)

    def put(self, key: tuple[str, str], data: dict[str, Any]) -> None:
        """Keep the data of a revision; the oldest makes room."""
        if len(data.get("config") or "") > MAX_CACHED_CONFIG_CHARACTERS:
            return
        self._records[key] = data
        while len(self._records) > MAX_CACHED_REVISIONS:
            self._records.popitem(last=False)


@dataclass(frozen=True)
class ActivityContext:
    """Handed to every activity."""

    cluster: KubernetesClient
    settings: ActivitySettings
    catalogue: Catalogue
    informers: Informers
    provisioner: Provisioner
    model_endpoint: ModelEndpointClient
    hub: HuggingFaceClient
    image_registry: ImageRegistryClient
    revisions: RevisionCache = field(default_factory=RevisionCache)


def make_provisioner(settings: ActivitySettings, cluster: KubernetesClient) -> Provisioner:
    """Return the provisioner that the settings name.

    Args:
        settings: Of the platform.
        cluster: Where Karpenter serves, if it is to.

    Raises:
        ValueError: an unknown name, or a missing endpoint.
    """
    match settings.platform.provisioner:
        case "aks" | "aks-arc" if settings.azure is not None:
            from activities.provisioners import azure_connection

            if settings.platform.provisioner == "aks":
                return azure_connection.connect_aks(settings.azure)
            return azure_connection.connect_aks_arc(settings.azure)
        case "aks" | "aks-arc":
            raise ValueError(
                f"provisioner {settings.platform.provisioner} needs a cluster; set "
                "KAITO_AZURE_SUBSCRIPTION, KAITO_AZURE_RESOURCE_GROUP and KAITO_AZURE_CLUSTER"
            )
        case "karpenter":
            return KarpenterProvisioner(cluster, settings.node_class)
        case "byo":
            return ByoProvisioner()
        case "onebox":
            if not settings.onebox_endpoint:
                raise ValueError(
                    "provisioner onebox needs its agent's address; set KAITO_ONEBOX_ENDPOINT"
                )
            return OneboxProvisioner(OneboxAgentClient(settings.onebox_endpoint))
    raise ValueError(
        f"unknown provisioner {settings.platform.provisioner!r}; set KAITO_PROVISIONER to one of "
        f"{', '.join(PROVISIONERS)}"
    )


@asynccontextmanager
async def open_context(
    settings: ActivitySettings, cluster: KubernetesClient, catalogue: Catalogue
) -> AsyncIterator[ActivityContext]:
    """Start the informers, wait for their first lists, and close everything at the end."""
    async with AsyncExitStack() as stack:
        provisioner = make_provisioner(settings, cluster)
        stack.push_async_callback(provisioner.close)
        model_endpoint = ModelEndpointClient()
        stack.push_async_callback(model_endpoint.close)
        hub = HuggingFaceClient(
            settings.platform.hub_endpoint,
            cache_folder=settings.hub_cache,
            is_offline=settings.hub_offline,
        )
        stack.push_async_callback(hub.close)
        image_registry = ImageRegistryClient(
            settings.platform.image_registry,
            is_plain_http=settings.platform.registry_plain_http,
        )
        stack.push_async_callback(image_registry.close)
        informers = Informers(cluster, settings.watch_namespace)
        informers.start()
        stack.push_async_callback(informers.stop)
        await informers.wait_synced()
        yield ActivityContext(
            cluster=cluster,
            settings=settings,
            catalogue=catalogue,
            informers=informers,
            provisioner=provisioner,
            model_endpoint=model_endpoint,
            hub=hub,
            image_registry=image_registry,
        )
