"""Rules on what to do: serve or tune, a model or pods of one's own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from planner.rules.base import Case, Fault, Rule, quote, rule
from planner.syntax import is_object_name


@rule("inference")
def one_feature(case: Case) -> Iterator[Fault]:
    """A Workspace serves or tunes."""
    inference, tuning = case.workspace.inference, case.workspace.tuning
    if (inference is None) == (tuning is None):
        given = "neither" if inference is None else "both"
        yield Fault(
            f"of inference and tuning {given} is given",
            "set exactly one of them: inference serves a model, tuning tunes one",
        )


@rule("inference")
def feature_stays(case: Case) -> Iterator[Fault]:
    """A Workspace that served goes on serving, and one that tuned goes on tuning."""
    if case.old is None:
        return
    now, before = case.workspace, case.old
    turns_to_tuning = before.tuning is None and now.inference is None and now.tuning is not None
    turns_to_serving = before.inference is None and now.tuning is None and now.inference is not None
    if turns_to_tuning and before.inference is not None:
        yield Fault(
            "this Workspace serves a model, and can't become one that tunes",
            "create another Workspace with tuning",
            "tuning",
        )
    if turns_to_serving and before.tuning is not None:
        yield Fault(
            "this Workspace tunes a model, and can't become one that serves",
            "create another Workspace with inference",
        )


@rule("inference")
def preset_or_template(case: Case) -> Iterator[Fault]:
    """What is served is a model of the catalogue, or pods of the user's own."""
    inference = case.workspace.inference
    if inference is not None and (inference.preset is None) == (inference.template is None):
        given = "neither" if inference.preset is None else "both"
        yield Fault(
            f"of preset and template {given} is given",
            "set exactly one of them: preset names a model, template holds pods of your own",
        )


@rule("inference.config")
def config_is_a_name(case: Case) -> Iterator[Fault]:
    """Settings are in a ConfigMap, and given by its name."""
    inference, tuning = case.workspace.inference, case.workspace.tuning
    for field, name in (
        ("inference.config", inference.config if inference is not None else ""),
        ("tuning.config", tuning.config if tuning is not None else ""),
    ):
        if name and not is_object_name(name):
            yield Fault(
                f"{quote(name)} can't be the name of a ConfigMap",
                "name a ConfigMap of the Workspace's namespace",
                field,
            )


RULES: Final[tuple[Rule, ...]] = (one_feature, feature_stays, preset_or_template, config_is_a_name)
