"""How a model is served: by which runtime, out of which image, with the weights from where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from api import names
from api.errors import FeatureNotAvailable, UnknownPreset
from api.preset import AcceleratorVendor, Preset, Runtime, RuntimeName, WeightsKind
from api.workspace import AccessMode, PresetOptions, PresetSpec, Workspace
from planner.sizing import Sizing
from planner.world import PlatformSettings

RUNTIME_IMAGES: Final[Mapping[RuntimeName, str]] = MappingProxyType(
    {
        RuntimeName.VLLM: "kaito/vllm:0.32.0-1",
        RuntimeName.TRANSFORMERS: "kaito/transformers:5.14.1-1",
    }
)
"""The platform's own images, relative to the installation's registry; a preset that names none is
served by them."""


def require_preset(workspace: Workspace, preset: Preset | None) -> Preset:
    """Return the preset.

    Raises:
        UnknownPreset: a recorded revision names a model that the catalogue has no more.
    """
    if preset is None:
        raise UnknownPreset(
            f"{workspace.preset_name!r} is not in the catalogue", field="inference.preset.name"
        )
    return preset


def runtime_of(workspace: Workspace, preset: Preset) -> Runtime:
    """Return the runtime that the Workspace asks for, else the preset's default.

    Raises:
        FeatureNotAvailable: the preset has no such runtime.
    """
    wanted = workspace.annotations.get(names.ANNOTATION_RUNTIME, "")
    runtime = preset.runtime(wanted)
    if runtime is None:
        raise FeatureNotAvailable(
            f"{preset.name} can't be served by {wanted!r}",
            field=f"metadata.annotations[{names.ANNOTATION_RUNTIME}]",
        )
    return runtime


def full_reference(relative: str, settings: PlatformSettings) -> str:
    """Return an image reference of the catalogue as the installation's nodes pull it."""
    return f"{settings.image_registry}/{relative}"


def platform_image(runtime: Runtime, settings: PlatformSettings) -> str:
    """Return the image that the catalogue or the platform has for it; it holds our programs."""
    return full_reference(runtime.image or RUNTIME_IMAGES[runtime.name], settings)


def private_image(workspace: Workspace) -> str:
    """Return the image of the user's own that serves and holds the weights, or an empty string."""
    spec = preset_spec(workspace)
    if spec is None or spec.access_mode is not AccessMode.PRIVATE:
        return ""
    return preset_options(workspace).image


def server_image(workspace: Workspace, runtime: Runtime, settings: PlatformSettings) -> str:
    """Return the full reference of the image that the model server runs from."""
    return private_image(workspace) or platform_image(runtime, settings)


def preset_spec(workspace: Workspace) -> PresetSpec | None:
    """Return `inference.preset`."""
    return workspace.inference.preset if workspace.inference is not None else None


def preset_options(workspace: Workspace) -> PresetOptions:
    """Return `inference.preset.presetOptions`; without any, all of them are empty."""
    spec = preset_spec(workspace)
    return (spec.preset_options if spec is not None else None) or PresetOptions()


@dataclass(frozen=True)
class Serving:
    """Everything that the pods of one revision of a preset are made from."""

    workspace: Workspace
    preset: Preset
    runtime: Runtime
    revision: str
    settings: PlatformSettings
    sizing: Sizing

    @property
    def gpus(self) -> int:
        """Return the GPUs of each pod; one that asked for none would share others' GPUs."""
        return max(self.sizing.gpus_per_pod, 1)

    @property
    def nodes_per_instance(self) -> int:
        """Return how many pods, each on a node of its own, one instance of the model spans."""
        return max(self.sizing.nodes_per_instance, 1)

    @property
    def is_multi_node(self) -> bool:
        """Return whether one instance spans several pods."""
        return self.nodes_per_instance > 1

    @property
    def is_emulated(self) -> bool:
        """Return whether there are no accelerators, and the node's CPUs compute."""
        return AcceleratorVendor.EMULATED in self.runtime.accelerators

    @property
    def has_private_image(self) -> bool:
        """Return whether the image is the user's own: of its user and files we know nothing."""
        return bool(private_image(self.workspace))

    @property
    def weights_kind(self) -> WeightsKind:
        """Return how the weights reach the node; a private image holds them."""
        return WeightsKind.IMAGE if self.has_private_image else self.preset.weights.kind

    @property
    def has_config(self) -> bool:
        """Return whether `inference.config` names settings of the model server."""
        return self.workspace.inference is not None and bool(self.workspace.inference.config)
