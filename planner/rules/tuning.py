"""Rules on tuning: which model, by which method, with which data, and where the result goes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from planner.data_url import url_problem
from planner.hub_ids import looks_like_id
from planner.rules.base import Case, Fault, Rule, choose, number, quote, rule
from planner.rules.volumes import volume_fault
from planner.syntax import parse_image
from planner.training_config import Method, method_problems, read_training_config

TRAINING_KEY: Final = "training_config.yaml"
"""Key of the ConfigMap that `tuning.config` names (upstream's contract)."""


@rule("tuning.preset")
def tuning_has_model(case: Case) -> Iterator[Fault]:
    """Tuning names the model that it tunes."""
    tuning = case.workspace.tuning
    if tuning is not None and tuning.preset is None:
        yield Fault("nothing says which model to tune", _tunable(case))


@rule("tuning.preset.name")
def model_is_tunable(case: Case) -> Iterator[Fault]:
    """The catalogue says what tuning the model takes."""
    tuning = case.workspace.tuning
    if tuning is None or tuning.preset is None:
        return
    is_of_hub = case.preset is None and looks_like_id(tuning.preset.name)
    if is_of_hub or (case.preset is not None and case.preset.tuning is None):
        yield Fault(f"{quote(tuning.preset.name)} can't be tuned", _tunable(case))


@rule("tuning.method")
def tuning_method_is_known(case: Case) -> Iterator[Fault]:
    """A model is tuned by lora or qlora, in any case."""
    tuning = case.workspace.tuning
    if tuning is not None and tuning.method.lower() not in set(Method):
        told = f"there is no method {quote(tuning.method)}" if tuning.method else "none is given"
        yield Fault(told, "set it to lora, or to qlora for 4-bit base weights")


@rule("resource.count")
def tuning_uses_one_node(case: Case) -> Iterator[Fault]:
    """A model is tuned on one node."""
    count = case.workspace.resource.count
    if case.workspace.tuning is not None and count > 1:
        yield Fault(
            f"a model can't be tuned on {number(count)} nodes",
            "set it to 1, on an instance type with more GPUs",
        )


@rule("tuning.input")
def input_is_one(case: Case) -> Iterator[Fault]:
    """The data comes from addresses, an image or a volume, and from one kind of them."""
    if case.workspace.tuning is None:
        return
    source = case.workspace.tuning.input
    given = [bool(source.urls), bool(source.image), source.volume_source is not None]
    if given.count(True) != 1:
        count = given.count(True) or "none"
        yield Fault(f"{count} of urls, image and volumeSource are given", "set exactly one of them")


@rule("tuning.input.urls")
def input_url_is_public(case: Case) -> Iterator[Fault]:
    """Data is downloaded by HTTP or HTTPS from hosts that are not the cluster's own."""
    for url in case.workspace.tuning.input.urls if case.workspace.tuning is not None else ():
        problem = url_problem(url)
        if problem:
            yield Fault(
                f"nothing can be downloaded from {quote(url)}: {problem}",
                "use an address that starts with https://, or put the data into an image or on a "
                "volume",
            )


@rule("tuning.input.image")
def data_image_is_reference(case: Case) -> Iterator[Fault]:
    """Images of data and of results are ones that a registry can have."""
    tuning = case.workspace.tuning
    if tuning is None:
        return
    for field, image in (
        ("tuning.input.image", tuning.input.image),
        ("tuning.output.image", tuning.output.image),
    ):
        if image and parse_image(image) is None:
            yield Fault(
                f"{quote(image)} can't be an image",
                "write it as registry.example/repository:tag",
                field,
            )


@rule("tuning.input.volumeSource")
def data_volume_is_sound(case: Case) -> Iterator[Fault]:
    """Volumes of data and of results are written as in a pod: one kind of volume."""
    tuning = case.workspace.tuning
    if tuning is None:
        return
    for field, source in (
        ("tuning.input.volumeSource", tuning.input.volume_source),
        ("tuning.output.volumeSource", tuning.output.volume_source),
    ):
        fault = volume_fault(source)
        if fault is not None:
            yield Fault(fault.message, fault.remedy, field)


@rule("tuning.output")
def output_is_one(case: Case) -> Iterator[Fault]:
    """The result goes into an image or onto a volume."""
    if case.workspace.tuning is None:
        return
    output = case.workspace.tuning.output
    if bool(output.image) == (output.volume_source is not None):
        given = "both" if output.image else "neither"
        yield Fault(f"of image and volumeSource {given} is given", "set exactly one of them")


@rule("tuning.output.imagePushSecret")
def output_image_can_be_pushed(case: Case) -> Iterator[Fault]:
    """An image is pushed with a Secret that allows it, and under a name that is free to choose."""
    if case.workspace.tuning is None or not case.workspace.tuning.output.image:
        return
    output = case.workspace.tuning.output
    if not output.image_push_secret:
        yield Fault(
            "nothing allows the image to be pushed",
            "name a Secret of type kubernetes.io/dockerconfigjson",
        )
    image = parse_image(output.image)
    if image is not None and image.digest:
        yield Fault(
            f"nothing can be pushed to {quote(output.image)}: the digest follows from the content",
            "name a tag instead",
            "tuning.output.image",
        )


@rule("tuning.config")
def training_config_is_sound(case: Case) -> Iterator[Fault]:
    """The settings have the parts that the training program knows, and agree with the method."""
    tuning = case.workspace.tuning
    if tuning is None or not tuning.config or case.training_text is None:
        return
    config = read_training_config(case.training_text)
    for problem in (*config.problems, *method_problems(config, tuning.method.lower())):
        key = f"{problem.key} in " if problem.key else ""
        yield Fault(f"{key}{TRAINING_KEY}: {problem.message}", problem.remedy)


def _tunable(case: Case) -> str:
    presets = case.catalogue.presets.values() if case.catalogue is not None else ()
    return choose(sorted({one.name for one in presets if one.tuning is not None}))


RULES: Final[tuple[Rule, ...]] = (
    tuning_has_model,
    model_is_tunable,
    tuning_method_is_known,
    tuning_uses_one_node,
    input_is_one,
    input_url_is_public,
    data_image_is_reference,
    data_volume_is_sound,
    output_is_one,
    output_image_can_be_pushed,
    training_config_is_sound,
)
