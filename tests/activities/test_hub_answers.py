"""The hub's description of a repository: which files are the weights, and how large they are."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.clients.hub_answers import BadAnswer, describe_repository, read_repository

COMMIT = "0e9e39f249a16976918f6564b8830bc894c89659"


def answer(sizes: dict[str, int | None], **changes: Any) -> dict[str, Any]:
    siblings = [
        {"rfilename": name, **({} if size is None else {"size": size})}
        for name, size in sizes.items()
    ]
    return {"id": "org/name", "sha": COMMIT, "siblings": siblings, **changes}


@pytest.mark.parametrize(
    ("sizes", "files"),
    [
        ({"model.safetensors": 1, "pytorch_model.bin": 1}, ["model.safetensors"]),
        (
            {"model-00001-of-00002.safetensors": 1, "model-00002-of-00002.safetensors": 1},
            ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"],
        ),
        (
            {"model.safetensors": 1, "consolidated.safetensors": 1, "original/a.safetensors": 1},
            ["model.safetensors"],
        ),
        ({"consolidated.safetensors": 1, "params.json": 1}, ["consolidated.safetensors"]),
        ({"other.safetensors": 1, "adapter_model.safetensors": 1}, ["other.safetensors"]),
        ({"adapter_model.safetensors": 1}, []),
        ({"pytorch_model.bin": 1, "training_args.bin": 1}, ["pytorch_model.bin"]),
        (
            {"pytorch_model-00001-of-00001.bin": 1, "optimizer.bin": 1},
            ["pytorch_model-00001-of-00001.bin"],
        ),
        ({"optimizer.bin": 1, "model.gguf": 1}, []),
        ({}, []),
    ],
)
def test_the_weights_are_the_files_that_a_server_loads(
    sizes: dict[str, int | None], files: list[str]
) -> None:
    assert read_repository(answer(sizes)).weight_files == files


@pytest.mark.parametrize(
    ("sizes", "index", "told"),
    [
        ({"model.safetensors": 7}, "", 7),
        ({"model-00001-of-00002.safetensors": 3, "model-00002-of-00002.safetensors": 4}, "", 7),
        (
            {"model.safetensors": None, "model.safetensors.index.json": 1},
            "model.safetensors.index.json",
            9,
        ),
        (
            {"pytorch_model.bin": None, "pytorch_model.bin.index.json": 1},
            "pytorch_model.bin.index.json",
            9,
        ),
        ({"README.md": 1}, "", 0),
    ],
)
def test_the_index_is_wanted_only_where_the_list_says_no_sizes(
    sizes: dict[str, int | None], index: str, told: int
) -> None:
    repository = read_repository(answer(sizes))
    assert repository.index_file == index
    assert repository.weights_bytes({"metadata": {"total_size": 9.0}}) == told


@pytest.mark.parametrize(
    "index",
    [{}, {"metadata": None}, {"metadata": {"total_size": "9"}}, {"metadata": {"total_size": -1}}],
)
def test_weights_of_unknown_size_are_no_weights_to_plan_with(index: dict[str, Any]) -> None:
    with pytest.raises(BadAnswer, match="how large the weights"):
        read_repository(answer({"model.safetensors": None})).weights_bytes(index)


@pytest.mark.parametrize(
    ("changes", "is_gated"),
    [
        ({}, False),
        ({"gated": False, "private": False}, False),
        ({"gated": "auto"}, True),
        ({"gated": "manual"}, True),
        ({"private": True}, True),
    ],
)
def test_gated_and_private_are_not_for_everybody(
    changes: dict[str, Any], *, is_gated: bool
) -> None:
    assert read_repository(answer({}, **changes)).is_gated is is_gated


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"cardData": {"license": "mit"}}, "mit"),
        ({"cardData": {"license": ["mit"]}, "tags": ["x", "license:llama3.1"]}, "llama3.1"),
        ({"tags": None}, "unknown"),
    ],
)
def test_the_licence_is_the_cards_else_the_tags(changes: dict[str, Any], told: str) -> None:
    assert read_repository(answer({}, **changes)).license == told


def test_what_is_kept_in_a_file_reads_as_what_the_hub_said() -> None:
    sizes = {"model.safetensors": 7, "config.json": None}
    repository = read_repository(answer(sizes, gated="auto", tags=["license:mit"]))
    assert read_repository(describe_repository(repository)) == repository


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=8,
)
SIBLINGS = st.lists(
    st.fixed_dictionaries(
        {
            "rfilename": VALUES
            | st.sampled_from(["model.safetensors", "model-00001-of-00002.safetensors", "a.bin"]),
            "size": VALUES,
        }
    )
    | VALUES,
    max_size=4,
)


@given(
    changes=st.dictionaries(
        st.sampled_from(["id", "sha", "gated", "private", "cardData", "tags"]), VALUES, max_size=3
    ),
    siblings=SIBLINGS | VALUES,
    index=st.dictionaries(st.just("metadata"), VALUES, max_size=1),
)
def test_whatever_the_hub_says_is_a_repository_or_a_bad_answer(
    changes: dict[str, Any], siblings: Any, index: dict[str, Any]
) -> None:
    try:
        repository = read_repository({**answer({}), "siblings": siblings, **changes})
        assert repository.weights_bytes(index) >= 0
    except BadAnswer:
        return
    assert read_repository(describe_repository(repository)) == repository
