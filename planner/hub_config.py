"""Reading a model's config.json, which anybody may have written and nobody checks.

Each read names the key that it failed on, so that a person can look at it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from api.errors import UnsupportedModel

MAX_WHOLE: Final = 2**31
"""Counts and sizes of real models are far below; what is above is a mistake or mischief."""

_TEXT_CONFIGS: Final = ("text_config", "llm_config", "language_config")
"""Where models that take pictures keep the description of their language model."""

_SHOWN_CHARACTERS: Final = 40
_SHOWN_NUMBER: Final = 10**20

_MISTRAL: Final[dict[str, Any]] = {
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "hidden_size": 4096,
    "num_hidden_layers": 32,
    "max_position_embeddings": 131072,
    "vocab_size": 32000,
}

_DEFAULTS: Final[dict[str, dict[str, Any]]] = {
    "gemma3_text": {
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "head_dim": 256,
        "hidden_size": 2304,
        "num_hidden_layers": 26,
        "max_position_embeddings": 131072,
        "sliding_window": 4096,
        "vocab_size": 262208,
    },
    "llama": {
        "num_attention_heads": 32,
        "hidden_size": 4096,
        "num_hidden_layers": 32,
        "max_position_embeddings": 2048,
        "vocab_size": 32000,
    },
    "mistral": _MISTRAL,
    "mixtral": _MISTRAL,
}
"""What transformers takes for keys that are absent. Only for nested language models: repositories
that were written by transformers leave out what is equal to its default, but at the top level of a
file an absent key is far more often a broken file than a default."""


@dataclass(frozen=True)
class ModelConfig:
    """The language model's part of a config.json, and the whole of it."""

    text: Mapping[str, Any]
    top: Mapping[str, Any]

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> ModelConfig:
        """Find the part that describes the language model."""
        for name in _TEXT_CONFIGS:
            nested = config.get(name)
            if isinstance(nested, Mapping) and nested:
                defaults = _DEFAULTS.get(_lower(nested.get("model_type")), {})
                # Some old files describe the language model at the top, beside an empty shell.
                own = {key: value for key, value in config.items() if key not in _TEXT_CONFIGS}
                has_shape = "num_hidden_layers" in nested or "num_hidden_layers" not in own
                return cls({**defaults, **nested} if has_shape else own, config)
        return cls(config, config)

    @property
    def model_type(self) -> str:
        """Return the language model's own type, else the whole model's, in lower case."""
        return _lower(self.text.get("model_type")) or _lower(self.top.get("model_type"))

    def value(self, *names: str) -> Any:
        """Return what stands at the first of the keys that is there and not null."""
        return next(
            (self.text[name] for name in names if self.text.get(name) is not None),
            None,
        )

    def whole(self, *names: str) -> int | None:
        """Return the number at the first key that is there.

        Raises:
            UnsupportedModel: it is no positive whole number.
        """
        for name in names:
            value = self.text.get(name)
            if value is not None:
                return positive(value, name)
        return None

    def require(self, *names: str) -> int:
        """Return the number at the first key that is there.

        Raises:
            UnsupportedModel: none of them is, or it is no positive whole number.
        """
        found = self.whole(*names)
        if found is None:
            raise UnsupportedModel(f"its config.json does not say {names[0]}")
        return found

    def flag(self, name: str) -> bool | None:
        """Return a truth value, or None where the file has none under this key."""
        value = self.text.get(name)
        return value if isinstance(value, bool) else None

    def words(self, *names: str) -> list[str] | None:
        """Return the list of words at the first key that holds one."""
        for name in names:
            value = self.text.get(name)
            if isinstance(value, list) and value and all(isinstance(one, str) for one in value):
                return [one.casefold() for one in value]
        return None

    def mapping(self, name: str) -> Mapping[str, Any]:
        """Return the object at this key of the language model, else of the whole; empty if none."""
        for where in (self.text, self.top):
            value = where.get(name)
            if isinstance(value, Mapping):
                return value
        return {}

    def word(self, *names: str) -> str:
        """Return the string at the first key, of the language model or the whole; empty if none."""
        for where in (self.text, self.top):
            for name in names:
                value = where.get(name)
                if isinstance(value, str) and value:
                    return value
        return ""


def positive(value: object, name: str) -> int:
    """Return a positive whole number as it is; whole floats such as 4096.0 are one.

    Raises:
        UnsupportedModel: it is none; `name` says where it stands.
    """
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < MAX_WHOLE:
        raise UnsupportedModel(
            f"its config.json says {name} is {show(value)}, which is no positive whole number"
        )
    return value


def show(value: object) -> str:
    """Return a value of the file as a message may quote it."""
    match value:
        case str():
            text = repr(value)
        case bool() | float() | None:
            text = str(value)
        case int():
            # Python refuses to write out numbers of thousands of digits.
            text = str(value) if abs(value) < _SHOWN_NUMBER else "a number beyond all measure"
        case list():
            text = "a list"
        case _:
            text = "an object"
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"


def _lower(value: object) -> str:
    return value.casefold() if isinstance(value, str) else ""
