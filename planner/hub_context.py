"""How many tokens of context a model was made for, by its config.json."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from planner.hub_config import ModelConfig

_LENGTHS: Final = (
    "max_position_embeddings",
    "n_positions",
    "max_sequence_length",
    "max_seq_len",
    "seq_length",
    "n_ctx",
    "model_max_length",
)

_SCALED_ALREADY: Final = frozenset({"su", "longrope", "llama3", "mrope", "default"})
"""Ways of stretching positions whose files give the stretched length as the length. vLLM draws the
same line (`_get_and_verify_max_len`)."""

MAX_CONTEXT: Final = 2**27
"""134 million tokens; a factor that leads beyond is a mistake."""


def max_model_length_of(config: ModelConfig) -> int:
    """Return the tokens of context, stretched as the file says.

    Raises:
        UnsupportedModel: the file does not say, or says something odd.
    """
    length = config.require(*_LENGTHS)
    scaling = _scaling(config)
    factor = _factor(scaling.get("factor"))
    kind = scaling.get("rope_type", scaling.get("type"))
    # Gemma 3 gives its whole length beside the factor that made it.
    if kind in _SCALED_ALREADY or config.model_type.startswith("gemma3"):
        return length
    if kind == "yarn":
        original = scaling.get("original_max_position_embeddings")
        if isinstance(original, int) and not isinstance(original, bool) and original > 0:
            length = min(original, MAX_CONTEXT)
    return min(int(length * factor), MAX_CONTEXT)


def _scaling(config: ModelConfig) -> Mapping[str, Any]:
    for name in ("rope_scaling", "rope_parameters"):
        found = config.mapping(name)
        if found:
            # Models with two kinds of attention give parameters of each; the full one decides.
            nested = found.get("full_attention")
            return nested if isinstance(nested, Mapping) else found
    return {}


def _factor(value: object) -> float:
    """Return what the length is multiplied by: 1 for anything that is no sensible number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 1.0
    # NaN compares false with everything.
    return float(value) if 1 < value <= MAX_CONTEXT else 1.0
