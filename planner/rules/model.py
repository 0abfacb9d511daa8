"""Rules on the model: whether it is known, and whether the user may have it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from api.errors import UnknownModel, UnknownPreset
from api.preset import ImageAccess, WeightsKind
from api.workspace import AccessMode, PresetOptions, PresetSpec
from planner.hub_ids import looks_like_id, split_id
from planner.rules.base import Case, Fault, Rule, quote, rule, suggest
from planner.syntax import is_object_name, parse_image


@rule("inference.preset.name", UnknownPreset)
def preset_is_known(case: Case) -> Iterator[Fault]:
    """The catalogue has a model of this name, or it is written as an id on Hugging Face."""
    path, wanted = _wanted(case)
    if wanted is None or case.preset is not None or looks_like_id(wanted.name):
        return
    yield Fault(
        f"the catalogue has no model {quote(wanted.name)}",
        suggest(wanted.name, [] if case.catalogue is None else case.catalogue.names()),
        f"{path}.name",
    )


@rule("inference.preset.name", UnknownModel)
def model_id_is_sound(case: Case) -> Iterator[Fault]:
    """An id on Hugging Face is `org/name` or `org/name@revision`, and leads nowhere else."""
    path, wanted = _wanted(case)
    if wanted is None or case.preset is not None or not looks_like_id(wanted.name):
        return
    try:
        split_id(wanted.name)
    except UnknownModel:
        yield Fault(
            f"{quote(wanted.name)} can't be a model on Hugging Face",
            "write it as org/name or org/name@revision, with a branch, a tag or a commit",
            f"{path}.name",
        )


@rule("inference.preset.accessMode")
def private_model_has_private_access(case: Case) -> Iterator[Fault]:
    """A model whose licence keeps it out of public images comes from an image of the user's own."""
    path, wanted = _wanted(case)
    if wanted is None or case.preset is None or wanted.access_mode is AccessMode.PRIVATE:
        return
    if case.preset.image_access is ImageAccess.PRIVATE:
        yield Fault(
            f"there is no public image of {case.preset.name}",
            "set it to private, and presetOptions.image to an image that holds the model",
            f"{path}.accessMode",
        )


@rule("inference.preset.presetOptions.image")
def private_access_has_image(case: Case) -> Iterator[Fault]:
    """Access mode private says where the model's image is."""
    path, wanted = _wanted(case)
    if wanted is not None and wanted.access_mode is AccessMode.PRIVATE and not _image(wanted):
        yield Fault(
            "accessMode private needs the image that holds the model",
            "set it to the image's full reference, or accessMode to public",
            f"{path}.presetOptions.image",
        )


@rule("inference.preset.presetOptions.image")
def private_image_is_reference(case: Case) -> Iterator[Fault]:
    """The image of a private model is one that a registry can have."""
    path, wanted = _wanted(case)
    if wanted is not None and _image(wanted) and parse_image(_image(wanted)) is None:
        yield Fault(
            f"{quote(_image(wanted))} can't be an image",
            "write it as registry.example/repository:tag or with @sha256:…",
            f"{path}.presetOptions.image",
        )


@rule("inference.preset.presetOptions.imagePullSecrets")
def secret_is_a_name(case: Case) -> Iterator[Fault]:
    """Secrets are given by their names, wherever one is asked for."""
    for field, secret in _secrets(case):
        if not is_object_name(secret):
            yield Fault(
                f"{quote(secret)} can't be the name of a Secret",
                "name a Secret of the Workspace's namespace",
                field,
            )


@rule("inference.preset.presetOptions.modelAccessSecret")
def gated_model_has_secret(case: Case) -> Iterator[Fault]:
    """A model that its owner gives only to those who asked comes with a token for it."""
    path, wanted = _wanted(case)
    preset = case.preset
    if wanted is None or preset is None or not preset.model.gated:
        return
    is_downloaded = preset.weights.kind is WeightsKind.HUGGING_FACE
    if not is_downloaded or wanted.access_mode is AccessMode.PRIVATE:
        return
    if not _options(wanted).model_access_secret:
        yield Fault(
            f"{preset.name} is given only to those who accepted its owner's terms",
            f"accept them at huggingface.co/{preset.model.hugging_face_id}, and name a Secret "
            "whose key HF_TOKEN holds your token",
            f"{path}.presetOptions.modelAccessSecret",
        )


def _wanted(case: Case) -> tuple[str, PresetSpec | None]:
    return case.wanted_preset or ("", None)


def _options(wanted: PresetSpec) -> PresetOptions:
    return wanted.preset_options or PresetOptions()


def _image(wanted: PresetSpec) -> str:
    return _options(wanted).image


def _secrets(case: Case) -> Iterator[tuple[str, str]]:
    """Yield (field, name) of every Secret that the spec names."""
    path, wanted = _wanted(case)
    if wanted is not None:
        options = _options(wanted)
        for name in options.image_pull_secrets:
            yield f"{path}.presetOptions.imagePullSecrets", name
        if options.model_access_secret:
            yield f"{path}.presetOptions.modelAccessSecret", options.model_access_secret
    inference, tuning = case.workspace.inference, case.workspace.tuning
    if inference is not None:
        for adapter in inference.adapters:
            for name in adapter.source.image_pull_secrets if adapter.source is not None else ():
                yield "inference.adapters.source.imagePullSecrets", name
    if tuning is not None:
        for name in tuning.input.image_pull_secrets:
            yield "tuning.input.imagePullSecrets", name
        if tuning.output.image_push_secret:
            yield "tuning.output.imagePushSecret", tuning.output.image_push_secret


RULES: Final[tuple[Rule, ...]] = (
    preset_is_known,
    model_id_is_sound,
    private_model_has_private_access,
    private_access_has_image,
    private_image_is_reference,
    secret_is_a_name,
    gated_model_has_secret,
)
