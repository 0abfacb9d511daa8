"""Every manifest of every model, whole, one file each: review a change of them like code.

`make golden` writes them anew.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.single_file import SingleFileSnapshotExtension, WriteMode

from api.preset import Preset
from api.workspace import Workspace
from planner.render import (
    render_controller_revision,
    render_headless_service,
    render_node_claim,
    render_pull_pod,
    render_service,
    render_workload,
)
from planner.revision import revision_hash
from planner.world import PlatformSettings
from presets.loader import load_catalogue
from tests import gen

CATALOGUE = load_catalogue()
INSTANCE_TYPES = ("onebox.small", "onebox.large")
SETTINGS = gen.settings(registry_plain_http=True)

Render = Callable[[Workspace, Preset, str, PlatformSettings], dict[str, Any]]


def _workload(
    workspace: Workspace, preset: Preset, revision: str, settings: PlatformSettings
) -> dict[str, Any]:
    known = CATALOGUE.instance_type(workspace.resource.instance_type)
    assert known is not None
    return render_workload(workspace, preset, revision, ["node-1"], settings, known.gpu_count)


def _node_claim(
    workspace: Workspace, preset: Preset, _: str, settings: PlatformSettings
) -> dict[str, Any]:
    claim = gen.claim(instance_type=workspace.resource.instance_type)
    return render_node_claim(workspace, claim, preset, settings)


OBJECTS: dict[str, Render] = {
    "stateful-set": _workload,
    "service": lambda workspace, _preset, revision, _settings: render_service(workspace, revision),
    "headless-service": lambda workspace, *_: render_headless_service(workspace),
    "controller-revision": lambda workspace, _preset, revision, _settings: (
        render_controller_revision(workspace, revision, 1)
    ),
    "node-claim": _node_claim,
    "pull-pod": lambda workspace, preset, revision, settings: render_pull_pod(
        workspace, preset, revision, "node-1", 0, settings
    ),
}


class ManifestFile(SingleFileSnapshotExtension):
    """One YAML file per snapshot."""

    _write_mode = WriteMode.TEXT
    file_extension = "yaml"

    def serialize(self, data: Any, **_: Any) -> str:
        return yaml.safe_dump(data, sort_keys=False, width=100)


@pytest.mark.parametrize("kind", OBJECTS)
@pytest.mark.parametrize("instance_type", INSTANCE_TYPES)
@pytest.mark.parametrize("preset_name", CATALOGUE.names())
def test_manifest(
    preset_name: str, instance_type: str, kind: str, snapshot: SnapshotAssertion
) -> None:
    workspace = gen.workspace(preset=preset_name, instance_type=instance_type)
    preset = CATALOGUE.get(preset_name)
    assert preset is not None
    revision = revision_hash(workspace, preset, None, SETTINGS)
    manifest = OBJECTS[kind](workspace, preset, revision, SETTINGS)
    assert manifest == snapshot(extension_class=ManifestFile)
