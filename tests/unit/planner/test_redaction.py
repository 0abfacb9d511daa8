"""Secrets that programs print: hidden, and nothing else is."""

from __future__ import annotations

import pytest

from planner.redaction import HIDDEN, redact

# Made here, of no account.
SECRET = "hf_" + "AbCd1234" * 4


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (f"401 for token {SECRET}", f"401 for token {HIDDEN}"),
        ("Authorization: Bearer abcdefghijkl", f"Authorization: Bearer {HIDDEN}"),
        ("HF_TOKEN=abcdefgh and more", f"HF_TOKEN={HIDDEN} and more"),
        ('{"password": "abcdefgh"}', f'{{"password": "{HIDDEN}"}}'),
        ("vllm serve --api-key abc", f"vllm serve --api-key {HIDDEN}"),
        ("https://me:abcdefgh@host/x", f"https://me:{HIDDEN}@host/x"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", HIDDEN),
    ],
)
def test_what_looks_like_a_secret_is_hidden(said: str, told: str) -> None:
    assert redact(said) == told
    assert redact(told) == told


@pytest.mark.parametrize(
    "said",
    [
        "ValueError: max_tokens=4096 is more than max-model-len: 2048",
        "tokenizer=HuggingFaceTB/SmolLM2-135M-Instruct",
        "http://127.0.0.1:5000/v1/models says 404",
        "RuntimeError: CUDA error: device-side assert triggered",
        "",
    ],
)
def test_an_ordinary_line_is_told_as_it_is(said: str) -> None:
    assert redact(said) == said
