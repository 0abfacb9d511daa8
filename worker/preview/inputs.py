"""From manifests to what previews are made from, where nobody looks at a cluster."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from api.payloads import Problem
from api.preset import Catalogue, Preset
from api.workspace import Workspace
from planner.assumed_nodes import assumed_nodes
from planner.hub_ids import looks_like_id
from planner.preview import Subject
from planner.render.config_map import CONFIG_KEY
from planner.rules.tuning import TRAINING_KEY
from planner.world import NodeFacts, PlatformSettings, World
from worker.preview.documents import Documents

ANY_PROVISIONER: Final = "any"
"""Some provisioner that makes nodes of every type: what is assumed where none is named."""


@dataclass(frozen=True)
class Texts:
    """Contents of ConfigMaps: from the command line, else from the manifests themselves."""

    documents: Documents
    config: str | None = None
    """Of `--config`: for every Workspace that names a ConfigMap."""
    training_config: str | None = None

    def config_of(self, workspace: Workspace) -> str | None:
        """Return the content of `inference.config`, where it is known."""
        name = workspace.inference.config if workspace.inference is not None else ""
        if not name or self.config is not None:
            return self.config if name else None
        return self.documents.config_text(workspace.namespace, name, CONFIG_KEY)

    def training_config_of(self, workspace: Workspace) -> str | None:
        """Return the content of `tuning.config`, where it is known."""
        name = workspace.tuning.config if workspace.tuning is not None else ""
        if not name or self.training_config is not None:
            return self.training_config if name else None
        return self.documents.config_text(workspace.namespace, name, TRAINING_KEY)

    def remarks(self, workspace: Workspace) -> Iterator[str]:
        """Yield what a plan without these contents leaves open."""
        for path, feature, text in (
            ("inference.config", workspace.inference, self.config_of(workspace)),
            ("tuning.config", workspace.tuning, self.training_config_of(workspace)),
        ):
            if feature is not None and feature.config and text is None:
                option = f"--{'training-' * (path == 'tuning.config')}config"
                yield (
                    f"{path}: the content of ConfigMap {workspace.namespace}/{feature.config} is "
                    f"not known here, so the plan is made without it; give it with {option}, in "
                    "the same file, or look at the cluster (--cluster)"
                )


@dataclass(frozen=True)
class Offline:
    """Plans without a cluster: it has no nodes, or just the ones that are wanted."""

    catalogue: Catalogue
    platform: PlatformSettings
    models: Mapping[str, Preset | Problem] = field(default_factory=dict)
    """Models that the catalogue lacks, by the name that Workspaces ask for them by."""

    def subject(self, workspace: Workspace, texts: Texts) -> Subject:
        """Return a Workspace with everything that its plan is made from."""
        found = self.catalogue.get(workspace.preset_name) or self.models.get(workspace.preset_name)
        nodes: tuple[NodeFacts, ...] = ()
        if not self.platform.provisions_nodes:
            nodes = assumed_nodes(workspace, self.platform, self.catalogue)
        return Subject(
            workspace,
            found if isinstance(found, Preset) else None,
            World(nodes=nodes, config_text=texts.config_of(workspace)),
            training_text=texts.training_config_of(workspace),
            model_problem=found if isinstance(found, Problem) else None,
        )


def names_to_look_up(workspaces: Iterable[Workspace], catalogue: Catalogue) -> list[str]:
    """Return the names of models that only their Hugging Face repositories know."""
    names = dict.fromkeys(one.preset_name for one in workspaces)
    return [name for name in names if looks_like_id(name) and catalogue.get(name) is None]


def with_texts(subject: Subject, texts: Texts) -> Subject:
    """Return a subject of a cluster with the ConfigMaps that are yet to be applied."""
    workspace, world = subject.workspace, subject.world
    text = texts.config_of(workspace)
    if text is not None and workspace.inference is not None:
        name = f"ConfigMap {workspace.namespace}/{workspace.inference.config}"
        missing = tuple(one for one in world.missing if not one.endswith(name))
        world = replace(world, config_text=text, missing=missing)
    training_text = texts.training_config_of(workspace)
    return replace(subject, world=world, training_text=training_text)


def assumed_platform(
    platform: PlatformSettings, wanted: str, *, looks_at_cluster: bool
) -> PlatformSettings:
    """Return the settings to plan with.

    Args:
        platform: As this process is configured.
        wanted: Provisioner that the command line names; empty for none.
        looks_at_cluster: Then the configured provisioner is the one that counts.
    """
    if wanted:
        return replace(platform, provisioner=wanted)
    if looks_at_cluster or platform.provisions_nodes:
        return platform
    # Nobody is configured to plan a purchase, and a plan on nodes that nobody saw tells little.
    return replace(platform, provisioner=ANY_PROVISIONER)
