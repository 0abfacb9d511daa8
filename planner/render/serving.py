"""How a preset is served: its runtime, its images, and the model server's command line."""

from __future__ import annotations

import shlex
from typing import Final

from api import names
from api.errors import FeatureNotAvailable, UnknownPreset
from api.preset import ArgumentValue, Preset, Runtime, WeightsKind
from api.workspace import Workspace
from planner.world import PlatformSettings

CONFIG_FILE: Final = f"{names.PATH_CONFIG}/inference_config.yaml"

DEFAULT_GPU_MEMORY_UTILIZATION: Final = "0.90"
# Upstream's value for GPUs whose memory it does not know. No runtime for GPUs is in the catalogue
# yet; issue 4 derives it from the instance type.

_PROGRAM: Final = "python3 /workspace/vllm/inference_api.py"


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


def command_line(workspace: Workspace, preset: Preset, gpus: int) -> str:
    """Return the shell command that starts the model server.

    The catalogue's arguments win over the ones from here; one that is null takes ours away.
    """
    arguments: dict[str, ArgumentValue] = {"served-model-name": preset.name}
    if preset.weights.kind is not WeightsKind.HUGGING_FACE:
        arguments["model"] = names.PATH_WEIGHTS
    arguments["tensor-parallel-size"] = gpus
    arguments["gpu-memory-utilization"] = DEFAULT_GPU_MEMORY_UTILIZATION
    if workspace.inference is not None and workspace.inference.config:
        arguments["kaito-config-file"] = CONFIG_FILE
    if preset.trust_remote_code:
        arguments["trust-remote-code"] = True
    arguments.update(runtime_of(workspace, preset).arguments)
    flags = [_flag(name, value) for name, value in sorted(arguments.items())]
    # `exec`, so that the server itself and not the shell gets the signal to end.
    return " ".join(["exec", _PROGRAM, *filter(None, flags)])


def _flag(name: str, value: ArgumentValue) -> str:
    if value is None or value is False:
        return ""
    return f"--{name}" if value is True else f"--{name}={shlex.quote(str(value))}"
