"""`python -m worker plan`: what a Workspace would become, without touching anything."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from activities.context import PROVISIONERS
from api.crd import workspace_crd
from api.errors import InvalidWorkspace, PlatformError
from api.payloads import Problem
from api.preset import Catalogue, Preset
from api.workspace import Workspace
from planner.preview import Subject, preview
from planner.preview_parts import Preview, PreviewProblem
from planner.unknown_fields import unknown_fields
from planner.world import PlatformSettings
from presets.loader import load_catalogue
from worker import settings as settings_module
from worker.preview.documents import Documents, UnusableInput, read_documents, read_text
from worker.preview.inputs import (
    ANY_PROVISIONER,
    Offline,
    Texts,
    assumed_platform,
    names_to_look_up,
    with_texts,
)
from worker.settings import BadSetting, Settings

EXIT_PLANNED: Final = 0
EXIT_PROBLEM: Final = 1
EXIT_UNUSABLE: Final = 2

DESCRIPTION: Final = """\
Says what a Workspace would become: nodes and their price, how the model is laid over GPUs and what
their memory is spent on, the server's command line, what an edit causes, and what is in the way.
Nothing is touched.
"""

EXAMPLES: Final = """\
examples:
  python -m worker plan -f workspace.yaml                  without any cluster
  python -m worker plan -f new.yaml --against old.yaml     what the edit causes
  python -m worker plan -f new.yaml --cluster              what it causes in this cluster
  kubectl get workspace phi-4 -o yaml | python -m worker plan -f -
  python -m worker plan -f workspace.yaml -o json | jq .workspaces[0].usd_per_hour

exit codes: 0 it can be carried out, 1 it can't (the output says why), 2 wrong usage or a file or
cluster that can't be read
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    parser.add_argument(
        "-f",
        "--filename",
        action="append",
        required=True,
        metavar="FILE",
        help="manifest, a folder of them, or - for standard input; ConfigMaps in it are read too",
    )
    parser.add_argument("-o", "--output", choices=["text", "json"], default="text")
    parser.add_argument(
        "-n",
        "--namespace",
        default="default",
        help="namespace of manifests that name none (default: default)",
    )
    compared = parser.add_mutually_exclusive_group()
    compared.add_argument(
        "--against", action="append", metavar="FILE", help="earlier manifest to compare with"
    )
    compared.add_argument(
        "--cluster",
        action="store_true",
        help="look at the cluster of KUBECONFIG: its nodes, the live Workspace, its ConfigMap",
    )
    parser.add_argument(
        "--config", metavar="FILE", help="inference_config.yaml: content of inference.config"
    )
    parser.add_argument(
        "--training-config", metavar="FILE", help="training_config.yaml: content of tuning.config"
    )
    parser.add_argument(
        "--model-config",
        metavar="DIR",
        help="folder with config.json and the weights' index of a model that is in no catalogue; "
        "without it the model hub is asked",
    )
    parser.add_argument(
        "--provisioner",
        choices=[ANY_PROVISIONER, *PROVISIONERS],
        default="",
        help="where nodes come from (default: KAITO_PROVISIONER with --cluster, else "
        f"{ANY_PROVISIONER}: nodes of every type can be had); byo without --cluster assumes that "
        "nodes as the manifest wants them are there",
    )


def run(options: argparse.Namespace) -> int:
    """Print the previews; return the exit code."""
    try:
        previews = _previews(options, settings_module.load())
    except (BadSetting, UnusableInput) as error:
        sys.stderr.write(f"plan: {error}\n")
        return EXIT_UNUSABLE
    if options.output == "json":
        dumped = [one.model_dump(mode="json") for one in previews]
        sys.stdout.write(json.dumps({"workspaces": dumped}, indent=2) + "\n")
    else:
        from worker.preview.text import show

        show(previews)
    return EXIT_PLANNED if all(one.can_be_carried_out for one in previews) else EXIT_PROBLEM


def _previews(options: argparse.Namespace, settings: Settings) -> list[Preview]:
    documents = read_documents(options.filename, options.namespace)
    texts = Texts(
        documents,
        config=read_text(options.config) if options.config else None,
        training_config=read_text(options.training_config) if options.training_config else None,
    )
    platform = assumed_platform(
        settings.activities.platform, options.provisioner, looks_at_cluster=options.cluster
    )
    maker = _Maker(options, settings, platform, texts, load_catalogue())
    return maker.of_cluster() if options.cluster else maker.offline()


