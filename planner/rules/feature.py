"""Rules on what to do: serve a model of the catalogue, so far."""

from __future__ import annotations

from collections.abc import Iterator

from api.errors import UnknownPreset
from api.workspace import AccessMode, PresetSpec
from planner.rules.base import Case, Violation, not_available, quote, suggest
from planner.syntax import is_object_name


def check_one_feature(case: Case) -> Iterator[Violation]:
    """A Workspace serves or tunes."""
    inference, tuning = case.workspace.inference, case.workspace.tuning
    if (inference is None) == (tuning is None):
        given = "neither" if inference is None else "both"
        yield Violation(
            "one-feature",
            "inference",
            f"of inference and tuning {given} is given",
            "set exactly one of them: inference serves a model, tuning tunes one",
        )


def check_tuning(case: Case) -> Iterator[Violation]:
    """Tuning is not built yet."""
    if case.workspace.tuning is not None:
        yield not_available("tuning", "tuning", "tuning", "set inference to serve a model")


def check_inference(case: Case) -> Iterator[Violation]:
    """A model of the catalogue is what can be served so far."""
    inference = case.workspace.inference
    if inference is None:
        return
    if (inference.preset is None) == (inference.template is None):
        given = "neither" if inference.preset is None else "both"
        yield Violation(
            "preset-or-template",
            "inference",
            f"of preset and template {given} is given",
            "set exactly one of them; preset names a model of the catalogue",
        )
    if inference.template is not None:
        yield not_available(
            "template", "inference.template", "a pod template", "use inference.preset"
        )
    if inference.adapters:
        yield not_available("adapters", "inference.adapters", "serving adapters", "serve without")
    if inference.config and not is_object_name(inference.config):
        yield Violation(
            "config-is-a-name",
            "inference.config",
            f"{quote(inference.config)} can't be the name of a ConfigMap",
            "name a ConfigMap of the Workspace's namespace",
        )


def check_preset(case: Case) -> Iterator[Violation]:
    """The model must be known and public."""
    inference = case.workspace.inference
    if inference is None or inference.preset is None:
        return
    yield from _preset_is_known(case, inference.preset)
    yield from _preset_is_public(inference.preset)


def _preset_is_known(case: Case, wanted: PresetSpec) -> Iterator[Violation]:
    if case.preset is not None:
        return
    yield Violation(
        "preset-is-known",
        "inference.preset.name",
        f"the catalogue has no model {quote(wanted.name)}",
        suggest(wanted.name, [] if case.catalogue is None else case.catalogue.names()),
        UnknownPreset,
    )


def _preset_is_public(wanted: PresetSpec) -> Iterator[Violation]:
    if wanted.access_mode is AccessMode.PRIVATE:
        yield not_available(
            "private-preset",
            "inference.preset.accessMode",
            "a private model image",
            "use a public model of the catalogue",
        )
    elif wanted.preset_options is not None:
        yield not_available(
            "preset-options",
            "inference.preset.presetOptions",
            "a model image of your own",
            "use a public model of the catalogue",
        )
