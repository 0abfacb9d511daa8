"""Where nodes come from: KAITO_PROVISIONER, and what each provisioner must be told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from activities.clients.azure.models import PUBLIC_CLOUD_URL, AzureEndpoint
from activities.context import PROVISIONERS
from activities.provisioners.azure_settings import AzureSettings
from api import names
from planner.claim_makers import NODE_CLASS_KIND_AGENT_POOL
from planner.render.node_class import AKS_GROUP, AKS_KIND, EC2_GROUP, EC2_KIND, NodeClass
from worker.setting_reader import BadSetting, Reader

AGENT_POOLS: Final = ("aks", "aks-arc")

GROUPS: Final[Mapping[str, str]] = {AKS_KIND: AKS_GROUP, EC2_KIND: EC2_GROUP}
"""API groups of Karpenter's node classes that are known by their kind."""


@dataclass(frozen=True)
class NodeSettings:
    """What was read."""

    provisioner: str = "byo"
    onebox_endpoint: str = ""
    azure: AzureSettings | None = None
    node_class: NodeClass = field(default_factory=NodeClass)
    claims_group: str = names.NODE_CLASS_GROUP
    """Node class that claims name: by it, whoever serves them knows its own."""
    claims_kind: str = names.NODE_CLASS_KIND_ONEBOX
    claims_name: str = "default"
    region: str = ""
    """Of new nodes, where an operator told it."""


def read_node_settings(reader: Reader) -> NodeSettings:
    """Return where nodes come from.

    Raises:
        BadSetting: the provisioner is unknown, or lacks what it needs.
    """
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
    if provisioner in AGENT_POOLS:
        return NodeSettings(
            provisioner,
            onebox_endpoint,
            azure=_azure(reader, provisioner),
            region=reader.text("KAITO_AZURE_LOCATION", ""),
            claims_kind=NODE_CLASS_KIND_AGENT_POOL,
        )
    if provisioner == "karpenter":
        node_class = _node_class(reader)
        return NodeSettings(
            provisioner,
            onebox_endpoint,
            node_class=node_class,
            claims_group=node_class.group,
            claims_kind=node_class.kind,
            claims_name=node_class.name,
            region=reader.text("KAITO_NODE_CLASS_REGION", ""),
        )
    return NodeSettings(provisioner, onebox_endpoint)


def _azure(reader: Reader, provisioner: str) -> AzureSettings:
    endpoint = reader.url("KAITO_AZURE_ENDPOINT", PUBLIC_CLOUD_URL)
    settings = AzureSettings(
        subscription=_needed(
            reader, "KAITO_AZURE_SUBSCRIPTION", provisioner, "the subscription's id"
        ),
        resource_group=_needed(
            reader, "KAITO_AZURE_RESOURCE_GROUP", provisioner, "the cluster's resource group"
        ),
        cluster=_needed(reader, "KAITO_AZURE_CLUSTER", provisioner, "the cluster's name"),
        location=reader.text("KAITO_AZURE_LOCATION", ""),
        endpoint=endpoint,
        custom_location=reader.text("KAITO_AZURE_CUSTOM_LOCATION", ""),
        # Azure's own names: AKS sets them in pods with a workload identity.
        tenant_id=reader.text("AZURE_TENANT_ID", ""),
        client_id=reader.text("AZURE_CLIENT_ID", ""),
        token_file=reader.text("AZURE_FEDERATED_TOKEN_FILE", ""),
        authority=reader.text("AZURE_AUTHORITY_HOST", ""),
    )
    try:
        AzureEndpoint(settings.subscription, settings.resource_group, settings.cluster, endpoint)
    except ValueError as error:
        raise BadSetting(
            f"KAITO_AZURE_ENDPOINT: {error}; http:// is for an emulator on this machine"
        ) from error
    return settings


def _needed(reader: Reader, name: str, provisioner: str, what: str) -> str:
    value = reader.text(name, "")
    if not value:
        raise BadSetting(
            f"KAITO_PROVISIONER is {provisioner!r} and {name} is not set; set it to {what}"
        )
    return value


def _node_class(reader: Reader) -> NodeClass:
    kind = reader.text("KAITO_NODE_CLASS_KIND", AKS_KIND)
    group = reader.text("KAITO_NODE_CLASS_GROUP", GROUPS.get(kind, ""))
    if not group:
        raise BadSetting(
            f"KAITO_NODE_CLASS_KIND is {kind!r}, whose API group is not known; set "
            f"KAITO_NODE_CLASS_GROUP, or one of the kinds {', '.join(GROUPS)}"
        )
    node_class = NodeClass(
        group=group,
        kind=kind,
        name=reader.text("KAITO_NODE_CLASS_NAME", "default"),
        version=reader.text("KAITO_NODE_CLASS_VERSION", ""),
        create=reader.flag("KAITO_NODE_CLASS_CREATE"),
        disk_gib=reader.number("KAITO_NODE_CLASS_DISK_GIB", NodeClass.disk_gib, minimum=1),
        image_family=reader.text("KAITO_NODE_CLASS_IMAGE_FAMILY", ""),
        cluster_name=reader.text("KAITO_NODE_CLASS_CLUSTER", ""),
        role=reader.text("KAITO_NODE_CLASS_ROLE", ""),
        tags=_tags(reader, "KAITO_NODE_CLASS_TAGS"),
    )
    problem = node_class.problem()
    if problem:
        raise BadSetting(
            f"KAITO_NODE_CLASS_CREATE is true, but {problem}; see KAITO_NODE_CLASS_* in the help"
        )
    return node_class


def _tags(reader: Reader, name: str) -> dict[str, str]:
    text = reader.text(name, "")
    tags: dict[str, str] = {}
    for part in filter(None, (one.strip() for one in text.split(","))):
        key, separator, value = (one.strip() for one in part.partition("="))
        if not key or not separator or key in tags:
            raise BadSetting(
                f"{name} is {text!r}; set it to tags such as team=ml,cost-center=12, each key once"
            )
        tags[key] = value
    return tags
