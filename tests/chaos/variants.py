"""Specs that a chaos script chooses from, good ones and broken ones, and how to tell them apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from activities.clients.kubernetes import CONFIG_MAPS, ApiError, KubernetesClient
from planner.render.config_map import CONFIG_KEY
from tests.harness.platform import NAMESPACE, PRESET, workspace
from tests.harness.pod_actor import ABSENT, CRASH_SETTING, HANG_SETTING

GOOD_ADAPTER: Final = "poems"
UNLISTED_ADAPTER: Final = "unlisted"
PROGRESS_SECONDS: Final = 20
"""20 s until a pod that hangs is given up; good ones need about one."""


@dataclass(frozen=True)
class Variant:
    """One way to write the Workspace's inference."""

    name: str
    settings: str = ""
    """Text of its ConfigMap; empty for none."""
    image: str = ""
    adapter: str = ""

    def inference(self) -> dict[str, Any]:
        """Return the part of the spec that differs."""
        preset: dict[str, Any] = {"name": PRESET}
        if self.image:
            preset |= {"accessMode": "private", "presetOptions": {"image": self.image}}
        inference: dict[str, Any] = {"preset": preset}
        if self.settings:
            inference["config"] = f"settings-{self.name}"
        if self.adapter:
            source = {"name": self.adapter, "image": f"registry.invalid/{self.adapter}:1"}
            inference["adapters"] = [{"source": source}]
        return inference


GOOD: Final = (
    Variant("plain"),
    Variant("short", settings="vllm:\n  max-model-len: 512\n"),
    Variant("longer", settings="vllm:\n  max-model-len: 1024\n"),
    Variant("image-one", image="registry.invalid/server:1"),
    Variant("image-two", image="registry.invalid/server:2"),
    Variant("adapter", adapter=GOOD_ADAPTER),
)
BROKEN: Final = (
    Variant("absent", image=f"registry.invalid/{ABSENT}:1"),
    Variant("crash", settings=f"vllm:\n  {CRASH_SETTING}\n"),
    Variant("unlisted", adapter=UNLISTED_ADAPTER),
    Variant("hang", settings=f"vllm:\n  {HANG_SETTING}\n"),
)
BY_NAME: Final = {one.name: one for one in (*GOOD, *BROKEN)}


def body(name: str, variant: Variant, strategy: str) -> dict[str, Any]:
    """Return the whole Workspace."""
    return {
        **workspace(name),
        "inference": variant.inference(),
        "rollout": {"strategy": strategy, "progressDeadlineSeconds": PROGRESS_SECONDS},
    }


def is_broken(inference: Mapping[str, Any], settings: str) -> bool:
    """Whether a spec (with the text of the ConfigMap that it names) can't be served here."""
    image = (inference["preset"].get("presetOptions") or {}).get("image", "")
    adapters = [one["source"]["name"] for one in inference.get("adapters") or []]
    return (
        ABSENT in image
        or UNLISTED_ADAPTER in adapters
        or CRASH_SETTING in settings
        or HANG_SETTING in settings
    )


async def settings_of(kube: KubernetesClient, inference: Mapping[str, Any]) -> str:
    """Return the text that a spec's `inference.config` leads to; empty for none."""
    name = inference.get("config", "")
    if not name:
        return ""
    found = await kube.find(CONFIG_MAPS, name, NAMESPACE)
    return "" if found is None else str(found["data"][CONFIG_KEY])


async def write_settings(kube: KubernetesClient) -> None:
    """Make the ConfigMaps that the variants name."""
    for variant in BY_NAME.values():
        if variant.settings:
            await put_settings(kube, f"settings-{variant.name}", variant.settings)


async def put_settings(kube: KubernetesClient, name: str, text: str) -> None:
    """Make a ConfigMap say something."""
    content = {
        "apiVersion": CONFIG_MAPS.api_version,
        "kind": CONFIG_MAPS.kind,
        "metadata": {"name": name, "namespace": NAMESPACE},
        "data": {CONFIG_KEY: text},
    }
    try:
        await kube.create(CONFIG_MAPS, content, NAMESPACE)
    except ApiError as error:
        if error.status != 409:
            raise
        await kube.merge_patch(CONFIG_MAPS, name, {"data": content["data"]}, NAMESPACE)
