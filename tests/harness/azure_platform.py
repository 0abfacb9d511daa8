"""The whole platform on an emulated AKS: worker processes, the real Azure SDK, kwok's nodes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from tests.conformance.pool_nodes import PoolNodes
from tests.emulators.azure import (
    CLUSTER,
    RESOURCE_GROUP,
    SUBSCRIPTION,
    AzureEmulator,
    Knobs,
)
from tests.harness.platform import Platform, workspace

MODEL: Final = "phi-4-mini-instruct"
"""Small enough for any GPU size of the emulated region."""


def model_on(name: str, instance_type: str, *, fallback: Sequence[str] = ()) -> dict[str, Any]:
    """Build a Workspace of a small model on GPUs of Azure."""
    body = workspace(name)
    body["inference"]["preset"]["name"] = MODEL
    body["resource"] |= {
        "instanceType": instance_type,
        "fallbackInstanceTypes": list(fallback),
    }
    return body


@dataclass(frozen=True)
class AzurePlatform:
    """What runs, and the cloud below it."""

    platform: Platform
    azure: AzureEmulator


@asynccontextmanager
async def azure_platform(knobs: Knobs) -> AsyncIterator[AzurePlatform]:
    """Start all of it with one worker; at the end nothing is left."""
    async with Platform.running(workers=0) as platform, AzureEmulator(knobs) as azure:
        PoolNodes(azure, platform.cluster)
        platform.model.model = MODEL
        platform.environment |= {
            "KAITO_PROVISIONER": "aks",
            "KAITO_AZURE_SUBSCRIPTION": SUBSCRIPTION,
            "KAITO_AZURE_RESOURCE_GROUP": RESOURCE_GROUP,
            "KAITO_AZURE_CLUSTER": CLUSTER,
            "KAITO_AZURE_ENDPOINT": azure.base_url,
        }
        platform.start_worker()
        await platform.until_worker_ready()
        try:
            yield AzurePlatform(platform, azure)
        finally:
            # Before the cloud goes: a worker that asks on would wait for an answer.
            platform.stop_workers()
