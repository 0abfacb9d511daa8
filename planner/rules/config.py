"""Rules on the settings of the model server (`inference.config`)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from api.preset import RuntimeName
from planner.rules.base import Case, Fault, Rule, rule

CONFIG_KEY: Final = "inference_config.yaml"
"""Key of the ConfigMap that holds the file."""


@rule("inference.config")
def serving_config_is_sound(case: Case) -> Iterator[Fault]:
    """What the settings say of memory and parallelism is what vLLM understands."""
    if not _is_read(case):
        return
    for problem in case.serving_config.problems:
        key = f"{problem.key} in " if problem.key else ""
        yield Fault(f"{key}{CONFIG_KEY}: {problem.message}", problem.remedy)


@rule("inference.config")
def context_fits_model(case: Case) -> Iterator[Fault]:
    """The settings ask for no longer context than the model was made for."""
    if not _is_read(case) or case.preset is None:
        return
    asked, most = case.serving_config.max_model_length, case.preset.model.max_model_length
    if asked is not None and asked > most:
        yield Fault(
            f"vllm.max-model-len in {CONFIG_KEY}: {case.preset.name} was made for {most} tokens, "
            f"and {asked} are asked for",
            f"set it to at most {most}, or remove it",
        )


def _is_read(case: Case) -> bool:
    """The transformers runtime does not look at the file, and pods of one's own may use any."""
    inference = case.workspace.inference
    return (
        inference is not None
        and bool(inference.config)
        and case.serves_preset
        and case.runtime_name == RuntimeName.VLLM
    )


RULES: Final[tuple[Rule, ...]] = (serving_config_is_sound, context_fits_model)
