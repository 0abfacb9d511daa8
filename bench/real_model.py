"""The same counts from a running onebox, whose nodes and model are real; reads only."""

from __future__ import annotations

from typing import Any, Final

from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.service import RPCError

from activities.clients.kubernetes import (
    NODE_CLAIMS,
    WORKSPACES,
    ApiError,
    KubernetesClient,
    UnusableConfiguration,
)
from api import names
from api.errors import ClusterUnavailable
from bench import machine
from bench.cold_start import activities_table, budget_table, steps_table
from bench.counts import count_histories, fetch_histories
from bench.page import Section
from onebox import places

TITLE: Final = "With a real model"


async def measure() -> Section:
    """Look at the first Ready Workspace of onebox; say how to get one if there is none."""
    try:
        section = await _look()
    except (ApiError, ClusterUnavailable, UnusableConfiguration, RPCError, RuntimeError) as error:
        return _absent(f"onebox does not answer ({type(error).__name__})")
    return section or _absent("no Workspace of it is Ready")


async def _look() -> Section | None:
    if not places.kubeconfig().exists():
        return _absent("onebox does not run")
    async with KubernetesClient.connect(str(places.kubeconfig())) as kube:
        found = [
            obj
            for obj in await kube.list(WORKSPACES)
            if (obj.get("status") or {}).get("phase") == "Ready" and obj["status"].get("history")
        ]
        if not found:
            return None
        obj = min(found, key=lambda one: one["metadata"]["creationTimestamp"])
        uid = {names.LABEL_WORKSPACE_UID: obj["metadata"]["uid"]}
        claims = await kube.list(NODE_CLAIMS, "", uid)
    client = await Client.connect(
        places.TEMPORAL_ADDRESS, data_converter=pydantic_data_converter, lazy=False
    )
    own = await fetch_histories(client, _ids([_workspace_id(obj)]))
    its = await fetch_histories(
        client, _ids([names.node_claim_workflow_id(one["metadata"]["name"]) for one in claims])
    )
    metadata, status = obj["metadata"], obj["status"]
    mine, theirs = count_histories(own.values()), count_histories(its.values())
    return Section(
        title=TITLE,
        text=(
            f"Workspace {metadata['namespace']}/{metadata['name']} ({status.get('preset', '')}) of "
            "the running onebox: real kubelet, containerd and vLLM on CPU. Counts are of all that "
            "happened to it since it was made, looks of later hints and resyncs included; seconds "
            f"are of its last operation. Load now: {machine.load()}."
        ),
        tables=(
            budget_table(mine, theirs, None),
            activities_table(mine, theirs),
            steps_table(status),
        ),
    )


def _workspace_id(obj: dict[str, Any]) -> str:
    return names.workspace_workflow_id(obj["metadata"]["namespace"], obj["metadata"]["name"])


def _ids(ids: list[str]) -> str:
    quoted = ", ".join(f"'{one}'" for one in ids) or "''"
    return f"WorkflowId IN ({quoted})"


def _absent(why: str) -> Section:
    return Section(
        title=TITLE,
        text=f"Not measured this time: {why}. For this section run `make up`, then `make bench`.",
    )