@dataclass(frozen=True)
class _Maker:
    """Makes the previews that one command line asks for."""

    options: argparse.Namespace
    settings: Settings
    platform: PlatformSettings
    texts: Texts
    catalogue: Catalogue

    def offline(self) -> list[Preview]:
        objects = self.texts.documents.workspaces
        earlier = self._earlier()
        before_texts = self._earlier_texts(earlier)
        workspaces = [one for one in map(_read, objects) if isinstance(one, Workspace)]
        old = {(one.namespace, one.name): one for one in map(_read_earlier, earlier.workspaces)}
        models = self._models([*workspaces, *old.values()])
        offline = Offline(self.catalogue, self.platform, models)

        def of(workspace: Workspace) -> tuple[Subject, Subject | None]:
            before = old.get((workspace.namespace, workspace.name))
            return (
                offline.subject(workspace, self.texts),
                offline.subject(before, before_texts) if before is not None else None,
            )

        return [self._preview(obj, of) for obj in objects]

    def of_cluster(self) -> list[Preview]:
        from worker.preview.cluster import observe

        if self.options.model_config:
            raise UnusableInput("--model-config is for plans without --cluster, which asks the hub")
        objects = self.texts.documents.workspaces
        readable = [obj for obj in objects if isinstance(_read(obj), Workspace)]
        kubeconfig = self.settings.kubernetes.kubeconfig
        found = iter(
            asyncio.run(observe(readable, kubeconfig, self.settings.activities, self.catalogue))
        )

        def of(_: Workspace) -> tuple[Subject, Subject | None]:
            one = next(found)
            return with_texts(one.after, self.texts), one.before

        return [self._preview(obj, of) for obj in objects]

    def _preview(self, obj: Mapping[str, Any], subjects_of: _SubjectsOf) -> Preview:
        read = _read(obj)
        if isinstance(read, InvalidWorkspace):
            return _unreadable(obj, read)
        after, before = subjects_of(read)
        found = preview(after, self.platform, self.catalogue, before)
        remarks = [*_unknown_field_remarks(obj)]
        if after.world.config_text is None:
            remarks += self.texts.remarks(after.workspace)
        return found.model_copy(update={"warnings": [*remarks, *found.warnings]})

    def _earlier(self) -> Documents:
        against = self.options.against
        return read_documents(against, self.options.namespace) if against else Documents()

    def _earlier_texts(self, earlier: Documents) -> Texts:
        """Return the contents of ConfigMaps before the edit; those of now where nobody says."""
        if not earlier.config_maps:
            return self.texts
        now = self.texts.documents.config_maps
        return Texts(Documents(config_maps={**now, **earlier.config_maps}))

    def _models(self, workspaces: list[Workspace]) -> Mapping[str, Preset | Problem]:
        wanted = names_to_look_up(workspaces, self.catalogue)
        if not wanted:
            return {}
        if not self.options.model_config:
            from worker.preview.models import presets_of_hub

            return asyncio.run(presets_of_hub(wanted, self.settings.activities))
        if len({name.partition("@")[0].casefold() for name in wanted}) > 1:
            raise UnusableInput(
                f"--model-config describes one model, and {', '.join(wanted)} are named"
            )
        return {name: self._in_folder(name) for name in wanted}

    def _in_folder(self, name: str) -> Preset | Problem:
        from worker.preview.models import preset_of_folder, problem_of

        try:
            return preset_of_folder(name, Path(self.options.model_config))
        except PlatformError as error:
            return problem_of(error)


_SubjectsOf = Callable[[Workspace], tuple[Subject, Subject | None]]


def _read(obj: Mapping[str, Any]) -> Workspace | InvalidWorkspace:
    try:
        return Workspace.from_object(obj)
    except InvalidWorkspace as error:
        return error


def _read_earlier(obj: Mapping[str, Any]) -> Workspace:
    read = _read(obj)
    if isinstance(read, InvalidWorkspace):
        raise UnusableInput(f"--against: {read}")
    return read


def _unreadable(obj: Mapping[str, Any], error: InvalidWorkspace) -> Preview:
    metadata = obj.get("metadata")
    known = metadata if isinstance(metadata, Mapping) else {}
    return Preview(
        namespace=str(known.get("namespace", "")),
        name=str(known.get("name", "")),
        problems=[PreviewProblem(reason=error.reason(), message=str(error))],
    )


def _unknown_field_remarks(obj: Mapping[str, Any]) -> Iterator[str]:
    schema = workspace_crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    for field in unknown_fields(obj, schema):
        yield f"{field}: a Workspace has no such field, so it is dropped"
